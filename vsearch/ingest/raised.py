"""Failures that named a limit are looked at again when that limit is higher than it was."""

from __future__ import annotations

from dataclasses import asdict

from vsearch.decode import Limits
from vsearch.types import Failure

# What the reason of a failure says → the limits that it may have met.
_NAMED = {
    "raise the limit with --max-pixels": ("max_pixels_jpeg", "max_pixels"),
    "raise the limit with --max-bytes": ("max_bytes",),
    "raise the limit with --decode-seconds": ("seconds",),
    "MiB of memory": ("memory_mb",),
}


def limits_met(reason: str, limits: Limits) -> tuple[float, ...]:
    """The values of the limits that a reason names; none for any other reason."""
    told = asdict(limits)
    return next((tuple(told[name] for name in names) for said, names in _NAMED.items() if said in reason), ())


def is_raised(failure: Failure, limits: Limits) -> bool:
    """Whether a limit that the failure met is higher now.  Those of older indexes do not say; they met the defaults."""
    now = limits_met(failure.reason, limits)
    then = failure.limits or limits_met(failure.reason, Limits())
    return any(new > old for new, old in zip(now, then, strict=False))
