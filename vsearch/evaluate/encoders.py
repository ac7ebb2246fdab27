"""Measuring encoders: each function embeds what it is given and returns the figures of one kind of evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.errors import QueryError
from vsearch.evaluate.compositional import Swap, cosine_score, swap_scores
from vsearch.evaluate.pairs import OnProgress, Pairs, embed_pairs, embed_pictures
from vsearch.evaluate.report import comparison, retrieval_report
from vsearch.evaluate.retrieval import Ranks, ranks
from vsearch.evaluate.zeroshot import Labelled, accuracy
from vsearch.labels.classifier import directions
from vsearch.types import Failure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed import Encoder

    Ids = NDArray[np.int64]

Score = Callable[["Ids", list[str]], "NDArray[np.floating]"]


@dataclass(frozen=True)
class Measured:
    """figures: plain values, ready for JSON.  failures: pictures that could not be read, and took no part.

    ranks: of each encoder, for curves; empty for kinds that rank nothing.
    """

    figures: dict[str, Any]
    failures: tuple[Failure, ...]
    ranks: tuple[Ranks, ...] = ()


def measure_retrieval(pairs: Pairs, encoder: Encoder, progress: OnProgress | None = None) -> Measured:
    """Recall@1, 5, 10 and median rank of an encoder, both ways.  Raises EncoderError, QueryError."""
    vectors = embed_pairs(pairs, encoder, progress)
    found = ranks(vectors.xt, vectors.xi, vectors.owner)
    told = {**_named(encoder), **retrieval_report(found), "failed": len(vectors.failures)}
    return Measured(told, vectors.failures, (found,))


def measure_comparison(pairs: Pairs, a: Encoder, b: Encoder, progress: OnProgress | None = None) -> Measured:
    """Two encoders on the same pairs: their recalls, and the difference with its bounds.

    Raises EncoderError, QueryError.
    """
    seen = [embed_pairs(pairs, encoder, progress) for encoder in (a, b)]
    # A picture that only one of them could read would make the sets differ.
    lost = {failure.path: failure for vectors in seen for failure in vectors.failures}
    if len({len(vectors.xi) for vectors in seen}) > 1:
        raise QueryError(
            f"the two encoders could not read the same pictures ({len(lost)} failed); take these out of the table: "
            + ", ".join(failure.uri for failure in list(lost.values())[:3])
        )
    found = tuple(ranks(vectors.xt, vectors.xi, vectors.owner) for vectors in seen)
    told = {
        "a": {**_named(a), **retrieval_report(found[0])},
        "b": {**_named(b), **retrieval_report(found[1])},
        "difference": comparison(found[0], found[1]),
        "failed": len(lost),
    }
    return Measured(told, tuple(lost.values()), found)


def measure_zeroshot(
    labelled: Labelled, encoder: Encoder, templates: Sequence[str], progress: OnProgress | None = None
) -> Measured:
    """Zero-shot accuracy of an encoder.  templates: sentences with ``{}`` for the label.

    Raises EncoderError, QueryError when no picture can be read.
    """
    xi, failures = embed_pictures(labelled.paths, encoder, progress)
    if not len(xi):
        raise QueryError(f"none of {len(labelled.paths)} pictures can be read: {failures[0].reason}")
    there = _readable(labelled.paths, failures)
    kept = replace(
        labelled, paths=tuple(p for p, ok in zip(labelled.paths, there, strict=True) if ok), truth=labelled.truth[there]
    )
    classes = directions(encoder.encode_texts, labelled.labels, templates)
    told = {**_named(encoder), "templates": len(templates), **accuracy(xi, classes, kept), "failed": len(failures)}
    return Measured(told, tuple(failures))


def measure_swaps(swaps: list[Swap], encoder: Encoder, progress: OnProgress | None = None) -> Measured:
    """Swap accuracy of an encoder, by kind.  Raises EncoderError, QueryError."""
    xi, failures = embed_pictures([swap.path for swap in swaps], encoder, progress)
    return scored_swaps(swaps, cosine_score(xi, encoder.encode_texts), failures, _named(encoder))


def scored_swaps(swaps: list[Swap], score: Score, failures: Sequence[Failure], named: Mapping[str, Any]) -> Measured:
    """Swap accuracy by a score of (rows among the readable pictures, texts).

    failures: pictures that could not be read.  named: what was measured, for the figures.  Raises QueryError.
    """
    there = _readable([swap.path for swap in swaps], failures)
    told = swap_scores([swap for swap, ok in zip(swaps, there, strict=True) if ok], score)
    return Measured({**named, "kinds": told, "failed": len(failures)}, tuple(failures))


def _readable(paths: Sequence[bytes], failures: Sequence[Failure]) -> NDArray[np.bool_]:
    lost = {failure.path for failure in failures}
    return np.array([path not in lost for path in paths])


def _named(encoder: Encoder) -> dict[str, Any]:
    return {"encoder": encoder.info.name, "digest": encoder.info.digest[:12]}
