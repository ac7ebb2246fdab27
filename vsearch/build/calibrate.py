"""Search settings by measurement: the cheapest lists and candidates that reach a recall, for one modality."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vsearch.ann import AnnIndex
from vsearch.ann.library import threads
from vsearch.build.queries import Asked, K, ranks
from vsearch.kernels import rescore
from vsearch.recipe import SearchSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

DEEPEST = 100  # candidates for each result beyond which scoring again costs more than more lists
STEP = 2**0.5
# Chosen as the cheapest that just reaches a target on one set of queries, settings fall short on the next by chance.
MARGIN = 0.006
TIMED = 24  # queries for each timing of settings
LATENCY = 200  # queries for the latency that is reported


@dataclass(frozen=True, slots=True)
class Bench:
    """An index with what is needed to search it as ``search`` does: the live ids and the stored vectors."""

    index: AnnIndex
    live: NDArray[np.uint8]
    vectors: Callable[[Ids], Matrix]

    def run(self, xq: Matrix, settings: SearchSettings) -> Ids:
        """The K best ids and one more, (nq, K + 1), scored again exactly, since a picture finds itself first."""
        depth = min(len(self.index), K * settings.rescore + 1)
        return rescore(xq, self.index.search(xq, depth, settings, self.live), K + 1, self.vectors)[1]


@dataclass(frozen=True, slots=True)
class Tuned:
    """Settings of one modality and what they are worth.

    predicted: recall@10 on the queries that chose them.  recall: what such a choice has on queries that it has not
    seen.  target: what was asked for.
    p50_ms, p95_ms: one query at a time on one thread, without text encoding.
    """

    settings: SearchSettings
    predicted: float
    recall: float
    target: float
    p50_ms: float
    p95_ms: float
    queries: int

    @property
    def reached(self) -> bool:
        """Whether the target was reached, as far as the number of queries can tell."""
        return self.predicted >= self.target

    def report(self) -> dict[str, float | int | bool]:
        """For report.json."""
        return {
            "recall@10": round(self.recall, 4),
            "predicted": round(self.predicted, 4),
            "target": round(self.target, 4),
            "reached": self.reached,
            "nprobe": self.settings.nprobe,
            "rescore": self.settings.rescore,
            "p50_ms": round(self.p50_ms, 3),
            "p95_ms": round(self.p95_ms, 3),
            "queries": self.queries,
        }


def tune(bench: Bench, asked: Asked, target: float, nlist: int, latency: float | None) -> Tuned:
    """Find the cheapest settings that reach ``target``, and tell what recall they have for queries like these.

    Chosen on all queries.  How well such a choice does on others is told by choosing on each half and looking at the
    other one.
    """
    aim = min(0.999, target + MARGIN)
    steps = _steps(bench, asked, aim, nlist)
    seconds = _timed(bench, asked.xq, [_fewest(step, asked, aim).settings for step in steps])

    def chosen(which: Asked, part: slice) -> tuple[_Step, _Choice]:
        choices = [_fewest(step.part(part), which, aim, spent) for step, spent in zip(steps, seconds, strict=True)]
        best = _pick(choices, aim, latency)
        return steps[choices.index(best)], best

    best = chosen(asked, slice(None))[1]
    spent = sorted(_latencies(bench, asked.xq[:LATENCY], best.settings))
    halves = slice(0, None, 2), slice(1, None, 2)
    unseen = []
    for mine, other in (halves, halves[::-1]):
        step, choice = chosen(asked.part(mine), mine)
        unseen.append(step.part(other).recall(asked.part(other), choice.settings.rescore))
    return Tuned(
        best.settings,
        best.recall,
        float(np.mean(unseen)),
        target,
        1e3 * spent[len(spent) // 2],
        1e3 * spent[int(len(spent) * 0.95)],
        len(asked),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """A number of lists and where the exact answers were among its candidates.

    places: (nq, K) ranks from 0, at least K * deepest for those that were not among them.
    """

    lists: int
    places: Ids
    deepest: int

    def part(self, which: slice) -> _Step:
        return _Step(self.lists, self.places[which], self.deepest)

    def recalls(self, asked: Asked) -> NDArray[np.float64]:
        """The recall with 1, 2, ... times K candidates: an answer among them is first when they are scored again."""
        depths = np.minimum(self.places[asked.truth >= 0] // K, self.deepest)
        told: NDArray[np.float64] = np.cumsum(np.bincount(depths, minlength=self.deepest + 1)[:-1]) / max(
            1, len(depths)
        )
        return told

    def recall(self, asked: Asked, depth: int) -> float:
        return float(self.recalls(asked)[depth - 1])


@dataclass(frozen=True, slots=True)
class _Choice:
    settings: SearchSettings
    recall: float
    seconds: float


def _steps(bench: Bench, asked: Asked, target: float, nlist: int) -> list[_Step]:
    """Searches with more and more lists.

    One search with many candidates tells the recall for every smaller number of them.  It ends where more lists
    cannot pay: candidates are at their fewest, or three steps went by after the first that reached the target.
    """
    # A graph looks at no fewer nodes than it returns, so asking it for many would hide what few look like.
    deepest = max(1, min(DEEPEST if bench.index.has_lists else 2, len(bench.index) // (K + 1)))
    steps: list[_Step] = []
    enough = 0
    nprobe = 1.0
    while enough < 4:
        lists = min(nlist, round(nprobe))
        if not steps or lists > steps[-1].lists:
            found = bench.index.search(asked.xq, K * deepest, SearchSettings(lists, 1), bench.live)
            steps.append(_Step(lists, ranks(found, asked), deepest))
            reached = _fewest(steps[-1], asked, target)
            if reached.recall >= target:
                enough += 1
                if reached.settings.rescore == 1:
                    break
        if lists == nlist:
            break
        nprobe *= STEP if steps[-1].recall(asked, deepest) > 0.8 * target else 2.0
    return steps


def _fewest(step: _Step, asked: Asked, target: float, seconds: float = 0.0) -> _Choice:
    """The fewest candidates with which a step reaches the target; where it cannot, as few as do as well as all."""
    within = step.recalls(asked)
    depth = int(np.flatnonzero(within >= min(target, within[-1]))[0]) + 1
    return _Choice(SearchSettings(step.lists, depth), float(within[depth - 1]), seconds)


def _timed(bench: Bench, xq: Matrix, tried: list[SearchSettings]) -> list[float]:
    """CPU seconds of one query by settings: the least of three rounds, so that other work disturbs little."""
    best = np.full(len(tried), np.inf)
    count = min(TIMED, len(xq))
    with threads(1):
        for _ in range(3):
            for at, settings in enumerate(tried):
                started = time.thread_time()
                for row in range(count):
                    bench.run(xq[row : row + 1], settings)
                best[at] = min(best[at], (time.thread_time() - started) / count)
    told: list[float] = best.tolist()
    return told


def _pick(choices: list[_Choice], target: float, latency: float | None) -> _Choice:
    allowed = [c for c in choices if latency is None or c.seconds <= latency] or [min(choices, key=lambda c: c.seconds)]
    reaching = [c for c in allowed if c.recall >= target]
    if reaching:
        return min(reaching, key=lambda c: c.seconds)
    return max(allowed, key=lambda c: (c.recall, -c.seconds))


def _latencies(bench: Bench, xq: Matrix, settings: SearchSettings) -> list[float]:
    spent = []
    with threads(1):
        for row in range(len(xq)):
            started = time.perf_counter()
            bench.run(xq[row : row + 1], settings)
            spent.append(time.perf_counter() - started)
    return spent
