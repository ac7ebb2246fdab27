"""How long a download waits for the hub, and how often it tries again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

LONGEST = 60.0  # seconds to wait because the hub asks for it


def _seconds() -> float:
    """Seconds without a byte: HF_HUB_DOWNLOAD_TIMEOUT, or the hub client's own 10."""
    from huggingface_hub import constants

    return float(constants.HF_HUB_DOWNLOAD_TIMEOUT)


@dataclass(frozen=True)
class Patience:
    """What a download bears.

    waits: seconds before each new try after tries that brought nothing new; when they are used up, it gives up.
    stall: seconds without a byte after which a connection counts as cut; None for HF_HUB_DOWNLOAD_TIMEOUT.
    sleep: waits; tests put another in its place.
    """

    waits: tuple[float, ...] = (0, 1, 2, 4, 8, 16)
    stall: float | None = None
    sleep: Callable[[float], None] = time.sleep

    @property
    def seconds(self) -> float:
        """Seconds without a byte after which a connection counts as cut."""
        return self.stall if self.stall is not None else _seconds()

    def wait(self, failures: int, asked: float | None) -> bool:
        """Wait after so many failures in a row; False when it is time to give up.  asked: seconds the hub wants."""
        if failures > len(self.waits) or (asked or 0) > LONGEST:
            return False
        self.sleep(max(self.waits[failures - 1], asked or 0))
        return True
