"""WiSE-FT: a mix of the weights before and after training, good at home and still good elsewhere.

w = (1 - alpha) * before + alpha * after  (Wortsman et al. 2022, arXiv 2109.01903)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vsearch.train.trainee import Weights

ALPHAS = tuple(n / 10 for n in range(11))
Score = Callable[[], float]


@dataclass(frozen=True)
class Mix:
    """One alpha and the mean recall that it gives on the validation pairs and, where measured, on general pairs."""

    alpha: float
    domain: float
    general: float | None = None


def mixed(before: Weights, after: Weights, alpha: float) -> Weights:
    """The weights between: alpha 0 is before, 1 is after, both to the bit."""
    if alpha in (0, 1):
        return after if alpha else before
    return {name: before[name].lerp(after[name], alpha) for name in before}


def search(
    before: Weights, after: Weights, put: Callable[[Weights], None], domain: Score, general: Score | None
) -> list[Mix]:
    """Measure every alpha; put makes the encoder have some weights."""
    found = []
    for alpha in ALPHAS:
        put(mixed(before, after, alpha))
        found.append(Mix(alpha, domain(), general() if general else None))
    return found


def best(mixes: list[Mix], floor: float) -> Mix:
    """The mix of highest recall at home among those that lose at most ``floor`` elsewhere; of equals the first.

    Without general pairs nothing keeps the mix near the start but this rule for ties.
    """
    start = mixes[0].general
    allowed = [m for m in mixes if start is None or m.general is None or m.general >= start - floor]
    return max(allowed, key=lambda m: m.domain)
