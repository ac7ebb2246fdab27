"""What of the numbers and texts of others can be kept, and the rule for the rest.

Records hold numbers of 64 bits and texts of UTF-8.  File systems, archives and tables know more: times after 2262,
whole numbers of any length, lone surrogates.
"""

from __future__ import annotations

import os
import re

LEAST, MOST = -(1 << 63), (1 << 63) - 1  # of sizes, times and ids
MOST_WHOLE = (1 << 64) - 1  # of a whole number in a column
_SURROGATE = re.compile("[\ud800-\udfff]")


def clamped(number: int) -> int:
    """The nearest whole number of 64 bits with a sign."""
    return min(max(number, LEAST), MOST)


def size_and_times(status: os.stat_result) -> tuple[int, int, int]:
    """Size in bytes, mtime and ctime in nanoseconds; times before 1677 or after 2262 are brought to those years."""
    return clamped(status.st_size), clamped(status.st_mtime_ns), clamped(status.st_ctime_ns)


def valid(text: str) -> str:
    """Replace lone surrogates by U+FFFD, so that the text can be encoded as UTF-8."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def whole(number: int) -> int | str:
    """A whole number as it can be kept: beyond 64 bits as text."""
    if LEAST <= number <= MOST_WHOLE:
        return number
    try:
        return str(number)
    except ValueError:  # Python writes out no more than some thousand digits
        return hex(number)


def whole_of(digits: str) -> int | str:
    """The same of a number that is written in digits, of which there may be any number."""
    return whole(int(digits)) if len(digits) <= 20 else digits
