"""The store under test: an operation of the model done for real, and everything that must hold afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.durability.model import DIM, Op, Picture, State, vector
from vsearch import ann, files, kernels
from vsearch.recipe import SearchSettings
from vsearch.store import Addition, Batch, Record, Snapshot, Store, maintain, spaces
from vsearch.store.records import MISSING
from vsearch.types import EncoderInfo, Failure, PixelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

INFO = EncoderInfo("model", "0" * 64, DIM, PixelSpec(8))
OTHER = EncoderInfo("other", "1" * 64, DIM, PixelSpec(8))
"""A second encoder, whose vectors are the first one's with their numbers moved on by five places."""
TURN = 5
VERSION = b"/version"


def create(root: Path) -> Store:
    """A new store."""
    return Store.create(root, INFO)


def record(picture: Picture) -> Record:
    """The record that stands for a picture of the model."""
    flags = MISSING if picture.missing else 0
    return Record(picture.path, picture.digest, picture.content, 1, 1, 1, 8, 8, None, flags)


def do(store: Store, op: Op) -> None:
    """Carry out one operation; it is durable when this returns."""
    if op.kind == "build":
        build(store)
    elif op.kind == "compact":
        maintain.compact(store)
    elif op.kind == "respace":
        respace(store)
    elif op.kind != "create":
        store.commit(batch(store, op))


def respace(store: Store) -> None:
    """Embed everything that is kept with the encoder that is not in use, and change over to it."""
    info = OTHER if store.encoder_info.space == INFO.space else INFO
    spaces.begin(store, info)
    while True:
        with store.snapshot(info.space) as snapshot:
            left = spaces.pending(snapshot, 7)
        if not left:
            break
        spaces.extend(store, info.space, {id: seen_by(info.space, r.size).astype(np.float32) for id, r in left})
    spaces.switch(store, info.space)


def seen_by(space: str, content: int) -> NDArray[np.float16]:
    """The vector of a picture in a space."""
    return vector(content) if space == INFO.space else np.roll(vector(content), TURN)


def additions(store: Store, pictures: Iterable[Picture]) -> list[Addition]:
    """Pictures with their vectors in the live space."""
    space = store.encoder_info.space
    return [Addition(record(p), seen_by(space, p.content)) for p in pictures]


def batch(store: Store, op: Op) -> Batch:
    """The commit of an operation.  The number of the operation goes with it, as a remembered failure."""
    return Batch(
        additions(store, op.additions),
        {id: record(p) for id, p in op.updates.items()},
        list(op.dropped),
        [Failure(VERSION, "scan", str(op.number), op.number, 0)],
    )


