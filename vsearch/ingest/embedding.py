"""A batch of pictures through an encoder, so that one bad picture costs only itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsearch.errors import EncoderError, EncoderUnavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vsearch.embed import Encoder


def embed_each(encoder: Encoder, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32] | str]:
    """The vector of each of (n, size, size, 3) pictures, or why it has none.  Raises EncoderUnavailable."""
    try:
        return list(encoder.encode_images(pixels))
    except EncoderUnavailable:
        raise
    except EncoderError as error:
        if len(pixels) == 1:
            return [str(error)]
        return [outcome for at in range(len(pixels)) for outcome in embed_each(encoder, pixels[at : at + 1])]
