"""Debian's tuxpaint-stamps-default: captioned cut-out pictures of real things, fetched with apt and pinned.

Nothing is installed and no root is needed: the package is downloaded into a scratch folder and unpacked there.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = "tuxpaint-stamps-default"
PINS = {  # version: SHA-256 of the .deb; Debian 12 and Debian 13
    "2022.06.04-1": "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
    "2025.03.31-1": "6312d03a37d0220b10fc91a7467bf2a2a2336e08c2f416de04311d25fd7aeacb",
}
STAMPS = "usr/share/tuxpaint/stamps"
TIMEOUT = 1200  # seconds for one command: 161 MB over a slow line


class StampsUnavailable(Exception):
    """The stamps cannot be had on this machine; the message says why."""


def _run(*command: str, cwd: Path | None = None) -> str:
    """Standard output of a command.  Raises StampsUnavailable with its last line of complaint."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    except subprocess.CalledProcessError as error:
        complaint = (error.stderr or error.stdout).strip().splitlines() or ["no reason given"]
        raise StampsUnavailable(f"{command[0]} failed: {complaint[-1]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StampsUnavailable(f"{command[0]} failed: {error}") from error
    return done.stdout


def _private_apt(scratch: Path) -> list[str]:
    """Options that make apt keep its lists in a folder of our own: works without root, touches no system file."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (scratch / name).mkdir(parents=True)
    return [
        *("-o", f"Dir::State={scratch / 'state'}"),
        *("-o", "Dir::State::status=/var/lib/dpkg/status"),
        *("-o", f"Dir::Cache={scratch / 'cache'}"),
    ]


def _offered(options: list[str]) -> list[str]:
    """Versions of the package that apt's lists offer; empty when the lists are."""
    lines = _run("apt-cache", *options, "madison", PACKAGE).splitlines()
    return [line.split("|")[1].strip() for line in lines if line.count("|") >= 2]


def _choose(versions: list[str]) -> str:
    """The first version offered that is pinned.  Raises StampsUnavailable."""
    for version in versions:
        if version in PINS:
            return version
    known, offered = " and ".join(PINS), ", ".join(versions) or "nothing"
    raise StampsUnavailable(f"apt offers {PACKAGE} {offered}, but only {known} are pinned by SHA-256")


def _checked(deb: Path, version: str) -> Path:
    """The file itself, once its hash agrees with the pin.  Raises StampsUnavailable."""
    with deb.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != PINS[version]:
        raise StampsUnavailable(f"{deb.name} has SHA-256 {found}, pinned is {PINS[version]}")
    return deb


def _download(scratch: Path) -> Path:
    """Fetch the pinned package; the lists are fetched first when this machine has none."""
    options: list[str] = []
    versions = _offered(options)
    if not versions:
        options = _private_apt(scratch)
        _run("apt-get", *options, "--quiet", "update")
        versions = _offered(options)
    version = _choose(versions)
    _run("apt-get", *options, "--quiet", "download", f"{PACKAGE}={version}", cwd=scratch)
    return _checked(next(scratch.glob("*.deb")), version)


@contextmanager
def unpacked() -> Iterator[Path]:
    """The folder of stamps, for as long as the block runs.  Raises StampsUnavailable."""
    missing = [tool for tool in ("apt-get", "apt-cache", "dpkg") if shutil.which(tool) is None]
    if missing:
        raise StampsUnavailable(f"this machine has no {missing[0]}")
    with tempfile.TemporaryDirectory(prefix="vsearch-gallery-") as name:
        scratch = Path(name)
        deb = _download(scratch)
        _run("dpkg", "-x", str(deb), str(scratch / "root"))
        deb.unlink()
        yield scratch / "root" / STAMPS


def caption(stamp: Path) -> str | None:
    """The English caption, which is the first line of the text beside a stamp; None where there is no text."""
    try:
        first = stamp.with_suffix(".txt").read_text(encoding="utf-8", errors="replace").split("\n", 1)[0]
    except OSError:
        return None
    return first.strip() or None


def copy_captioned(stamps: Path, out: Path) -> list[Path]:
    """Copy every captioned stamp but the symbols, bytes unchanged; returns the copies."""
    copies = []
    for stamp in sorted(stamps.rglob("*.png")):
        inside = stamp.relative_to(stamps)
        words = caption(stamp)
        if inside.parts[0] == "symbols" or words is None:
            continue
        target = out / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(stamp, target)
        target.with_suffix(".txt").write_text(words + "\n", encoding="utf-8")
        copies.append(target)
    return copies