def build(store: Store) -> None:
    """Publish a real FAISS index of everything that is kept: what is missing now may come back."""
    import faiss

    with store.snapshot() as snapshot:
        ids = indexed_ids(snapshot)
        vectors = snapshot.vectors(ids)
        upto = snapshot.head.next_id
    index = faiss.index_factory(DIM, "IVF1,Flat", faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = 1
    index.train(vectors if len(vectors) else np.eye(DIM, dtype=np.float32))
    index.add_with_ids(vectors, ids)
    save = ann.AnnIndex.of(index, upto).save
    maintain.publish_generation(
        store, lambda sink: save(sink.put), upto=upto, count=len(ids), recipe="", report={"count": len(ids)}
    )


def indexed_ids(snapshot: Snapshot) -> NDArray[np.int64]:
    """What goes into a generation."""
    return np.array([id for id, _ in snapshot.items()], np.int64)


def version(snapshot: Snapshot) -> int:
    """The number of the last operation that committed anything; 0 after creation."""
    told = snapshot.failure_at(VERSION)
    return int(told.reason) if told else 0


def problems(store: Store, snapshot: Snapshot, expected: State, generations: bool = True) -> list[str]:
    """Everything in which a moment of the store differs from the model.

    generations: look into the FAISS file too, which a writer may take away meanwhile.
    """
    found = {id: Picture(r.path, int(r.size), r.missing) for id, r in snapshot.items()}
    if found != expected:
        return [f"pictures differ: {_difference(found, expected)}"]
    live = np.array([id for id, picture in expected.items() if not picture.missing], np.int64)
    return [
        *_wrong_counts(snapshot, expected, live),
        *_wrong_tables(snapshot, expected),
        *_wrong_vectors(snapshot, expected),
        *_wrong_search(snapshot, expected, live),
        *(_wrong_generation(store, snapshot, expected, live) if generations else ()),
    ]


def _difference(found: State, expected: State) -> str:
    only = {id: picture for id, picture in found.items() if expected.get(id) != picture}
    lost = {id: picture for id, picture in expected.items() if found.get(id) != picture}
    return f"the store has {only}, the model {lost}"


def _wrong_counts(snapshot: Snapshot, expected: State, live: NDArray[np.int64]) -> list[str]:
    wrong = []
    if not np.array_equal(snapshot.live_ids(), live):
        wrong.append(f"live ids {snapshot.live_ids()} are not {live}")
    told = (snapshot.head.images, snapshot.head.missing)
    if told != (len(expected), len(expected) - len(live)):
        wrong.append(f"counters {told} are wrong")
    return wrong


def _wrong_tables(snapshot: Snapshot, expected: State) -> list[str]:
    ids: dict[bytes, list[int]] = {}
    for id, picture in expected.items():
        ids.setdefault(picture.digest, []).append(id)
    wrong = [f"path of {id}" for id, p in expected.items() if snapshot.at_path(p.path) != id]
    wrong += [f"content {d!r}" for d, told in ids.items() if sorted(snapshot.with_content(d)) != told]
    wrong += [f"digest of {id}" for id, r in snapshot.items() if r.content != expected[id].digest]
    return wrong


def _wrong_vectors(snapshot: Snapshot, expected: State) -> list[str]:
    for reader in snapshot.readers:
        snapshot.verify(reader, 0, reader.segment.rows)
    ids = np.array(list(expected), np.int64)
    rows = snapshot.vectors(ids)
    return [f"vector of {id}" for id, row in zip(ids, rows, strict=True) if not _same(snapshot, row, expected[int(id)])]


def _same(snapshot: Snapshot, row: NDArray[np.float32], picture: Picture) -> bool:
    return np.array_equal(row, seen_by(snapshot.space.name, picture.content).astype(np.float32))


def _wrong_search(snapshot: Snapshot, expected: State, live: NDArray[np.int64]) -> list[str]:
    """Every live picture finds itself, or its twin."""
    if not len(live):
        return []
    _, ids = kernels.topk(snapshot.vectors(live), snapshot.blocks(), 1, snapshot.live)
    return [f"exact search for {id} finds {hit}" for id, hit in _strangers(live, ids[:, 0], expected)]


def _wrong_generation(store: Store, snapshot: Snapshot, expected: State, live: NDArray[np.int64]) -> list[str]:
    """The FAISS file is the one that was published, and every live picture before its tail finds itself in it."""
    generation = snapshot.space.generation
    if generation is None:
        return []
    path = store.layout.ann(snapshot.space.name) / generation.name / maintain.INDEX_FILE
    if files.sha256_of(path) != files.Published(generation.length, generation.sha256):
        return [f"{path} is not the file that was published"]
    covered = live[live < generation.upto]
    if not len(covered):
        return []
    index = ann.load(path, generation.upto, generation.name)
    near = index.search(snapshot.vectors(covered), 1, SearchSettings(1, 1), snapshot.live)[:, 0]
    return [f"FAISS search for {id} finds {hit}" for id, hit in _strangers(covered, near, expected)]


def _strangers(ids: NDArray[np.int64], hits: NDArray[np.int64], expected: State) -> list[tuple[int, int]]:
    pairs = [(int(id), int(hit)) for id, hit in zip(ids, hits, strict=True)]
    return [(id, hit) for id, hit in pairs if hit < 0 or expected[hit].content != expected[id].content]


def leftovers(store: Store) -> list[str]:
    """Files of rows and generations that nothing names, although a writer has collected garbage."""
    places = [(store.layout.spaces, {space.name for space in store.all_spaces()})]
    for space in store.all_spaces():
        named = {s.name for s in space.segments} | {s.ids_name for s in space.segments if s.ids_sha256}
        generation = {space.generation.name} if space.generation else set()
        places += [(store.layout.vectors(space.name), named), (store.layout.ann(space.name), generation)]
    return [f"left over: {p}" for folder, keep in places for p in folder.iterdir() if p.name not in keep]


def open_for_reading(root: Path) -> Store:
    """The store as a reader opens it."""
    return Store.open(root)


def open_for_writing(root: Path) -> Store:
    """The store as a writer opens it."""
    return Store.open(root, write=True)
