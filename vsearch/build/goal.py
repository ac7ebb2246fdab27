"""What an index is to reach, and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass

from vsearch.arguments import check_number
from vsearch.errors import RecipeError
from vsearch.recipe import Modality

# A picture as query finds its neighbours for a fraction of what a text costs, so it is held to more: of what text may
# miss, it may miss two fifths (0.95 for text goes with 0.98 for pictures).
IMAGE_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Goal:
    """recall: share of the exact ten best that text queries find; pictures as queries are held to more.

    memory: bytes that building may take at its peak, None for no limit.  latency: seconds that 95 % of single queries
    may take on one thread; where both cannot be had, latency is kept and the report says what recall is left.
    """

    recall: float = 0.95
    memory: int | None = None
    latency: float | None = None

    def __post_init__(self) -> None:
        for what in ("recall", "memory", "latency"):
            if getattr(self, what) is not None:
                check_number(getattr(self, what), what)
        if not (self.recall is not None and 0 < self.recall < 1):
            raise RecipeError(f"recall is {self.recall!r}; it lies between 0 and 1, as in 0.95")
        if self.memory is not None and not self.memory > 0:
            raise RecipeError(f"memory is {self.memory!r}; it is a number of bytes above 0")
        if self.latency is not None and not self.latency > 0:
            raise RecipeError(f"latency is {self.latency!r}; it is a number of seconds above 0")

    def target(self, modality: Modality) -> float:
        """The recall@10 to reach for a modality."""
        return self.recall if modality == "text" else 1 - IMAGE_SHARE * (1 - self.recall)
