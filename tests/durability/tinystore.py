"""The smallest store there is, in literal calls, right and with seven defects: proves the harnesses themselves.

``python tinystore.py FOLDER ACKS DEFECT``: the file ``value`` in FOLDER is replaced by larger and larger numbers,
each padded to three pages; after each, its number is appended to ACKS.
"""

from __future__ import annotations

import os
import sys

PAGES = 3 * 4096
VALUES = 4
DEFECTS = (
    "no file fsync",
    "no directory fsync",
    "fsync after rename",
    "in place",
    "ack first",
    "unchecked short write",
    "swallowed error",
)


def text(value: int) -> bytes:
    """The whole content of the file for a value."""
    return (b"%d\n" % value) * (PAGES // len(b"%d\n" % value))


def put(folder: str, value: int, defect: str) -> None:
    """Replace the value."""
    temporary, final = f"{folder}/value.tmp", f"{folder}/value"
    name = final if defect == "in place" else temporary
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write(fd, text(value), loop=defect != "unchecked short write")
        if defect not in ("no file fsync", "fsync after rename"):
            os.fsync(fd)
        if name != final:
            os.rename(temporary, final)
        if defect == "fsync after rename":
            os.fsync(fd)
    finally:
        os.close(fd)
    if defect != "no directory fsync":
        _sync_names(folder)


def _write(fd: int, data: bytes, loop: bool) -> None:
    done = os.write(fd, data)
    while loop and done < len(data):
        done += os.write(fd, data[done:])


def _sync_names(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def run(folder: str, acks: str, defect: str = "") -> None:
    """Put every value, telling ``acks`` of each."""
    log = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for value in range(1, VALUES + 1):
        if defect == "ack first":
            os.write(log, b"ack %d\n" % value)
        try:
            put(folder, value, defect)
        except OSError:
            if defect != "swallowed error":
                raise
        if defect != "ack first":
            os.write(log, b"ack %d\n" % value)
    os.close(log)


if __name__ == "__main__":
    run(*sys.argv[1:])
