"""Recall against throughput: the points that none beats, and throughput at equal recall."""

from __future__ import annotations

import math
from collections.abc import Sequence

Point = tuple[float, float]  # recall, queries per second


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both, by rising recall and so by falling throughput."""
    kept: list[Point] = []
    for recall, speed in sorted(points, key=lambda p: (-p[0], -p[1])):
        if not kept or speed > kept[-1][1]:
            kept.append((recall, speed))
    return kept[::-1]


def speed_at(points: Sequence[Point], recall: float) -> float | None:
    """Queries per second at a recall: interpolated between the neighbours on the front, linear in its logarithm.

    Below the lowest recall measured it is the speed measured there, which is at least reached; None above the highest.
    """
    best = front(points)
    if not best or recall > best[-1][0]:
        return None
    if recall <= best[0][0]:
        return best[0][1]
    high = next(at for at, point in enumerate(best) if point[0] >= recall)
    (r0, s0), (r1, s1) = best[high - 1], best[high]
    share = (recall - r0) / (r1 - r0)
    return math.exp((1 - share) * math.log(s0) + share * math.log(s1))
