"""What callers of the library give, looked at before it is used: texts, ids, counts and choices.

Python lets anything through, and numpy makes something of most of it: a text is a sequence of letters, a truth value is
a number.  Each check says what was given and what is wanted.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Collection, Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsearch.bounds import valid
from vsearch.errors import EncoderError, QueryError, SourceError, VsearchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_SHOWN = 60
_MOST_BITS = 1024  # of a whole number; Python writes out some thousand digits and no more


def written(value: object) -> str:
    """A value for a message, cut to 60 characters."""
    try:
        return repr(value)[:_MOST_SHOWN]
    except (ValueError, RecursionError):  # more digits than Python writes out
        return "a value too long to be shown"
    except Exception:  # noqa: BLE001 - whatever the object's own code raises
        return f"a {type(value).__name__} that cannot be shown"


def check_texts(texts: Iterable[str], what: str = "texts", error: type[VsearchError] = EncoderError) -> list[str]:
    """A list of texts.  Raises an error for a single text, for what is no text, and for lone surrogates."""
    if isinstance(texts, str | bytes):
        raise error(f"{what} are given as a list, and this is one: write [{written(texts)}]")
    try:
        told = list(texts)
    except TypeError:
        raise error(f"{what} are given as a list, and this is {written(texts)}") from None
    for number, text in enumerate(told):
        if not isinstance(text, str):
            raise error(f"number {number:,} of the {what} is {written(text)}, which is no text")
        if text != valid(text):
            raise error(
                f"number {number:,} of the {what}, {written(text)}, is one that UTF-8 cannot hold (a lone surrogate, "
                "or bytes of another encoding); mend it"
            )
    return told


def whole_number(value: Any, what: str) -> int:
    """A whole number of Python or numpy.  Raises QueryError for anything else, truth values too."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise QueryError(f"{what} is {written(value)}; it is a whole number")
    if number.bit_length() > _MOST_BITS:
        raise QueryError(f"{what} has {number.bit_length():,} bits, which is too large a number")
    return number


def check_ids(ids: Iterable[int], what: str = "ids") -> list[int]:
    """Ids of pictures, of which there may be none.  Raises QueryError for what is no list of whole numbers."""
    if not isinstance(ids, str | bytes):
        try:
            return [whole_number(id, f"one of {what}") for id in ids]
        except TypeError:
            pass
    raise QueryError(f"{what} are a list of whole numbers, and this is {written(ids)}")


def check_number(value: Any, what: str) -> None:
    """Raise QueryError unless a value is a number of Python or numpy, NaN among them, and no truth value."""
    try:
        wrong = isinstance(value, bool) or not isinstance(value, Real)
        float(0 if wrong else value)
    except OverflowError:
        wrong = True
    if wrong:
        raise QueryError(f"{what} is {written(value)}; it is a number")


def check_list(value: Any, what: str, error: type[VsearchError] = QueryError) -> None:
    """Raise an error unless a value is a list, or its like, that has a length: a text is none."""
    try:
        if not isinstance(value, str | bytes | Mapping) and len(value) >= 0:
            return
    except TypeError:
        pass
    raise error(f"{what} are given as a list, and this is {written(value)}")


def numbers_of(value: Any, what: str) -> NDArray[Any]:
    """An array of real numbers.  Raises QueryError for what numpy makes none of, for texts, dates and objects."""
    import numpy as np

    try:
        array = np.asarray(value)
    except Exception as error:  # rows of different lengths; or whatever the object's own code raises
        raise QueryError(f"{what} are numbers, and this is {written(value)}") from error
    if array.dtype.kind not in "fiu":
        raise QueryError(f"{what} are numbers, and this is {written(value)} of type {array.dtype}")
    return array


def path_of(value: Any, error: type[VsearchError] = SourceError) -> Path:
    """A path as it is.  Raises an error for what can be none: another type, a zero byte, a lone surrogate."""
    try:
        told = os.fsencode(value)
    except (TypeError, ValueError):
        told = b"\0"
    if b"\0" in told:
        raise error(f"{written(value)} is no path of a file or folder")
    return Path(os.fsdecode(told))


def check_choice(value: Any, choices: Collection[str], what: str) -> None:
    """Raise QueryError unless a value is one of some names."""
    if not isinstance(value, str) or value not in choices:
        raise QueryError(f"{what} is {written(value)}; it is one of: {', '.join(choices)}")
