"""Whether a file is still the one that was indexed."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

import xxhash

from vsearch.members.address import resolve


def digest(path: bytes) -> bytes:
    """The XXH3-128 of a file's bytes.  Raises OSError."""
    with open(path, "rb") as file:
        running = xxhash.xxh3_128()
        while block := file.read(1 << 20):
            running.update(block)
    return running.digest()


@dataclass(frozen=True, slots=True)
class Expected:
    """A file as it must still be: its path and the XXH3-128 of its bytes."""

    path: bytes
    content: bytes

    def problem(self) -> str | None:
        """Why it is not as expected, in words."""
        if resolve(self.path) is not None:
            return "it is inside an archive"
        try:
            if not stat.S_ISREG(os.lstat(self.path).st_mode):
                return "it is no regular file"
            same = digest(self.path) == self.content
        except OSError as error:
            return f"it cannot be read ({error.strerror})"
        return None if same else "it has changed since it was indexed"
