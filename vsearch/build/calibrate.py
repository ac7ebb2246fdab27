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
from vsearch.exact import rescore
from vsearch.recipe import SearchSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

DEEPEST = 100  # candidates for each result beyond which scoring again costs more than more lists
STEP = 2**0.5
# Chosen as the cheapest that just reaches a target on one set of queries, settings fall short on the next by chance.
MARGIN = 0.003
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

    predicted: recall@10 on the queries that chose them.  recall: on as many others.  target: what was asked for.
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
    """Find the cheapest settings that reach ``target`` on one half of the queries; judge them on the other."""
    half = len(asked) // 2
    chosen_on, judged_on = asked.part(slice(half)), asked.part(slice(half, None))
    choices = _frontier(bench, chosen_on, min(0.999, target + MARGIN), nlist)
    timed = _timed(bench, chosen_on.xq, choices)
    best = _pick(timed, min(0.999, target + MARGIN), latency)
    spent = sorted(_latencies(bench, judged_on.xq[:LATENCY], best.settings))
    return Tuned(
        best.settings,
        recall(bench.run(chosen_on.xq, best.settings), chosen_on),
        recall(bench.run(judged_on.xq, best.settings), judged_on),
        target,
        1e3 * spent[len(spent) // 2],
        1e3 * spent[int(len(spent) * 0.95)],
        len(asked),
    )


def recall(found: Ids, asked: Asked) -> float:
    """The share of the exact answers that were found among the first K others."""
    places = ranks(found, asked)
    return float((places < K).sum() / max(1, (asked.truth >= 0).sum()))


@dataclass(frozen=True, slots=True)
class _Choice:
    settings: SearchSettings
    recall: float
    seconds: float = 0.0


def _frontier(bench: Bench, asked: Asked, target: float, nlist: int) -> list[_Choice]:
    """For more and more lists, the fewest candidates that reach the target; where none do, as many as are looked at.

    One search with many candidates tells the recall for every smaller number of them.  It ends where more lists
    cannot pay: candidates are at their fewest, or three steps went by after the first that reached the target.
    """
    # A graph looks at no fewer nodes than it returns, so asking it for many would hide what few look like.
    deepest = max(1, min(DEEPEST if bench.index.has_lists else 2, len(bench.index) // (K + 1)))
    choices: list[_Choice] = []
    enough = 0
    nprobe = 1.0
    while enough < 4:
        lists = min(nlist, round(nprobe))
        if not choices or lists > choices[-1].settings.nprobe:
            found = bench.index.search(asked.xq, K * deepest, SearchSettings(lists, 1), bench.live)
            choices.append(_fewest(ranks(found, asked), asked, target, lists, deepest))
            if choices[-1].recall >= target:
                enough += 1
                if choices[-1].settings.rescore == 1:
                    break
        if lists == nlist:
            break
        nprobe *= STEP if choices[-1].recall > 0.8 * target else 2.0
    return choices


def _fewest(places: Ids, asked: Asked, target: float, lists: int, deepest: int) -> _Choice:
    total = max(1, int((asked.truth >= 0).sum()))
    within = np.cumsum(np.bincount(np.minimum(places.ravel() // K, deepest), minlength=deepest + 1)[:deepest]) / total
    reaching = np.flatnonzero(within >= min(target, within[-1] - 1e-9 if within[-1] < target else target))
    depth = int(reaching[0]) + 1
    return _Choice(SearchSettings(lists, depth), float(within[depth - 1]))


def _timed(bench: Bench, xq: Matrix, choices: list[_Choice]) -> list[_Choice]:
    """The choices with their time for a query: the least of three rounds, so that other work disturbs little."""
    best = np.full(len(choices), np.inf)
    with threads(1):
        for _ in range(3):
            for at, choice in enumerate(choices):
                started = time.thread_time()
                for row in range(min(TIMED, len(xq))):
                    bench.run(xq[row : row + 1], choice.settings)
                best[at] = min(best[at], (time.thread_time() - started) / min(TIMED, len(xq)))
    return [_Choice(c.settings, c.recall, float(s)) for c, s in zip(choices, best, strict=True)]


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
