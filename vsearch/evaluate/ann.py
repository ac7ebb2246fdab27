"""How well and how fast an index answers, for each modality, against exact search."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vsearch import phrases
from vsearch.build.texts import ENOUGH
from vsearch.embed.external import is_external
from vsearch.errors import DimensionMismatch, QueryError
from vsearch.kernels import topk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.index import Index
    from vsearch.recipe import Modality
    from vsearch.store import Snapshot

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

Notice = Callable[[str], None]

TIE = 1e-6  # scores nearer than this are taken for equal
TRUTH_BATCH = 64  # queries for each pass over the rows: more of them make the merging of blocks slow
LARGE_BATCH = 100


@dataclass(frozen=True)
class Queries:
    """Queries of one modality.

    vectors: (n, dim) float32.  origin: where they are from.  ids: those of the stored pictures that they are, which
    are left out of their own results; None for queries from elsewhere.
    """

    vectors: Matrix
    origin: Literal["given", "captions", "phrases", "sample"]
    ids: Ids | None = None


def measure(
    index: Index,
    text: NDArray[np.floating] | None = None,
    image: NDArray[np.floating] | None = None,
    *,
    k: int = 10,
    count: int = 1000,
    seed: int = 0,
    on_notice: Notice | None = None,
) -> dict[str, Any]:
    """Measure an index as it stands, with its own settings.

    text, image: (n, dim) queries.  Without them, at most ``count`` are drawn: captions of the collection (the
    bundled phrases where it has fewer than 500), embedded by the pinned encoder; and stored vectors, each left out of
    its own results.
    Returns ``bytes_per_vector`` (of the FAISS index; of the stored rows where everything is searched exactly),
    ``count``, ``dim``, ``index``, ``k``, and under ``text`` and ``image`` ``recall@k`` (the share of the exact k best
    that is found, ties allowed), ``p50_ms``, ``p95_ms`` and ``queries_per_second`` one query at a time,
    ``queries_per_second_batch_100``, ``queries``, ``origin``.  ``text`` is None where no text can be embedded.
    Raises QueryError for an empty index, DimensionMismatch, EncoderError, IndexCorrupt.
    """
    if len(index) == 0:
        raise QueryError(f"{index.path}: is empty, so there is nothing to measure")
    told = index.info()
    figures = {
        "bytes_per_vector": round(_bytes_per_vector(index), 2),
        "count": told["images"],
        "dim": told["dim"],
        "index": told["index"],
        "k": k,
    }
    texts = Queries(_checked(text, told["dim"]), "given") if text is not None else _texts(index, count, seed, on_notice)
    images = Queries(_checked(image, told["dim"]), "given") if image is not None else _sample(index, count, seed)
    figures["text"] = _measure(index, texts, "text", k) if texts is not None else None
    figures["image"] = _measure(index, images, "image", k)
    return figures


def recall(index: Index, queries: Queries, found: Ids, k: int) -> float:
    """The share of the exact k best of each query that ``found`` (n, k) has.

    A picture that ties with the k-th best within 1e-6 counts as one of them.  Where fewer than k exist, of those.
    """
    shares = []
    with index.store.snapshot() as snapshot:
        for first in range(0, len(queries.vectors), TRUTH_BATCH):
            part = slice(first, first + TRUTH_BATCH)
            own = queries.ids[part] if queries.ids is not None else None
            scores = _exact(snapshot, _unit(queries.vectors[part]), own, k)
            shares += _shares(snapshot, _unit(queries.vectors[part]), found[part], scores)
    return float(np.mean(shares)) if shares else 1.0


def _exact(snapshot: Snapshot, xq: Matrix, own: Ids | None, k: int) -> Matrix:
    """Scores of the exact k best, (n, k), highest first, -inf where fewer exist."""
    scores, ids = topk(xq, snapshot.blocks(), k + (own is not None), snapshot.live)
    if own is None:
        return scores
    return _without(scores, ids, own)[0]


def _without(scores: Matrix, ids: Ids, own: Ids) -> tuple[Matrix, Ids]:
    """Take each query's own picture, or the last one where it was not found, out of (n, k + 1) results."""
    drop = ids == own[:, None]
    drop[~drop.any(axis=1), -1] = True
    return scores[~drop].reshape(len(ids), -1), ids[~drop].reshape(len(ids), -1)


