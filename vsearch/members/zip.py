"""The table of contents of a zip archive (PKWARE APPNOTE 4.3), which stands at its end.

A small zip can claim to hold petabytes (bamsoftware.com/hacks/zipbomb): members may neither overlap nor unpack to
more than pictures do.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

from vsearch.errors import SourceError
from vsearch.members.entry import Entry, Fault, Member
from vsearch.members.zip_directory import Listed, listed

HARMLESS = 16 << 20  # unpacked bytes of one member below which its ratio does not matter
MOST_RATIO = 100  # unpacked to packed, of a member above that; photographs have about 1
MOST_TOTAL_RATIO = 200  # of all members together to the archive's own length,
LEAST_TOTAL = 1 << 30  # unless they are below this
_HEADER = 30
_ENCRYPTED = 0x1


def scan(file: BinaryIO, length: int) -> Iterator[Member | Fault]:
    """The files in a zip, in the order of their bytes, and what cannot be read of it.

    length: of the file, in bytes.  Raises SourceError when it has no table of contents.
    """
    entries: list[Listed] = []
    damage = None
    try:
        entries += listed(file, length)
    except SourceError as error:
        damage = str(error)
        if not entries:
            raise
    entries.sort(key=lambda entry: entry.at)
    most = max(LEAST_TOTAL, MOST_TOTAL_RATIO * length)
    end = total = 0
    for entry in entries:
        if entry.name.endswith(b"/"):
            continue
        why = _problem(entry, length)
        if why is None and entry.at < end:
            why = "it shares its bytes with another member: taken for a zip bomb"
        if why is None and total + entry.size > most:
            why = f"with it the archive would unpack to more than {most >> 20:,} MiB: taken for a zip bomb"
        if why is not None:
            yield Fault(entry.name, why)
            continue
        end = entry.at + _HEADER + len(entry.name) + entry.stored
        total += entry.size
        deflated = entry.method == zipfile.ZIP_DEFLATED
        yield Member(entry.name, Entry(entry.at, entry.stored, entry.size, deflated, True, entry.crc))
    if damage is not None:
        yield Fault(b"", damage)


def _problem(entry: Listed, length: int) -> str | None:
    mode = entry.attributes >> 16
    if entry.problem is not None:
        return entry.problem
    if entry.flags & _ENCRYPTED:
        return "encrypted; unpack it with its password and index the files"
    if entry.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"packed by method {entry.method}, and only stored and deflated members are read; pack it again"
    if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
        return "a link, which is not followed" if stat.S_ISLNK(mode) else "not a file"
    if entry.at < 0 or entry.at + _HEADER + entry.stored > length:
        return "it lies outside the archive"
    if entry.size > HARMLESS and entry.size > MOST_RATIO * entry.stored:
        ratio = entry.size // max(1, entry.stored)
        return f"it would unpack to {ratio:,} times its length: taken for a zip bomb"
    return None
