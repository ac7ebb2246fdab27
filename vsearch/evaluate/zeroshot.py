"""Zero-shot classification: labels become sentences, and a picture is given the label whose sentences are nearest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.errors import QueryError
from vsearch.evaluate.bootstrap import interval, resampled_means
from vsearch.evaluate.retrieval import TIE
from vsearch.evaluate.tables import PATH, beside, read_rows
from vsearch.sources import folder
from vsearch.types import Item

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

KS = (1, 5)


@dataclass(frozen=True)
class Labelled:
    """paths: (n) pictures.  labels: the different labels, sorted.  truth: (n,) row in ``labels`` of each picture."""

    paths: tuple[bytes, ...]
    labels: tuple[str, ...]
    truth: Ids


def read_labelled(path: str | os.PathLike[str], label_column: str = "label") -> Labelled:
    """Pictures with labels: a folder with one folder for each label, or a CSV or TSV table with a column ``filepath``.

    In a folder's name ``_`` and ``-`` stand for spaces.  Raises SourceError, and QueryError for fewer than two labels.
    """
    rows = _of_folder(Path(path)) if os.path.isdir(path) else _of_table(Path(path), label_column)
    labels = sorted({label for _, label in rows})
    if len(labels) < 2:
        raise QueryError(f"{len(labels)} labels in {str(path)!r}; two are the least to choose between")
    row = {label: at for at, label in enumerate(labels)}
    return Labelled(tuple(p for p, _ in rows), tuple(labels), np.array([row[label] for _, label in rows], np.int64))


def _of_folder(root: Path) -> list[tuple[bytes, str]]:
    base = os.fsencode(os.path.abspath(root))
    inside = [
        (item.path, os.path.relpath(item.path, base).split(b"/")) for item in folder(root) if isinstance(item, Item)
    ]
    names = {path: os.fsdecode(parts[0]) for path, parts in inside if len(parts) > 1}
    return [(path, " ".join(name.replace("_", " ").replace("-", " ").split())) for path, name in names.items()]


def _of_table(table: Path, label_column: str) -> list[tuple[bytes, str]]:
    rows = read_rows(table, label_column)
    return [(beside(table, row[PATH]), row[label_column]) for row in rows if row[PATH] and row.get(label_column)]


def accuracy(xi: Matrix, classes: Matrix, labelled: Labelled) -> dict[str, Any]:
    """Top-1 and top-5 accuracy with bounds, the mean recall of the classes, and the recall of each.

    xi: (n, dim) pictures, classes: (labels, dim), unit length; ``labelled`` tells of just these pictures.  A class
    that scores as much as the right one counts as before it.
    """
    scores = xi @ classes.T
    rows = np.arange(len(xi))
    own = scores[rows, labelled.truth]
    rank = (scores >= own[:, None] - TIE).sum(axis=1)  # counts itself
    hits = rank[:, None] <= np.array(KS)
    bounds = interval(resampled_means(hits, rows)).tolist()
    counts = np.bincount(labelled.truth, minlength=len(labelled.labels))
    found = np.bincount(labelled.truth, hits[:, 0], len(labelled.labels))
    asked = np.flatnonzero(counts)
    recall = found[asked] / counts[asked]
    return {
        "pictures": len(xi),
        "classes": len(labelled.labels),
        **{f"top_{k}": round(float(hits[:, at].mean()), 4) for at, k in enumerate(KS)},
        "mean_per_class_recall": round(float(recall.mean()), 4),
        "interval_95": {f"top_{k}": [round(b, 4) for b in bounds[at]] for at, k in enumerate(KS)},
        "per_class_recall": {labelled.labels[at]: round(float(r), 4) for at, r in zip(asked, recall, strict=True)},
    }