def _shares(snapshot: Snapshot, xq: Matrix, found: Ids, truth: Matrix) -> list[float]:
    shares = []
    for query, ids, scores in zip(xq, found, truth, strict=True):
        possible = int(np.isfinite(scores).sum())
        there = np.unique(ids[ids >= 0])
        if possible:
            good = snapshot.vectors(there) @ query >= scores[possible - 1] - TIE
            shares.append(min(1.0, float(good.sum()) / possible))
    return shares


def _measure(index: Index, queries: Queries, modality: Modality, k: int) -> dict[str, Any]:
    # One more where the query itself will be found.
    wanted = k + (queries.ids is not None)

    def search(first: int, stop: int) -> tuple[Matrix, Ids]:
        return index.search_vectors(queries.vectors[first:stop], wanted, modality=modality)

    number = len(queries.vectors)
    search(0, min(LARGE_BATCH, number))  # opens what is opened by the first search, and fills the caches
    single = [_timed(search, at, at + 1) for at in range(number)]
    batches = [_timed(search, at, min(at + LARGE_BATCH, number)) for at in range(0, number, LARGE_BATCH)]
    scores, ids = search(0, number)
    if queries.ids is not None:
        ids = _without(scores, ids, queries.ids)[1]
    p50, p95 = np.percentile(single, (50, 95)) * 1000
    return {
        f"recall@{k}": round(recall(index, queries, ids, k), 4),
        "p50_ms": round(float(p50), 3),
        "p95_ms": round(float(p95), 3),
        "queries_per_second": round(number / sum(single), 1),
        f"queries_per_second_batch_{LARGE_BATCH}": round(number / sum(batches), 1),
        "queries": number,
        "origin": queries.origin,
    }


def _timed(search: Callable[[int, int], object], first: int, stop: int) -> float:
    started = time.perf_counter()
    search(first, stop)
    return time.perf_counter() - started


def _bytes_per_vector(index: Index) -> float:
    with index.store.snapshot() as snapshot:
        generation, dim = snapshot.space.generation, snapshot.space.dim
    return generation.length / max(1, generation.count) if generation else 2.0 * dim


def _checked(vectors: NDArray[np.floating], dim: int) -> Matrix:
    if vectors.ndim != 2 or vectors.shape[1] != dim or not len(vectors):
        raise DimensionMismatch(f"queries of shape {vectors.shape}; this index needs (n, {dim})")
    return np.ascontiguousarray(vectors, np.float32)


def _unit(xq: Matrix) -> Matrix:
    scaled: Matrix = xq / np.linalg.norm(xq, axis=1, keepdims=True)
    return scaled


def _sample(index: Index, count: int, seed: int) -> Queries:
    with index.store.snapshot() as snapshot:
        live = snapshot.live_ids()
        chosen = np.sort(np.random.default_rng(seed).choice(live, min(count, len(live)), replace=False))
        return Queries(snapshot.vectors(chosen), "sample", chosen)


def _texts(index: Index, count: int, seed: int, on_notice: Notice | None) -> Queries | None:
    name = index.encoder_info.name
    if is_external(name):
        if on_notice is not None:
            on_notice(f"no text was measured: {name} can embed none here; give vectors of some with --text-queries")
        return None
    told = _captions(index)
    if len(told) >= ENOUGH:
        drawn = np.random.default_rng(seed).permutation(len(told))[:count]
        return Queries(index.encoder.encode_texts([told[i] for i in drawn]), "captions")
    return Queries(index.encoder.encode_texts(phrases.load()[:count]), "phrases")


def _captions(index: Index) -> list[str]:
    """The different captions of the collection; a picture may have several, one a line."""
    told: dict[str, None] = {}
    with index.store.snapshot() as snapshot:
        for _, record in snapshot.items():
            if record.caption and not record.missing:
                told.update(dict.fromkeys(line.strip() for line in record.caption.splitlines() if line.strip()))
    return list(told)
