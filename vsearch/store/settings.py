"""With what each root was indexed: an entry of its own for each, so that indexes without any have the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from vsearch.store.batch import path_key
from vsearch.store.records import decode, seal
from vsearch.types import Settings

if TYPE_CHECKING:
    import lmdb

SETTINGS_KEY = b"settings:"


class _Root(msgspec.Struct, frozen=True, array_like=True):
    path: bytes
    settings: Settings


def read(txn: lmdb.Transaction, state: Any) -> dict[bytes, Settings]:
    """Root, as a source names it → what it was indexed with, without what is as by default."""
    found = {}
    with txn.cursor(state) as cursor:
        more = cursor.set_range(SETTINGS_KEY)
        while more and cursor.key().startswith(SETTINGS_KEY):
            root = decode(cursor.value(), _Root, "the settings of a root")
            found[root.path] = root.settings
            more = cursor.next()
    return found


def write(txn: lmdb.Transaction, state: Any, settings: Mapping[bytes, Settings | None]) -> None:
    """Put settings in place of those that roots had; None forgets a root's."""
    for path, told in settings.items():
        key = SETTINGS_KEY + path_key(path)
        if told is None:
            txn.delete(key, db=state)
        else:
            txn.put(key, seal(msgspec.msgpack.encode(_Root(path, told))), db=state)
