"""Several joint spaces over the same pictures: one is live, others are being filled or kept to go back to.

A space that is not live has rows for the ids below its ``end_id``, and is complete when no kept picture lies behind it.
Ids are those of the live space.  A dropped picture in between costs a row of zeros, so that rows stay in id order
without a list of ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from vsearch.arguments import written
from vsearch.errors import QueryError
from vsearch.store import derived
from vsearch.store.creation import SPACE_KEY, add_space_folder
from vsearch.store.records import MADE_KEY, Record, Space, pack_encoder, seal, unpack_encoder, with_runs
from vsearch.store.snapshot import Snapshot
from vsearch.store.store import Store
from vsearch.types import EncoderInfo, MadeWith, SpaceInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDEST_GAP = 4096  # dropped ids in a row that are worth a new segment


def listed(store: Store) -> list[SpaceInfo]:
    """All spaces, the oldest first."""
    with store.snapshot() as snapshot, store.read() as txn:
        head, kept = snapshot.head, snapshot.kept_ids()
        return [
            SpaceInfo(
                space.name,
                unpack_encoder(space.encoder),
                embedded=int((kept < space.end_id).sum()) - _absent(space, kept),
                absent=_absent(space, kept),
                images=len(kept),
                live=space.name == head.space,
                made_with=snapshot.made_with(space.name),
            )
            for space in store.spaces_in(txn)
        ]


def _absent(space: Space, kept: NDArray[np.int64]) -> int:
    return sum(int(((kept >= start) & (kept < stop)).sum()) for start, stop in space.absent)


def named(store: Store, name: str) -> SpaceInfo:
    """The space of that name, or the only one whose encoder has it.  Raises QueryError."""
    if not isinstance(name, str):
        raise QueryError(f"a space is named by a text, and this is {written(name)}")
    spaces = listed(store)
    found = [space for space in spaces if name in (space.name, space.encoder.name)]
    exact = [space for space in found if space.name == name]
    if len(exact or found) == 1:
        return (exact or found)[0]
    what = "several spaces" if found else "no space"
    raise QueryError(
        f"{store.layout.root}: has {what} named {name!r}; it has: {', '.join(space.name for space in spaces)}"
    )


def begin(store: Store, info: EncoderInfo) -> str:
    """Make an empty space for an encoder, unless there is one, and return its name.

    Raises IndexNotWritable, DiskFull.
    """
    with store.writing():
        spaces = store.all_spaces()
        if all(space.name != info.space for space in spaces):
            add_space_folder(store.layout, info)
            key = max(space.key for space in spaces) + 1
            with store.edit() as (txn, _):
                store.put_space(txn, Space(key, info.space, pack_encoder(info), info.dim))
    return info.space


def note_made_with(store: Store, name: str, made: MadeWith) -> None:
    """Remember what the vectors of a space were made with.  Raises DiskFull, IndexNotWritable."""
    with store.writing(), store.edit() as (txn, tables):
        txn.put(MADE_KEY + name.encode(), seal(msgspec.msgpack.encode(made)), db=tables[b"state"])


def pending(snapshot: Snapshot, count: int) -> list[tuple[int, Record]]:
    """The next ``count`` pictures, in id order, that the space of a snapshot has no row for."""
    ids = snapshot.kept_ids()
    ahead = ids[ids >= snapshot.space.end_id][:count].tolist()
    return [(id, record) for id in ahead if (record := snapshot.record(id)) is not None]


def extend(store: Store, name: str, vectors: dict[int, NDArray[np.float32] | None]) -> None:
    """Append vectors of ids in ascending order to a space that is not live; None for a picture that has none.

    Durable when this returns.  Raises DiskFull, IndexNotWritable, QueryError.
    """
    for ids in _without_gaps(list(vectors)):
        _extend(store, name, ids, vectors)


def _without_gaps(ids: list[int]) -> list[list[int]]:
    cuts = [at for at in range(1, len(ids)) if ids[at] - ids[at - 1] > WIDEST_GAP]
    return [ids[a:b] for a, b in zip([0, *cuts], [*cuts, len(ids)], strict=True) if a < b]


def _extend(store: Store, name: str, ids: list[int], vectors: dict[int, NDArray[np.float32] | None]) -> None:
    with store.writing() as (head, _):
        with store.read() as txn:
            space = store.space_in(txn, head, name)
        first = space.end_id if 0 <= ids[0] - space.end_id <= WIDEST_GAP else ids[0]
        matrix = np.zeros((ids[-1] + 1 - first, space.dim), np.float16)
        for id in ids:
            if (vector := vectors[id]) is not None:
                matrix[id - first] = vector
        segment, chunks = store.append_rows(first, space, matrix)
        assert segment is not None
        absent = with_runs(space.absent, [id for id in ids if vectors[id] is None])
        with store.edit() as (txn, _):
            store.put_rows(txn, msgspec.structs.replace(space, absent=absent), segment, chunks)


def switch(store: Store, name: str) -> None:
    """Make a complete space the live one, in one transaction.  Raises QueryError when pictures lack a row in it."""
    with store.writing() as (head, _):
        with store.snapshot(name) as snapshot:
            left = pending(snapshot, 1)
        if left:
            raise QueryError(f"{store.layout.root}: the space {name!r} is not complete; go on with: vsearch spaces use")
        with store.edit() as (txn, _):
            store.put_head(txn, msgspec.structs.replace(store.head_in(txn), space=name))


def remove(store: Store, name: str) -> None:
    """Forget a space that is not live, with its vectors.  Raises QueryError for the live one."""
    with store.writing() as (head, _):
        with store.read() as txn:
            space = store.space_in(txn, head, name)
        if name == head.space:
            raise QueryError(
                f"{store.layout.root}: {name!r} answers the queries; use another space first: vsearch spaces use NAME"
            )
        with store.edit() as (txn, tables):
            txn.delete(SPACE_KEY + name.encode(), db=tables[b"state"])
            txn.delete(MADE_KEY + name.encode(), db=tables[b"state"])
            derived.forget(txn, tables[b"state"], name)
            prefix = space.key.to_bytes(2, "big")  # as in chunk_prefix
            with txn.cursor(tables[b"sums"]) as cursor:
                more = cursor.set_range(prefix)
                while more and cursor.key()[:2] == prefix:
                    more = cursor.delete()
    store.collect_garbage()
