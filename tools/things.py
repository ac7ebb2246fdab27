"""The pictures of things that `mini` sees in training, and the classes that it never does: they measure it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

UNSEEN = 20
SEED = 7


def pictures_of_things(data: Path) -> tuple[list[Path], list[str]]:
    """Pictures of Caltech-101, without their labels, and the names of the 20 classes that are kept out of them."""
    with (data / "caltech101" / "labels.tsv").open(encoding="utf-8", newline="") as file:
        names = [row["filepath"] for row in csv.DictReader(file, delimiter="\t")]
    classes = sorted({class_of(name) for name in names} - {"background google"})
    unseen = sorted(np.random.default_rng(SEED).permutation(classes)[:UNSEEN].tolist())
    return [data / "caltech101" / name for name in names if class_of(name) not in unseen], unseen


def class_of(filepath: str) -> str:
    """The name of a picture's class, as people write it."""
    return filepath.split("/")[0].replace("_", " ").lower()
