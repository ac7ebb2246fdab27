"""What a new index begins with."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from vsearch import files
from vsearch.errors import IndexExists, IndexLocked
from vsearch.store.environment import Environment, create_environment
from vsearch.store.layout import Layout, format_line
from vsearch.store.records import Head, Space, encode, pack_encoder, unpack_space
from vsearch.types import EncoderInfo

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


def read_spaces(txn: lmdb.Transaction, table: Any) -> list[Space]:
    """All spaces that the table of states names, the oldest first."""
    found = []
    with txn.cursor(table) as cursor:
        more = cursor.set_range(SPACE_KEY)
        while more and cursor.key().startswith(SPACE_KEY):
            found.append(unpack_space(cursor.value(), cursor.key()[len(SPACE_KEY) :].decode("utf-8", "replace")))
            more = cursor.next()
    return sorted(found, key=lambda space: space.key)


def refuse_what_is_there(root: Path) -> None:
    """Raise IndexExists unless nothing is at ``root``, or an empty folder."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise IndexExists(f"{root}: there is something already; open it, or name another place with --index")


def clear_scratch(root: Path) -> None:
    """Remove what creations that died have left beside ``root``; one that is at work holds its lock."""
    scratch = re.compile(rf"\.{re.escape(root.name)}\.new-(?:[0-9a-f]{{16}}|[0-9a-f]{{32}})")
    with suppress(OSError):
        for left in root.parent.iterdir():
            if scratch.fullmatch(left.name) and left.is_dir() and not left.is_symlink():
                with suppress(OSError, IndexLocked):
                    files.WriterLock(left / "LOCK").release()
                    files.unlink(left)
