"""Functions of transformers in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_BLOCK = 1 << 15  # numbers that stay in a core's cache through all steps


def softmax(x: Floats) -> Floats:
    """Softmax over the last axis, in place."""
    x -= x.max(axis=-1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(axis=-1, keepdims=True)
    return x


def _blockwise(function: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """Apply a function of single numbers to a contiguous array, in place, a block at a time."""

    def whole(x: Floats) -> Floats:
        flat = x.reshape(-1)
        for at in range(0, len(flat), _BLOCK):
            flat[at : at + _BLOCK] = function(flat[at : at + _BLOCK])
        return x

    return whole


def _gelu(x: Floats) -> Floats:
    """The input times Phi of it, with Phi the normal distribution.

    numpy has no erf: Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7.
    """
    z = np.abs(x)
    z *= np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.float32(1.061405429) * t
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series += np.float32(coefficient)
        series *= t
    z *= z
    np.negative(z, out=z)
    series *= np.exp(z, out=z)
    half = np.copysign(1 - series, x)
    half += 1
    half *= x
    half *= np.float32(0.5)
    out: Floats = half
    return out


def _gelu_tanh(x: Floats) -> Floats:
    """The same by a hyperbolic tangent (Hendrycks and Gimpel, 2016), as some towers were trained with."""
    inner = x * x
    inner *= np.float32(0.044715)
    inner += 1
    inner *= x
    inner *= np.float32(np.sqrt(2 / np.pi))
    half: Floats = np.tanh(inner, out=inner)
    half += 1
    half *= x
    half *= np.float32(0.5)
    return half


def _gelu_quick(x: Floats) -> Floats:
    """The input times the sigmoid of 1.702 times it, as OpenAI's towers were trained with."""
    grown = np.exp(x * np.float32(-1.702))
    grown += 1
    out: Floats = x / grown
    return out


ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "gelu": _blockwise(_gelu),
    "gelu_tanh": _blockwise(_gelu_tanh),
    "gelu_quick": _blockwise(_gelu_quick),
}
"""In place, on contiguous arrays."""
