"""The encoder of vectors that were made elsewhere: a name and a dimension, and no way to make more of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from vsearch.errors import EncoderError, EncoderUnavailable
from vsearch.types import EncoderInfo, PixelSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KIND = "external"
MAX_DIM = 1 << 16
_FORM = re.compile(rf"{KIND}:([\w.+-]+)(?::(\d+))?", re.ASCII)


def is_external(name: str) -> bool:
    """Whether an encoder's name says that its vectors come from elsewhere."""
    return name.partition(":")[0] == KIND


class External:
    """The encoder ``external:NAME:DIM``.

    Its fingerprint is that of the name and the dimension: nothing can tell whether two sets of vectors were made by
    the same model but the name that their owner gives them.  Every call to embed raises EncoderUnavailable.
    """

    preprocess = PixelSpec(size=1)
    temperature = None

    def __init__(self, full: str, dim: int | None = None) -> None:
        """Take apart ``external:NAME:DIM``, or ``external:NAME`` for a dimension known from elsewhere.

        Raises EncoderError.
        """
        form = _FORM.fullmatch(full)
        size = int(form[2] or dim or 0) if form else 0
        if form is None or not 1 <= size <= MAX_DIM:
            raise EncoderError(
                f"{full!r} names no encoder of vectors made elsewhere: give {KIND}:NAME:DIM, as in {KIND}:my-model:512 "
                f"(NAME of letters, digits and -_.+, DIM from 1 to {MAX_DIM:,})"
            )
        self._name = f"{KIND}:{form[1]}"
        digest = hashlib.sha256(self._name.encode()).hexdigest()
        self.info = EncoderInfo(self._name, digest, size, self.preprocess)

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raise EncoderUnavailable."""
        self._refuse("pictures", "Index.add_vectors, or vsearch import --vectors FILE.npy")

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raise EncoderUnavailable."""
        self._refuse("texts", "Index.search_vectors, or vsearch query --vector FILE.npy")

    def _refuse(self, what: str, use: str) -> NoReturn:
        raise EncoderUnavailable(
            f"The vectors of this index were made elsewhere ({self._name}), so {what} cannot be embedded here: "
            f"embed them with the same model, and use {use}"
        )
