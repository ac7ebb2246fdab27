"""Pictures that an encoder takes for similar: batches of them are hard to tell apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vsearch.errors import TrainError
from vsearch.kernels import topk
from vsearch.train.trainee import Inputs, Trainee

BLOCK = 65536
QUERIES = 256


def look_alikes(trainee: Trainee, inputs: Inputs, count: int) -> NDArray[np.int64]:
    """For each picture the ``count`` most like it by the encoder as it is, itself among them: (n, count) numbers.

    Exact search, n x n x dim multiplications; -1 where there are fewer.  Raises TrainError when some pictures cannot
    be decoded.
    """
    vectors = trainee.vectors(inputs)[1]
    if len(vectors) != len(inputs.pairs):
        raise TrainError("look-alikes need every picture; remove those that cannot be decoded, or use --hard-batches 0")
    return nearest(vectors.astype(np.float16), count)


def nearest(rows: NDArray[np.float16], count: int) -> NDArray[np.int64]:
    """For each row (n, dim) of unit length the ``count`` nearest, itself among them: (n, count); -1 for none."""
    vectors = rows.astype(np.float32)
    blocks = [(np.arange(at, min(at + BLOCK, len(rows))), rows[at : at + BLOCK]) for at in range(0, len(rows), BLOCK)]
    found = [topk(vectors[at : at + QUERIES], blocks, count)[1] for at in range(0, len(vectors), QUERIES)]
    return np.concatenate(found)
