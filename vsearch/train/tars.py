"""Pairs in tar files, as webdataset and img2dataset write them."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from vsearch.errors import SourceError
from vsearch.sources.look import CAPTION_BYTES, clean_caption
from vsearch.sources.suffixes import PICTURE_SUFFIXES, suffix
from vsearch.types import Failure, Item

MAX_BYTES = 512 * 2**20
_CAPTIONS = (".txt", ".caption", ".json")


def tars_at(path: Path) -> list[Path]:
    """The tar file that a path is, or those in the folder that it is, by name; none for anything else."""
    if path.is_dir():
        return sorted(path.glob("*.tar"))
    return [path] if path.suffix == ".tar" and path.is_file() else []


def unpacked(tars: list[Path], scratch: Path) -> Iterator[Item | Failure]:
    """The pictures of tar files, each with its captions; members of one name but for what follows its first dot.

    The pictures are written into the folder ``scratch`` under numbers, since the decode room reads files; those that
    are there already are not written again.  Captions: ``key.txt``, ``key.caption``, or ``caption`` in ``key.json``.
    Raises SourceError for a tar file that cannot be read.
    """
    for number, tar in enumerate(tars):
        folder = scratch / f"{number:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with tarfile.open(tar) as file:
                yield from _samples(file, tar, folder)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise SourceError(f"the tar file {str(tar)!r} cannot be read: {error}. Fetch it again.") from error


def _samples(file: tarfile.TarFile, tar: Path, folder: Path) -> Iterator[Item | Failure]:
    key = ""
    picture: Item | Failure | None = None
    captions: list[str] = []
    for count, member in enumerate(file):
        if not member.isfile():
            continue
        name, _, rest = os.path.basename(member.name).partition(".")
        this = os.path.join(os.path.dirname(member.name), name)
        if this != key:
            yield from _sample(picture, captions)
            key, picture, captions = this, None, []
        stream = file.extractfile(member)
        ending = f".{rest}".lower()
        assert stream is not None
        if suffix(member.name.encode("utf-8", "surrogateescape")) in PICTURE_SUFFIXES:
            picture = _written(stream, member, folder / f"{count:09d}{os.path.splitext(ending)[1]}", tar)
        elif ending in _CAPTIONS:
            captions += _captions(stream.read(CAPTION_BYTES), ending)
    yield from _sample(picture, captions)


def _sample(picture: Item | Failure | None, captions: list[str]) -> Iterator[Item | Failure]:
    if isinstance(picture, Item):
        yield Item(picture.path, picture.size, picture.mtime_ns, picture.ctime_ns, "\n".join(captions) or None)
    elif picture is not None:
        yield picture


def _written(stream: IO[bytes], member: tarfile.TarInfo, path: Path, tar: Path) -> Item | Failure:
    if member.size > MAX_BYTES:
        return Failure(os.fsencode(tar / member.name), "read", f"larger than {MAX_BYTES >> 20} MiB", member.size)
    when = int(member.mtime) * 10**9
    if not path.is_file() or path.stat().st_size != member.size:
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(stream.read())
        part.replace(path)
    # the time in the tar, so that the pairs are the same ones when they are unpacked again
    return Item(os.fsencode(path), member.size, when, when)


def _captions(raw: bytes, ending: str) -> list[str]:
    if ending != ".json":
        text = clean_caption(raw)
    else:
        try:
            told = json.loads(raw)
        except ValueError:  # cut short, or never JSON: the picture may have another caption
            return []
        text = told.get("caption") if isinstance(told, dict) else None
    return [text] if isinstance(text, str) and text.strip() else []
