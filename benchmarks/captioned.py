"""Pictures with all that is said of each, their pixels for `mini`, and the rank at which a sentence finds its own."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import vsearch
from vsearch.decode import Decoded, DecodePool, Job
from vsearch.embed.mini import Mini

Captions = dict[Path, list[str]]
Matrix = NDArray[np.float32]


def flickr8k() -> Captions:
    """The development pictures of Flickr8k under ``$VSEARCH_EVAL_DATA``, with five captions each; none without it."""
    found: Captions = {}
    for path, title in _rows("flickr8k/dev.tsv"):
        found.setdefault(path, []).append(title)
    return found


def gallery() -> Captions:
    """The captioned pictures of the demo in ./photos; none where it was not gathered."""
    root = Path("photos")
    found = vsearch.folder(root) if root.is_dir() else []
    return {Path(os.fsdecode(i.path)): [i.caption] for i in found if isinstance(i, vsearch.Item) and i.caption}


def caltech101() -> dict[str, list[Path]]:
    """The pictures of each class of Caltech-101 under ``$VSEARCH_EVAL_DATA``, by its name; none without it."""
    classes: dict[str, list[Path]] = {}
    for path, _ in _rows("caltech101/labels.tsv"):
        classes.setdefault(path.parent.name.replace("_", " ").lower(), []).append(path)
    classes.pop("background google", None)
    return classes


def _rows(listing: str) -> list[tuple[Path, str]]:
    path = Path(os.environ.get("VSEARCH_EVAL_DATA") or "/nonexistent") / listing
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [(path.parent / row["filepath"], row["title"]) for row in csv.DictReader(file, delimiter="\t")]


def pixels(paths: list[Path]) -> NDArray[np.uint8]:
    """(n, 260, 260, 3), as `mini` wants them."""
    with DecodePool(Mini.preprocess) as pool:
        decoded = list(pool.map(Job(os.fsencode(path)) for path in paths))
    assert all(isinstance(one, Decoded) for one in decoded)
    return np.stack([one.pixels for one in decoded if isinstance(one, Decoded)])


def owners(captions: Captions) -> NDArray[np.int64]:
    """The number of the picture that each caption belongs to."""
    return np.repeat(np.arange(len(captions)), [len(texts) for texts in captions.values()])


def ranks(queries: Matrix, rows: Matrix, own: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each query the rank, from 1, of the row that is its own."""
    scores = queries @ rows.T
    found: NDArray[np.int64] = 1 + (scores > scores[np.arange(len(own)), own][:, None]).sum(axis=1)
    return found
