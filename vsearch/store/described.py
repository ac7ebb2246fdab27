"""What filters may ask of pictures besides their records: details, tags, and the folders that they come from.

A column file is made from a block of ids.  Each block has a stamp, random bytes that change in the transaction that
changes what its columns say, so a file that carries the stamp in its name is right, and one that does not is never
read.
"""

from __future__ import annotations

import secrets
from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from vsearch.errors import IndexCorrupt
from vsearch.store import settings
from vsearch.store.batch import ArchiveState, Batch, path_key
from vsearch.store.records import decode, id_key, opened, seal
from vsearch.types import Cell, Details, Tags

if TYPE_CHECKING:
    import lmdb

BLOCK_IDS = 16384
ROOTS_KEY = b"roots"
ARCHIVE_KEY = b"archive:"
ROWS_KEY = b"rows:"
_STAMP_BYTES, _NUMBER_BYTES = 8, 4


class _StoredDetails(msgspec.Struct, frozen=True, array_like=True):
    taken: int | None
    offset: int | None
    latitude: float | None
    longitude: float | None
    camera: str | None
    lens: str | None
    iso: int | None
    columns: dict[str, Cell]


def pack_details(details: Details) -> bytes:
    """Details as LMDB value."""
    d = details
    told = (d.taken, d.offset, d.latitude, d.longitude, d.camera, d.lens, d.iso, d.columns)
    return seal(msgspec.msgpack.encode(told))


_details = msgspec.msgpack.Decoder(_StoredDetails).decode
_tags = msgspec.msgpack.Decoder(Tags).decode


def unpack_details(raw: bytes) -> Details:
    """The details that ``pack_details`` made.  Raises IndexCorrupt."""
    try:
        s = _details(opened(raw, "what is known of a picture"))
    except msgspec.DecodeError as error:
        raise IndexCorrupt(f"the metadata is damaged: details of a picture cannot be read ({error})") from error
    return Details(s.taken, s.offset, s.latitude, s.longitude, s.camera, s.lens, s.iso, s.columns)


def pack_tags(tags: Tags) -> bytes:
    """Tags as LMDB value."""
    return seal(msgspec.msgpack.encode(tags))


def unpack_tags(raw: bytes) -> Tags:
    """The tags that ``pack_tags`` made.  Raises IndexCorrupt."""
    try:
        return _tags(opened(raw, "the tags of a picture"))
    except msgspec.DecodeError as error:
        raise IndexCorrupt(f"the metadata is damaged: tags of a picture cannot be read ({error})") from error


def roots(txn: lmdb.Transaction, state: Any) -> tuple[bytes, ...]:
    """The folders that pictures come from, each with a slash at its end, none inside another."""
    raw = txn.get(ROOTS_KEY, db=state)
    return () if raw is None else decode(raw, tuple[bytes, ...], "the list of folders")


def add_roots(txn: lmdb.Transaction, tables: dict[bytes, Any], given: Iterable[bytes]) -> None:
    """Remember folders.  What they change, the folder of pictures that are there already, is stamped anew."""
    put_roots(txn, tables, {*roots(txn, tables[b"state"]), *given})


def put_roots(txn: lmdb.Transaction, tables: dict[bytes, Any], given: Iterable[bytes]) -> None:
    """Put folders in place of those that were remembered."""
    kept = outermost({root.rstrip(b"/") + b"/" for root in given})
    if kept != roots(txn, tables[b"state"]):
        txn.put(ROOTS_KEY, seal(msgspec.msgpack.encode(kept)), db=tables[b"state"])
        stamp_all(txn, tables)


def archive_state(txn: lmdb.Transaction, state: Any, path: bytes) -> ArchiveState | None:
    """The state of an archive when all of its members were accounted for; None when that never was."""
    raw = txn.get(ARCHIVE_KEY + path_key(path), db=state)
    return None if raw is None else decode(raw, ArchiveState, "the state of an archive")


