"""What a build will take, told before it starts: time, memory at its peak, bytes for each vector."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from vsearch.ann import code_bytes
from vsearch.ann.cells import ROUNDS
from vsearch.ann.growing import CODE_ROWS
from vsearch.errors import MemoryBudgetTooSmall
from vsearch.recipe import Plan

# Interpreter, numpy, FAISS, LMDB, and the buffers of BLAS; measured.
BASE = 280 << 20
BLOCK = 8192
# Fewer vectors for each list than this make cells that fit nothing.
FEWEST_PER_LIST = 20


@dataclass(frozen=True, slots=True)
class Prediction:
    """seconds: on this machine as it is now.  memory: bytes at the peak.  bytes_per_vector: in memory to search."""

    seconds: float
    memory: int
    bytes_per_vector: float

    def report(self) -> dict[str, float | int]:
        """For report.json."""
        return {
            "seconds": round(self.seconds, 1),
            "memory": self.memory,
            "bytes_per_vector": round(self.bytes_per_vector, 1),
        }


def predict(plan: Plan, count: int, dim: int) -> Prediction:
    """What building ``plan`` over ``count`` vectors takes.  Raises RecipeError."""
    held = _bytes_per_vector(plan, count, dim)
    rate = _multiplications_per_second(dim)
    lists = plan.nlist * dim * (plan.train * ROUNDS + count) if "IVF" in plan.factory else 0
    encode = count * dim * (64 if "x8" in plan.factory else 24 if "HNSW" in plan.factory else 8)
    truth = 2 * 1000 * count * dim
    seconds = 1.5 * (lists + truth + 8 * encode) / rate + 4.0 * min(1.0, count / 20_000)
    return Prediction(seconds, _peak(plan, count, dim, held), held)


def _bytes_per_vector(plan: Plan, count: int, dim: int) -> float:
    each, whole = code_bytes(plan.factory, dim)
    return each + (whole + (plan.nlist + dim) * dim * 4) / count


def _peak(plan: Plan, count: int, dim: int, held: float) -> int:
    # The sample; what k-means or the code books make of it; a block on its way in, several times over; and the index
    # twice: lists grow by doubling, and the fast-scan form is made from the plain one.
    sample = plan.train * dim * 4
    work = max(min(plan.train, CODE_ROWS) * dim * 4 * 4, BLOCK * plan.nlist * 4)
    rows = BLOCK * dim * 4 * 6
    ids = count * 8 * 4
    training, adding = sample + work, rows
    return int(BASE + ids + max(training, adding + 2 * held * count))


def fitted(plan: Plan, count: int, dim: int, memory: int | None) -> Plan:
    """The plan with as large a training sample as the memory allows.

    Raises MemoryBudgetTooSmall, which tells the need, when even a small one does not fit.
    """
    if memory is None or predict(plan, count, dim).memory <= memory:
        return plan
    least = replace(plan, train=min(plan.train, max(plan.nlist * FEWEST_PER_LIST, plan.recipe.codebook * 40)))
    need = predict(least, count, dim).memory
    if need > memory:
        raise MemoryBudgetTooSmall(
            f"building {plan.recipe.name!r} over {count:,} vectors needs {need / 1e6:,.0f} MB, and {memory / 1e6:,.0f} "
            f"MB were given; give more with --memory, or name a smaller --recipe",
            need,
            memory,
        )
    over = predict(plan, count, dim).memory - memory
    return replace(plan, train=max(least.train, plan.train - over // (dim * 4) - 1))


def _multiplications_per_second(dim: int) -> float:
    left, right = np.ones((512, dim), np.float32), np.ones((dim, 2048), np.float32)
    left @ right
    started = time.perf_counter()
    left @ right
    return 512 * 2048 * dim / max(1e-6, time.perf_counter() - started)
