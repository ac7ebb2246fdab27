"""One picture file: its size, its times and the caption beside it."""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator
from typing import Any

from vsearch.bounds import size_and_times
from vsearch.sources.cells import storable
from vsearch.sources.encodings import text_of
from vsearch.sources.suffixes import suffix
from vsearch.types import Failure, Item

CAPTION_BYTES = 64 * 1024
CAPTION_SUFFIX = b".txt"


def scan_failure(path: bytes, error: OSError | ValueError) -> Failure:
    """Turn the failure of a system call into data: the reason in the system's words, without the path."""
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else "not a possible file name"
    return Failure(path, "scan", reason)


def item_or_failure(path: bytes, status: os.stat_result, caption: str | None) -> Item | Failure:
    """Make the item of a regular file; a pipe, socket, device or folder is a failure and must not be opened."""
    size, mtime_ns, ctime_ns = size_and_times(status)
    if stat.S_ISREG(status.st_mode):
        return Item(path, size, mtime_ns, ctime_ns, caption)
    kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
    return Failure(path, "scan", kind, size, mtime_ns)


def spellings(stem: bytes, ending: bytes) -> Iterator[bytes]:
    """Names that a file beside a picture may have: ``x.txt``, ``x.TXT``, ``x.Txt``.

    Letters with accents may be one character or two, as macOS writes them; the picture may have come another way than
    its text.
    """
    stems = [stem]
    if not stem.isascii():
        name = os.fsdecode(stem)
        stems += [os.fsencode(unicodedata.normalize(form, name)) for form in ("NFC", "NFD")]
    for one in dict.fromkeys(stems):
        for spelled in (ending, ending.upper(), ending.title()):
            yield one + spelled


def caption_names(name: bytes) -> Iterator[bytes]:
    """The names that the caption of a picture may have, the likeliest first."""
    return spellings(name[: len(name) - len(suffix(name))], CAPTION_SUFFIX)


def captioned(path: bytes, status: os.stat_result) -> Iterator[Item | Failure]:
    """A picture file with the caption in the file beside it; and the failure of that file, if it cannot be read."""
    caption = caption_beside(path)
    yield item_or_failure(path, status, caption if isinstance(caption, str) else None)
    if isinstance(caption, Failure):
        yield caption


def caption_beside(path: bytes) -> str | Failure | None:
    """The caption of a picture file, or why it cannot be read; None where there is none."""
    folder, name = os.path.split(path)
    for spelled in caption_names(name):
        caption = read_caption(os.path.join(folder, spelled))
        if caption is not None:
            return caption
    return None


def read_caption(path: bytes) -> str | Failure | None:
    """Read a caption file, at most 64 kB of it; None where there is none or it is empty.

    Opened without blocking, so that a pipe of that name cannot stop the scan.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, ValueError) as error:
        return scan_failure(path, error) if os.path.islink(path) else None
    except OSError as error:
        return None if error.errno == errno.ENAMETOOLONG else scan_failure(path, error)
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            return None
        file = item_or_failure(path, status, None)
        if isinstance(file, Failure):
            return file
        with open(handle, "rb", closefd=False) as stream:
            return clean_caption(stream.read(CAPTION_BYTES))
    except OSError as error:
        return scan_failure(path, error)
    finally:
        os.close(handle)


def clean_caption(raw: bytes) -> str | None:
    """The text of a caption file, cut to 64 kB and stripped; None when nothing is left.  See ``encodings``."""
    return text_of(raw[:CAPTION_BYTES]).strip() or None


def caption_of(value: Any) -> str | None:
    """The caption that a table or a JSON file has: a text, several in a list, a line each, or any other value as text.

    Cut to 64 kB; None when it says nothing.
    """
    several = isinstance(value, list) and all(text is None or isinstance(text, str) for text in value)
    texts = [storable(text) for text in (value if several else [value])]
    return clean_caption("\n".join(str(text) for text in texts if text is not None).encode())
