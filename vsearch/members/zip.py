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

HARMLESS = 16 << 20  # unpacked bytes of one member below which its ratio does not matter
MOST_RATIO = 100  # unpacked to packed, of a member above that; photographs have about 1
MOST_TOTAL_RATIO = 200  # of all members together to the archive's own length,
LEAST_TOTAL = 1 << 30  # unless they are below this
_HEADER = 30
_ENCRYPTED, _UTF8 = 0x1, 0x800


def scan(file: BinaryIO, length: int) -> Iterator[Member | Fault]:
    """The files in a zip, in the order of their bytes, and what cannot be read of it.

    length: of the file, in bytes.  Raises SourceError when the table of contents cannot be read.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            listed = sorted(archive.infolist(), key=lambda info: info.header_offset)
    except Exception as error:  # noqa: BLE001 - whatever the parser trips over is damage
        raise SourceError(
            "not a zip archive, or cut short: its table of contents, at its end, cannot be read. Fetch it again, or "
            "try: zip -FF"
        ) from error
    most = max(LEAST_TOTAL, MOST_TOTAL_RATIO * length)
    end = total = 0
    for info in listed:
        if info.filename.endswith("/"):
            continue
        name = _name(info)
        why = _problem(info, length)
        if why is None and info.header_offset < end:
            why = "it shares its bytes with another member: taken for a zip bomb"
        if why is None and total + info.file_size > most:
            why = f"with it the archive would unpack to more than {most >> 20:,} MiB: taken for a zip bomb"
        if why is not None:
            yield Fault(name, why)
            continue
        end = info.header_offset + _HEADER + len(name) + info.compress_size
        total += info.file_size
        deflated = info.compress_type == zipfile.ZIP_DEFLATED
        yield Member(name, Entry(info.header_offset, info.compress_size, info.file_size, deflated, True, info.CRC))


def _name(info: zipfile.ZipInfo) -> bytes:
    """The very bytes of the name: what is not marked as UTF-8 is of any encoding, and zipfile reads it as CP 437."""
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437", "surrogateescape")


def _problem(info: zipfile.ZipInfo, length: int) -> str | None:
    mode = info.external_attr >> 16
    if info.flag_bits & _ENCRYPTED:
        return "encrypted; unpack it with its password and index the files"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"packed by method {info.compress_type}, and only stored and deflated members are read; pack it again"
    if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
        return "a link, which is not followed" if stat.S_ISLNK(mode) else "not a file"
    if info.header_offset < 0 or info.header_offset + _HEADER + info.compress_size > length:
        return "it lies outside the archive"
    if info.file_size > HARMLESS and info.file_size > MOST_RATIO * info.compress_size:
        ratio = info.file_size // max(1, info.compress_size)
        return f"it would unpack to {ratio:,} times its length: taken for a zip bomb"
    return None
