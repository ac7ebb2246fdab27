"""What a new index begins with."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from glob import escape
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from vsearch import files
from vsearch.errors import IndexLocked
from vsearch.store.environment import Environment, create_environment
from vsearch.store.layout import Layout, format_line
from vsearch.store.records import Head, Space, decode, encode
from vsearch.types import EncoderInfo, PixelSpec

HEAD_KEY = b"head"
SPACE_KEY = b"space/"


def fill(layout: Layout, identity: str, info: EncoderInfo) -> None:
    """Write an empty index into a scratch folder.  Raises OSError."""
    files.publish(layout.format, lambda sink: sink.put(format_line(identity)))
    files.make_dir(layout.meta)
    files.make_dir(layout.root / "spaces")
    add_space_folder(layout, info)
    space = Space(1, info.space, pack_encoder(info), info.dim)

    def first_state(env: Environment) -> None:
        with env.write() as txn:
            table = env.tables[b"state"]
            txn.put(HEAD_KEY, encode(Head(identity, space=space.name)), db=table)
            txn.put(SPACE_KEY + space.name.encode(), encode(space), db=table)

    try:
        create_environment(layout.meta, first_state)
    except lmdb.Error as error:
        raise OSError(0, str(error)) from error
    files.fsync_dir(layout.meta)


def add_space_folder(layout: Layout, info: EncoderInfo) -> None:
    """Make the folders of a space, and say in words which encoder it belongs to."""
    for folder in (layout.space(info.space), layout.vectors(info.space), layout.ann(info.space)):
        files.make_dir(folder)
    told = msgspec.json.format(msgspec.json.encode(asdict(info)), indent=2) + b"\n"
    files.publish(layout.space(info.space) / "encoder.json", lambda sink: sink.put(told))


def pack_encoder(info: EncoderInfo) -> bytes:
    """An encoder's description for LMDB."""
    return msgspec.json.encode(asdict(info))


@lru_cache(maxsize=16)  # every query asks for it
def unpack_encoder(raw: bytes) -> EncoderInfo:
    """The description that ``pack_encoder`` made."""
    told = msgspec.json.decode(raw)
    return EncoderInfo(**{**told, "preprocess": PixelSpec(**told["preprocess"])})


def read_spaces(txn: lmdb.Transaction, table: Any) -> list[Space]:
    """All spaces that the table of states names, the oldest first."""
    found = []
    with txn.cursor(table) as cursor:
        more = cursor.set_range(SPACE_KEY)
        while more and cursor.key().startswith(SPACE_KEY):
            found.append(decode(cursor.value(), Space, "a space"))
            more = cursor.next()
    return sorted(found, key=lambda space: space.key)


def clear_scratch(root: Path) -> None:
    """Remove what creations that died have left beside ``root``; one that is at work holds its lock."""
    for left in root.parent.glob(f".{escape(root.name)}.new-*"):
        with suppress(OSError, IndexLocked):
            files.WriterLock(left / "LOCK").release()
            files.unlink(left)
