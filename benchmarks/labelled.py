"""Captioned pictures with a subject each, and their vectors: what questions about meaning are measured with.

gallery: the demo's pictures in ./photos; the subject is the first folder (scenes are put together from several
subjects, so they have one of their own).  flickr8k, caltech101: from ``$VSEARCH_EVAL_DATA``; the subject is the picture
itself there, and the class here.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import vsearch
from vsearch.decode import Decoded, DecodePool, Job
from vsearch.embed import Encoder

Matrix = NDArray[np.float32]

CACHE = Path(__file__).resolve().parent.parent / ".bench" / "vectors"
BATCH = 64
# Words that say nothing about what is shown: grammar, colours, and what "a photo of" is made of.
EMPTY = set(
    "a an the of on in at with and or to for from by is are its it this that his her their as one two three some "
    "photo picture red orange yellow green blue purple pink brown black white grey gray colorful dark light".split()
)


@dataclass(frozen=True)
class Labelled:
    """One picture."""

    path: Path
    caption: str
    subject: str

    @property
    def words(self) -> frozenset[str]:
        """The content words of its caption."""
        return content_words(self.caption)


def content_words(text: str) -> frozenset[str]:
    """Words of three letters or more that are not empty, without a plural s."""
    words = (word.removesuffix("s") for word in re.findall(r"[a-z]+", text.lower()) if word not in EMPTY)
    return frozenset(word for word in words if len(word) > 2)


def gallery() -> list[Labelled]:
    """The captioned pictures of the demo, none where it was not gathered."""
    root = Path("photos").absolute()
    found = vsearch.folder(root) if root.is_dir() else []
    items = [(Path(os.fsdecode(i.path)), i.caption) for i in found if isinstance(i, vsearch.Item)]
    return [Labelled(path, text, path.relative_to(root).parts[0]) for path, text in items if text]


def flickr8k(most: int | None = None) -> list[Labelled]:
    """The development pictures of Flickr8k with their first caption."""
    first: dict[str, str] = {}
    for name, caption in _rows("flickr8k/dev.tsv"):
        first.setdefault(name, caption)
    return [Labelled(_data() / "flickr8k" / name, text, name) for name, text in list(first.items())[:most]]


def caltech101(each: int) -> list[Labelled]:
    """At most ``each`` pictures of every class of Caltech-101."""
    taken: dict[str, list[Labelled]] = {}
    for name, title in _rows("caltech101/labels.tsv"):
        subject = name.split("/")[0]
        taken.setdefault(subject, []).append(Labelled(_data() / "caltech101" / name, title.replace("_", " "), subject))
    return [picture for pictures in taken.values() for picture in pictures[:each]]


def flickr8k_words() -> frozenset[str]:
    """The content words of all five captions of all development pictures."""
    return frozenset().union(*(content_words(caption) for _, caption in _rows("flickr8k/dev.tsv")))


def _data() -> Path:
    return Path(os.environ.get("VSEARCH_EVAL_DATA") or "/nonexistent")


def _rows(listing: str) -> list[tuple[str, str]]:
    path = _data() / listing
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["filepath"], row["title"]) for row in csv.DictReader(file, delimiter="\t")]


def image_vectors(encoder: Encoder, pictures: list[Labelled]) -> Matrix:
    """Their vectors (n, dim), kept in .bench for the next suite: embedding is not what is measured here."""
    names = "\n".join(str(picture.path) for picture in pictures)
    kept = CACHE / f"{encoder.info.digest[:16]}-{hashlib.sha256(names.encode()).hexdigest()[:16]}.npy"
    if kept.is_file():
        stored: Matrix = np.load(kept)
        return stored
    rows = []
    with DecodePool(encoder.preprocess) as pool:
        for first in range(0, len(pictures), BATCH):
            decoded = list(pool.map(Job(os.fsencode(p.path)) for p in pictures[first : first + BATCH]))
            assert all(isinstance(d, Decoded) for d in decoded)
            rows.append(encoder.encode_images(np.stack([d.pixels for d in decoded if isinstance(d, Decoded)])))
    made = np.concatenate(rows)
    CACHE.mkdir(parents=True, exist_ok=True)
    np.save(kept, made)
    return made
