"""What marking a few results does: precision@10 for the classes of Caltech-101, before and after.

The query is "a photo of a CLASS" over at most 12 pictures of each class.  Of its 20 best the first m right ones and the
first m wrong ones are marked, as far as there are so many.  Both rankings are without the marked pictures, so that
nothing is gained by showing again what was marked (residual collection, Salton and Buckley 1990).  Queries without one
right result among the 20 are left out: there is nothing to mark.  rocchio is the formula alone; from three marks of
each kind on vsearch adds a logistic head.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from labelled import caltech101, image_vectors
from numpy.typing import NDArray

from vsearch.embed import load_encoder
from vsearch.search import feedback

Matrix = NDArray[np.float32]

EACH, QUICK_EACH = 12, 4
MARKS = (1, 2, 3, 5)
SHOWN, K = 20, 10


def run(quick: bool, encoder: str = "mini") -> dict[str, Any]:
    """Measure; nothing without Caltech-101."""
    pictures = caltech101(QUICK_EACH if quick else EACH)
    figures: dict[str, Any] = {"encoder": encoder, "pictures": len(pictures)}
    if not pictures:
        return figures
    loaded = load_encoder(encoder)
    images = image_vectors(loaded, pictures)
    subjects = np.array([p.subject for p in pictures])
    captions = {p.subject: p.caption for p in pictures}
    texts = dict(zip(captions, loaded.encode_texts(list(captions.values())), strict=True))
    for marks in MARKS:
        told = [_asked(images, subjects == subject, query, marks) for subject, query in texts.items()]
        before, rocchio, after = np.mean([row for row in told if row is not None], axis=0)
        figures |= {
            f"marks_{marks}_queries": sum(row is not None for row in told),
            f"marks_{marks}_precision@10_before": round(float(before), 4),
            f"marks_{marks}_precision@10_rocchio": round(float(rocchio), 4),
            f"marks_{marks}_precision@10_after": round(float(after), 4),
        }
    return figures


def _asked(images: Matrix, right: NDArray[np.bool_], query: Matrix, marks: int) -> tuple[float, float, float] | None:
    shown = np.argsort(-(images @ query), kind="stable")[:SHOWN]
    more, less = shown[right[shown]][:marks], shown[~right[shown]][:marks]
    if not len(more):
        return None
    rest = np.setdiff1d(np.arange(len(images)), [*more, *less])

    def precision(vector: Matrix) -> float:
        best = rest[np.argsort(-(images[rest] @ vector), kind="stable")[:K]]
        return float(right[best].mean())

    moved = feedback.direction(query, images[more], images[less])
    return precision(query), precision(feedback.rocchio(query, images[more], images[less])), precision(moved)
