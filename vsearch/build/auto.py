"""Which recipe for which collection, when the user does not say."""

from __future__ import annotations

import time

import numpy as np

from vsearch import recipe as recipes
from vsearch.build.goal import Goal
from vsearch.build.predict import fitted
from vsearch.errors import MemoryBudgetTooSmall, TooFewVectors
from vsearch.kernels import WORTH_SCANNING, prepare, topk
from vsearch.recipe import Recipe
from vsearch.store.snapshot import BLOCK_ROWS

# What exact search may take for one query before an index is worth its upkeep.
EXACT_SECONDS = 0.05
TRIAL_ROWS = 1 << 16
# In the order in which they are tried. Codes of one byte for 8 dimensions with a fitted rotation and the query-aware
# transform found as much as any larger code did for the same time, at every size measured.
KINDS = ("opq-ivf-pq", "ivf-rabitq")


def exact_seconds(count: int, dim: int) -> float:
    """How long exact search of ``count`` rows takes for one query on this machine, by a trial over some of them."""
    some = np.random.default_rng(0).standard_normal((BLOCK_ROWS, dim), np.float32)
    rows = np.tile(some.astype(np.float16), (TRIAL_ROWS // BLOCK_ROWS, 1))  # more than the caches hold
    blocks = [(np.arange(at, at + BLOCK_ROWS), rows[at : at + BLOCK_ROWS]) for at in range(0, TRIAL_ROWS, BLOCK_ROWS)]
    query = some[:1]
    prepare(WORTH_SCANNING)
    best = float("inf")
    for _ in range(3):
        # Time of this thread: what else the machine does at this moment says nothing of later searches.
        started = time.thread_time()
        topk(query, blocks, 10)
        best = min(best, time.thread_time() - started)
    return best * count / len(rows)


def choose(count: int, dim: int, goal: Goal) -> Recipe:
    """The recipe for a collection: none while exact search is quick enough, else the first kind that fits the memory.

    When none fits, the first, whose build will tell the need.
    """
    if exact_seconds(count, dim) <= min(EXACT_SECONDS, goal.latency or EXACT_SECONDS):
        return recipes.load("flat")
    for name in KINDS:
        recipe = recipes.load(name)
        try:
            fitted(recipes.plan(recipe, count, dim), count, dim, goal.memory)
        except TooFewVectors:
            return recipes.load("flat")
        except MemoryBudgetTooSmall:
            continue
        return recipe
    return recipes.load(KINDS[0])