def rows(txn: lmdb.Transaction, state: Any) -> dict[bytes, set[bytes]]:
    """Key of each table → the digests of the paths of its pictures."""
    found = {}
    with txn.cursor(state) as cursor:
        more = cursor.set_range(ROWS_KEY)
        while more and cursor.key().startswith(ROWS_KEY):
            raw = opened(cursor.value(), "the rows of a table")
            found[cursor.key()[len(ROWS_KEY) :]] = {raw[at : at + 16] for at in range(0, len(raw), 16)}
            more = cursor.next()
    return found


def put_archive_state(txn: lmdb.Transaction, state: Any, path: bytes, told: ArchiveState) -> None:
    """Note the state of an archive."""
    txn.put(ARCHIVE_KEY + path_key(path), seal(msgspec.msgpack.encode(told)), db=state)


def remember(txn: lmdb.Transaction, tables: dict[bytes, Any], batch: Batch) -> None:
    """Note where the pictures of a batch come from: its folders, their settings, and the states of its archives."""
    settings.write(txn, tables[b"state"], batch.settings)
    if gone := {path for path, told in batch.settings.items() if told is None}:
        put_roots(txn, tables, (root for root in roots(txn, tables[b"state"]) if root[:-1] not in gone))
    if batch.roots:
        add_roots(txn, tables, batch.roots)
    for path, digests in batch.rows.items():
        txn.put(ROWS_KEY + path_key(path), seal(digests), db=tables[b"state"])
    for path, told in batch.archives.items():
        put_archive_state(txn, tables[b"state"], path, told)


def outermost(folders: Iterable[bytes]) -> tuple[bytes, ...]:
    """Folders without those inside others, sorted: one that is indexed again by itself keeps its longer name."""
    kept: list[bytes] = []
    for folder in sorted(folders):
        if not kept or not folder.startswith(kept[-1]):
            kept.append(folder)
    return tuple(kept)


def drop_others(txn: lmdb.Transaction, tables: dict[bytes, Any], ids: Container[int]) -> None:
    """Forget what is said of other ids than these, and what does not match its checksum."""
    for table in (b"detail", b"tag"):
        with txn.cursor(tables[table]) as cursor:
            more = cursor.first()
            while more:
                keep = int.from_bytes(cursor.key(), "big") in ids and is_whole(cursor.value())
                more = cursor.next() if keep else cursor.delete()


def is_whole(raw: bytes) -> bool:
    """Whether a value matches its checksum."""
    try:
        opened(raw, "")
    except IndexCorrupt:
        return False
    return True


def stamp(txn: lmdb.Transaction, table: Any, ids: Iterable[int]) -> None:
    """Mark the blocks of these ids as changed."""
    for number in {id // BLOCK_IDS for id in ids}:
        txn.put(number.to_bytes(_NUMBER_BYTES, "big"), seal(secrets.token_bytes(_STAMP_BYTES)), db=table)


def stamp_all(txn: lmdb.Transaction, tables: dict[bytes, Any]) -> None:
    """Mark every block that holds a picture as changed."""
    with txn.cursor(tables[b"item"]) as cursor:
        more = cursor.first()
        while more:
            number = int.from_bytes(cursor.key(), "big") // BLOCK_IDS
            stamp(txn, tables[b"stamp"], (number * BLOCK_IDS,))
            more = cursor.set_range(id_key((number + 1) * BLOCK_IDS))


def stamps(txn: lmdb.Transaction, table: Any) -> dict[int, str]:
    """Block number → its stamp, hexadecimal."""
    with txn.cursor(table) as cursor:
        return dict(_stamp(key, raw) for key, raw in cursor)


def _stamp(key: bytes, raw: bytes) -> tuple[int, str]:
    made = opened(raw, "the stamp of columns")
    if len(key) != _NUMBER_BYTES or len(made) != _STAMP_BYTES:
        raise IndexCorrupt("the metadata is damaged: a stamp of columns that is none; restore a backup")
    return int.from_bytes(key, "big"), made.hex()
