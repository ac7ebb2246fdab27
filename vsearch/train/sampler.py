"""Which pairs make which batch: a function of seed and step, so that training resumes at the very sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vsearch.train.config import TrainConfig
from vsearch.train.pairs import Pairs

Rows = NDArray[np.int64]


class Sampler:
    """The batches of a run.

    An epoch shows each picture once with one of its captions, or each caption once; what is left over at its end is
    too few for a batch and is dropped, others at each epoch.
    """

    def __init__(self, pairs: Pairs, config: TrainConfig, alike: Rows | None = None) -> None:
        """alike: for each picture those most like it, (n, k), -1 for none, by which batches of look-alikes are made."""
        self._first = np.asarray(pairs.first)
        self._owner = np.asarray(pairs.owner)
        self._config = config
        self._alike = alike if config.hard_batches else None
        self.units = len(pairs) if config.unit == "picture" else len(self._owner)
        self.batch = min(config.batch, self.units)
        self.steps_per_epoch = self.units // self.batch

    def rows(self, step: int) -> tuple[Rows, Rows]:
        """Pictures and captions of the batch of that step, (n,) ids each."""
        epoch, place = divmod(step, self.steps_per_epoch)
        random = np.random.Generator(np.random.Philox(key=[self._config.seed, epoch]))
        order = random.permutation(self.units)
        if self._alike is not None:
            order = _clustered(order, self._alike, self._config.hard_batches)
        drawn = random.random(self.units)
        chosen = order[place * self.batch : (place + 1) * self.batch]
        if self._config.unit == "caption":
            return self._owner[chosen], chosen
        first, behind = self._first[chosen], self._first[chosen + 1]
        return chosen, first + (drawn[chosen] * (behind - first)).astype(np.int64)


def _clustered(order: Rows, alike: Rows, size: int) -> Rows:
    """The same pictures in an order in which each drawn one is followed by those like it that are not used yet."""
    free = np.ones(len(order), dtype=bool)
    out: list[int] = []
    for picture in order:
        if not free[picture]:
            continue
        group = [int(picture), *(int(n) for n in alike[picture] if n >= 0 and n != picture and free[n])][:size]
        free[group] = False
        out += group
    return np.array(out, dtype=np.int64)
