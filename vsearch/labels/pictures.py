"""Pictures in files, classified without an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from vsearch.decode import Decoded, DecodePool, Job, Limits
from vsearch.labels.classifier import Classifier
from vsearch.types import Failure, Label

if TYPE_CHECKING:
    from vsearch.embed import Encoder

_BATCH = 64


def classify(
    encoder: Encoder,
    classifier: Classifier,
    paths: Sequence[bytes],
    *,
    top: int = 5,
    limits: Limits | None = None,
    workers: int | None = None,
) -> Iterator[tuple[bytes, list[Label] | Failure]]:
    """The likeliest labels of each picture, best first, or why it has none, in the order of the paths.

    Pictures are decoded ahead in worker processes and embedded in batches of 64.
    Raises EncoderError, EncoderUnavailable.
    """
    with DecodePool(encoder.preprocess, limits or Limits(), workers) as pool:
        found = pool.map(Job(path) for path in paths)
        while batch := list(islice(found, _BATCH)):
            good = [outcome.pixels for outcome in batch if isinstance(outcome, Decoded)]
            told = iter(classifier.names(encoder.encode_images(np.stack(good)), top) if good else [])
            for outcome in batch:
                yield outcome.path, outcome if isinstance(outcome, Failure) else next(told)
