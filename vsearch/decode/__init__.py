"""Bytes to upright RGB pixels, in killable worker processes.

Names are loaded when they are used, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vsearch.decode.formats import SUPPORTED_SUFFIXES
    from vsearch.decode.job import Decoded, Job, Limits, Same
    from vsearch.decode.known import KnownFile, known_file
    from vsearch.decode.picture import fit, unpadded
    from vsearch.decode.pool import DecodePool, decode_one

__all__ = [
    "SUPPORTED_SUFFIXES",
    "DecodePool",
    "Decoded",
    "Job",
    "KnownFile",
    "Limits",
    "Same",
    "decode_one",
    "fit",
    "known_file",
    "unpadded",
]

_HOMES = {
    "SUPPORTED_SUFFIXES": "formats",
    "DecodePool": "pool",
    "Decoded": "job",
    "Job": "job",
    "KnownFile": "known",
    "Limits": "job",
    "Same": "job",
    "decode_one": "pool",
    "fit": "picture",
    "known_file": "known",
    "unpadded": "picture",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
