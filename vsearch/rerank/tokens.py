"""Patch tokens as they are kept: int8 with a scale for each token, a quarter of float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Tokens:
    """codes: (n, patches, width) int8.  scales: (n, patches) float32; a token is its codes times its scale."""

    codes: NDArray[np.int8]
    scales: Matrix

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: NDArray[np.int64] | slice) -> Tokens:
        return Tokens(self.codes[rows], self.scales[rows])

    @classmethod
    def joined(cls, parts: Sequence[Tokens]) -> Tokens:
        """Several one after the other; parts without a picture count for nothing."""
        full = [part for part in parts if len(part)]
        if not full:
            return cls(np.zeros((0, 0, 0), np.int8), np.zeros((0, 0), np.float32))
        return cls(np.concatenate([part.codes for part in full]), np.concatenate([part.scales for part in full]))

    def widen(self) -> Matrix:
        """(n, patches, width) float32."""
        out: Matrix = self.codes * self.scales[..., None]
        return out


def narrow(tokens: Matrix) -> Tokens:
    """Round (n, patches, width) float32 to int8; the largest error of a token is 1/254 of its largest number."""
    scales = np.abs(tokens).max(axis=2) / np.float32(127)
    safe = np.where(scales > 0, scales, 1)
    return Tokens(np.rint(tokens / safe[..., None]).astype(np.int8), scales.astype(np.float32))
