"""Whether the confidence of the best hit tells queries about what is there from queries about what is not.

auc is the area under the ROC curve: the chance that a present query's best hit has more confidence than an absent
one's.  Every collection is an index of its own, with its own background.

gallery: for each subject of the demo's gallery (its first folder) the collection is the pictures of all other subjects
whose captions share no content word with any caption of it.  Absent: the captions of the subject that is left out;
present: the captions of what is there, whose own pictures are therefore there.
caltech101: half of the classes are the collection, the other half is absent, and the other way round.  Texts are "a
photo of a CLASS"; pictures are others of the same classes, which are not in the collection.
flickr8k: the development pictures; present are their first captions, absent are those classes of Caltech-101 none of
whose words is in any caption.
pairs: confidence of a caption with its own picture against that with a picture of another subject.

score and z_score are the same with the plain cosine, and with the cosine in standard deviations of the query's own
scores over the collection.  warned is the share of queries of which it is said that nothing here seems to match.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from labelled import Labelled, caltech101, content_words, flickr8k, flickr8k_words, gallery, image_vectors
from numpy.typing import NDArray

import vsearch
from vsearch.confidence import NOTHING
from vsearch.embed import Encoder, load_encoder
from vsearch.recipe import Modality

Matrix = NDArray[np.float32]

EACH, QUICK_EACH = 12, 4
QUICK_FLICKR = 200
FEWEST = 64
KINDS = ("confidence", "score", "z_score")
CURVE = np.linspace(0, 1, 21)


@dataclass
class Told:
    """What best hits are told to be, by kind: of present and of absent queries."""

    present: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    absent: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def figures(self) -> dict[str, Any]:
        """The figures of one set."""
        pairs = {kind: (np.array(self.present[kind]), np.array(self.absent[kind])) for kind in KINDS}
        present, absent = pairs["confidence"]
        return {
            "present": len(present),
            "absent": len(absent),
            "auc": round(auc(present, absent), 4),
            **{f"auc_{kind}": round(auc(*pairs[kind]), 4) for kind in KINDS[1:]},
            "warned_present": round(float((present < NOTHING).mean()), 4),
            "warned_absent": round(float((absent < NOTHING).mean()), 4),
            "roc": roc(present, absent),
        }


def auc(present: NDArray[np.float64], absent: NDArray[np.float64]) -> float:
    """The share of pairs in the right order, ties counting half (Mann and Whitney 1947)."""
    above = (present[:, None] > absent).mean()
    return float(above + 0.5 * (present[:, None] == absent).mean())


def roc(present: NDArray[np.float64], absent: NDArray[np.float64]) -> list[list[float]]:
    """[share of absent, share of present] queries above a threshold, for thresholds at quantiles of the absent."""
    thresholds = np.quantile(absent, 1 - CURVE)
    return [[round(float((absent > t).mean()), 3), round(float((present > t).mean()), 3)] for t in thresholds]


def run(quick: bool, encoder: str = "mini") -> dict[str, Any]:
    """Measure on what data there is; quick takes fewer pictures."""
    loaded = load_encoder(encoder)
    figures: dict[str, Any] = {"encoder": encoder}
    pictures = gallery()
    if pictures:
        figures["gallery_text"] = _gallery(loaded, pictures).figures()
        figures["gallery_pairs_auc"] = _pairs(loaded, pictures, apart=lambda a, b: a.words.isdisjoint(b.words))
    classes = caltech101(QUICK_EACH if quick else EACH)
    if classes:
        text, image = _caltech(loaded, classes)
        figures |= {"caltech101_text": text.figures(), "caltech101_image": image.figures()}
    flickr = flickr8k(QUICK_FLICKR if quick else None)
    if flickr and classes:
        figures["flickr8k_text"] = _flickr(loaded, flickr, classes).figures()
        figures["flickr8k_pairs_auc"] = _pairs(loaded, flickr, apart=lambda a, b: a.subject != b.subject)
    return figures


def tables(figures: dict[str, Any]) -> list[str]:
    """A row for each set."""
    sets = {name: told for name, told in figures.items() if isinstance(told, dict)}
    columns = ("present", "absent", "auc", "auc_score", "auc_z_score", "warned_present", "warned_absent")
    lines = ["", "| set | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    lines += [f"| {name} | " + " | ".join(f"{told[c]:g}" for c in columns) + " |" for name, told in sets.items()]
    return [*lines, ""]


def _gallery(encoder: Encoder, pictures: list[Labelled]) -> Told:
    images, texts = image_vectors(encoder, pictures), encoder.encode_texts([p.caption for p in pictures])
    told = Told()
    for subject in sorted({p.subject for p in pictures} - {"scenes"}):
        out = np.array([p.subject == subject for p in pictures])
        words = frozenset().union(*(p.words for p in pictures if p.subject == subject))
        there = np.array([p.subject != subject and p.words.isdisjoint(words) for p in pictures])
        _ask(told, encoder, images[there], texts[there], texts[out], "text")
    return told


def _caltech(encoder: Encoder, pictures: list[Labelled]) -> tuple[Told, Told]:
    images = image_vectors(encoder, pictures)
    subjects = sorted({p.subject for p in pictures})
    captions = {p.subject: p.caption for p in pictures}
    texts = encoder.encode_texts([captions[s] for s in subjects])
    numbers = np.array([subjects.index(p.subject) for p in pictures])
    asked = np.arange(len(pictures)) % 2 == 1  # every other picture of a class is a query
    text, image = Told(), Told()
    for half in (0, 1):
        there = numbers % 2 == half
        kept = images[there & ~asked]
        in_half = np.arange(len(subjects)) % 2 == half
        _ask(text, encoder, kept, texts[in_half], texts[~in_half], "text")
        _ask(image, encoder, kept, images[there & asked], images[~there & asked], "image")
    return text, image


def _flickr(encoder: Encoder, pictures: list[Labelled], classes: list[Labelled]) -> Told:
    known = flickr8k_words()
    absent = sorted({p.caption for p in classes if content_words(p.caption).isdisjoint(known)})
    told = Told()
    present = encoder.encode_texts([p.caption for p in pictures])
    _ask(told, encoder, image_vectors(encoder, pictures), present, encoder.encode_texts(absent), "text")
    return told


def _ask(told: Told, encoder: Encoder, images: Matrix, present: Matrix, absent: Matrix, modality: Modality) -> None:
    if len(images) < FEWEST:
        return
    with _index(encoder, images) as index:
        for kept, queries in ((told.present, present), (told.absent, absent)):
            for query in queries:
                (best,) = index.search(query, 1, modality=modality)
                scores = images @ query
                values = (best.confidence, best.score, (best.score - scores.mean()) / scores.std())
                for kind, value in zip(KINDS, values, strict=True):
                    kept[kind].append(float(value or 0.0))


def _pairs(encoder: Encoder, pictures: list[Labelled], apart: Callable[[Labelled, Labelled], bool]) -> float:
    """Own pictures against one drawn from those of other subjects, for each caption."""
    images, texts = image_vectors(encoder, pictures), encoder.encode_texts([p.caption for p in pictures])
    with _index(encoder, images) as index, index.store.snapshot() as snapshot:
        background = index.background(snapshot)
        assert background is not None
        own, other = [], []
        others = _others(pictures, apart)
        for text, image, at in zip(texts, images, others, strict=True):
            for kept, row in ((own, image), (other, images[at])):
                kept.append(background.confidence(text, "text", float(text @ row)) or 0.0)
    return round(auc(np.array(own), np.array(other)), 4)


def _others(pictures: list[Labelled], apart: Callable[[Labelled, Labelled], bool]) -> Iterator[int]:
    rng = np.random.default_rng(0)
    for picture in pictures:
        yield next(int(at) for at in rng.permutation(len(pictures)) if apart(picture, pictures[int(at)]))


class _index:  # noqa: N801 (used as a function)
    """An index over vectors, in a folder that goes with it."""

    def __init__(self, encoder: Encoder, images: Matrix) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="vsearch-confidence-")
        self._index = vsearch.create(Path(self._folder.name) / "x.vsearch", encoder=encoder)
        self._index.add_vectors([f"{n}" for n in range(len(images))], images)

    def __enter__(self) -> vsearch.Index:
        return self._index

    def __exit__(self, *_: object) -> None:
        self._index.close()
        self._folder.cleanup()
