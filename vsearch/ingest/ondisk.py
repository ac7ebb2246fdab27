"""Vectors whose pictures are on this machine: whether the encoder made them, and what the files are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vsearch.decode import Decoded, DecodePool, Job, known_file
from vsearch.errors import EncoderMismatch
from vsearch.ingest.embedding import embed_each
from vsearch.ingest.pipeline import is_racy
from vsearch.store import Record
from vsearch.store.records import RACY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed import Encoder

    Vector = NDArray[np.floating]

# fp16 and another JPEG decoder leave a cosine above this; another model, or other preprocessing, does not.
LEAST_COSINE = 0.99
# Of the sample; a few files may have been edited since.
MOST_OTHERS = 0.1


def recorded(record: Record) -> Record:
    """A record as ``Index.add`` would write it for the file that is there; unchanged when there is none to be read.

    So is that of a picture that EXIF says is to be turned: whoever embedded it elsewhere had it lying on its side, and
    ``Index.add`` is to embed it anew.
    """
    file = known_file(record.path)
    if file is None or file.turned:
        return record
    return replace(
        record,
        content=file.content,
        size=file.size,
        mtime_ns=file.mtime_ns,
        ctime_ns=file.ctime_ns,
        width=file.width,
        height=file.height,
        flags=RACY if is_racy(file.mtime_ns, file.ctime_ns) else 0,
    )


def compare(encoder: Encoder, sample: Iterable[tuple[bytes, Vector]], whose: str) -> list[float]:
    """Embed pictures and compare with the vectors that they came with; return the cosines, lowest first.

    sample: paths, each once, and vectors of any length.  Pictures that cannot be read, or that EXIF turns, are left
    out.  Raises EncoderMismatch when more than a tenth of the cosines are below 0.99, EncoderError.
    """
    given = dict(sample)
    usual = [path for path in given if (file := known_file(path)) is not None and not file.turned]
    cosines: list[float] = []
    with DecodePool(encoder.preprocess) as pool:
        for outcome in pool.map(map(Job, usual)):
            if isinstance(outcome, Decoded):
                (made,) = embed_each(encoder, outcome.pixels[None])
                if not isinstance(made, str):
                    cosines.append(_cosine(made, given[outcome.path]))
    cosines.sort()
    others = sum(cosine < LEAST_COSINE for cosine in cosines)
    if others > MOST_OTHERS * len(cosines):
        raise EncoderMismatch(
            f"{whose}: the vectors are not those that {encoder.info.name} makes: of {len(cosines)} pictures that are "
            f"there, {others} differ (cosines from {cosines[0]:.3f} to {cosines[-1]:.3f}). Name the encoder that made "
            f"them, or leave out --encoder and search them by vectors and pictures of the collection"
        )
    return cosines


def _cosine(one: Vector, other: Vector) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-300))
