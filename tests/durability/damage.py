"""Every kind of file of an index, damaged in every way that disks and people have, and what becomes of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.durability import readers, subject
from tests.durability.model import State, history, vector
from vsearch.errors import VsearchError
from vsearch.index import Index, open_index
from vsearch.store import Batch
from vsearch.types import Failure, Query

PAGE = 4096
SCRATCHED = 5  # pages of a file
LAST = 14
OLDER = 10
MAKE, EXAMINE = "tests.durability.damage:make", "tests.durability.damage:examine"
KINDS = {
    "FORMAT": "FORMAT",
    "LOCK": "LOCK",
    "metadata": "meta/data.mdb",
    "LMDB lock": "meta/lock.mdb",
    "encoder": "spaces/*/encoder.json",
    "vectors": "spaces/*/vectors/*.f16",
    "ids": "spaces/*/vectors/*.ids",
    "FAISS": "spaces/*/ann/*/index.faiss",
    "recipe": "spaces/*/ann/*/recipe.toml",
    "report": "spaces/*/ann/*/report.json",
}


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of an index, by its relative path, and the bytes it has afterwards; None is no file."""

    path: str
    how: str
    content: bytes | None


def make(root: str, seed: int, first: int, last: int) -> None:
    """Carry out operations ``first`` to ``last``, the first of all makes the index.

    It has old and compacted segments, a FAISS generation and a tail behind it.
    """
    if first == 0:
        subject.create(Path(root)).close()
    with open_index(root, write=True) as index:
        for op, _ in islice(history(seed, readers.LEAST), max(1, first), last + 1):
            readers.do(index, op)


def state_after(seed: int, last: int) -> State:
    """What the model says of such an index."""
    return next(state for op, state in history(seed, readers.LEAST) if op.number == last)


def damages(root: Path, pattern: str, older: Path, other: Path, random: Random) -> Iterator[Damage]:
    """Ways to damage the files of one kind.

    older: the same index some operations ago.  other: an index of the same encoder with other pictures.
    """
    for path in sorted(root.glob(pattern)):
        name = str(path.relative_to(root))
        whole = path.read_bytes()
        yield Damage(name, "deleted", None)
        for how, content in (*_cut(whole), *_scratched(whole, random), *_grown(whole, random)):
            yield Damage(name, how, content)
        for place, what in ((older, "rolled back"), (other, "swapped with another index")):
            for twin in sorted(place.glob(pattern))[:2]:
                if twin.read_bytes() != whole:
                    yield Damage(name, f"{what} ({twin.name})", twin.read_bytes())


def _cut(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Shorter: by a byte, by half, within and behind a header, at pages."""
    few = max(1, len(whole) // PAGE // 8)
    places = {0, 1, 63, 64, len(whole) // 2, len(whole) - 1, *range(0, len(whole), few * PAGE)}
    for length in sorted(places):
        if 0 <= length < len(whole):
            yield f"cut to {length}", whole[:length]


def _scratched(whole: bytes, random: Random) -> Iterator[tuple[str, bytes]]:
    """In the first pages and some others, bits flipped, and the page zeroed; pages exchanged."""
    pages = range(0, len(whole), PAGE)
    for start in sorted({*pages[:4], *random.sample(pages, min(SCRATCHED, len(pages)))}):
        end = min(start + PAGE, len(whole))
        for at in (random.randrange(start, min(start + 64, end)), random.randrange(start, end)):
            bit = 1 << random.randrange(8)
            yield f"bit {bit} of byte {at} flipped", whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]
        yield f"page at {start} zeroed", whole[:start] + bytes(end - start) + whole[end:]
    if len(pages) > 2:
        a, b = sorted(random.sample(pages[:-1], 2))
        one, two = whole[a : a + PAGE], whole[b : b + PAGE]
        yield f"pages at {a} and {b} exchanged", whole[:a] + two + whole[a + PAGE : b] + one + whole[b + PAGE :]


def _grown(whole: bytes, random: Random) -> Iterator[tuple[str, bytes]]:
    """Something behind the end."""
    yield "junk appended", whole + random.randbytes(100)
    yield "zeros appended", whole + bytes(PAGE)


def inflict(damage: Damage, sound: Path, at: Path) -> None:
    """A damaged copy of an index."""
    shutil.copytree(sound, at)
    path = at / damage.path
    if damage.content is None:
        path.unlink()
    else:
        path.write_bytes(damage.content)


def examine(root: str, seed: int, last: int, older: int) -> dict[str, Any]:
    """Search, check, write, search again, repair, check again.

    older: another number of operations that the index may show, whole.
    Returns the error of each step, or None, under its name; what the two checks have found as ``problems`` and
    ``left``; and wrong answers as ``wrong``.
    """
    states = [state_after(seed, last), state_after(seed, older)]
    found: dict[str, Any] = {"problems": [], "left": [], "wrong": []}

    def search() -> None:
        with open_index(root) as index:
            wrong = [_wrong(index, state) for state in states]
            if all(wrong):
                found["wrong"] += wrong[0]

    def check() -> None:
        with open_index(root) as index:
            found["problems"] = list(index.check().problems)

    def write() -> None:
        with open_index(root, write=True) as index:
            readers.store_of(index).commit(Batch(failures=[Failure(b"/x", "scan", "x")]))
            index.compact()
            index.build("ivf-pq")

    def repair() -> None:
        with open_index(root, write=True) as index:
            index.repair()
            found["left"] = list(index.check().problems)

    steps = {"search": search, "check": check, "write": write, "again": search, "repair": repair}
    for name, step in steps.items():
        try:
            step()
            found[name] = None
        except VsearchError as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def _wrong(index: Index, state: State) -> list[str]:
    """Every live picture must find itself, at its path, and nothing that is dead."""
    live = {id: picture for id, picture in state.items() if not picture.missing}
    contents = [picture.content for picture in live.values()]
    xq = np.stack([vector(content) for content in contents]).astype(np.float32)
    scores, ids = index.search_vectors(xq, 3)
    wrong = [] if readers.right(state, contents, xq, scores, ids) else ["a search gives wrong answers"]
    with readers.store_of(index).snapshot() as snapshot:
        records = {id: snapshot.record(id) for id in np.unique(ids).tolist()}
    for id, record in records.items():
        if record is None:
            wrong += _dangling(index, id)
        elif id not in live or record.path != live[id].path:
            wrong.append(f"id {id} is {record}")
    return wrong


def _dangling(index: Index, id: int) -> list[str]:
    """An id without a record must be an error at the front door, not a hit that is left out."""
    with readers.store_of(index).snapshot() as snapshot:
        vectors = snapshot.vectors(np.array([id], np.int64))
    _, near = index.search_vectors(vectors, 2)
    neighbour = next(int(other) for other in near[0] if other != id)
    hits = index.search(Query.like(neighbour), k=len(index))
    return [f"id {id} has no record, and is left out of {len(hits)} hits"]
