"""What ``mini`` mixes a picture's vector of: the vectors of ImageNet's class names, and of colours.

They follow from the weights of MiniLM and the names, and are kept in the package, since making them takes longer than
looking at a picture.  What is kept is used only where it is of these weights, names and colours; elsewhere they are
made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vsearch.embed import colours
from vsearch.embed.classnames import imagenet_classnames
from vsearch.embed.weights import MINILM_TOKENIZER, MINILM_WEIGHTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

KEPT = Path(__file__).with_name("bundled") / "class_vectors.safetensors"


def class_vectors(encode: Callable[[Sequence[str]], Matrix], kept: Path = KEPT) -> tuple[Matrix, Matrix]:
    """Of the names, (1000, 384) unit vectors, and of the colours, (11, 384); float32.

    encode: texts to (n, 384) unit vectors; asked only where what is kept is of something else.
    """
    try:
        with safe_open(kept, framework="numpy") as stored:
            if (stored.metadata() or {}).get("of") == _origin():
                return stored.get_tensor("names"), stored.get_tensor("colours")
    except (OSError, SafetensorError):
        pass
    return encode(imagenet_classnames()), colours.directions(encode)


def keep(encode: Callable[[Sequence[str]], Matrix], kept: Path = KEPT) -> None:
    """Write them for ``class_vectors``."""
    tensors = {"names": encode(imagenet_classnames()), "colours": colours.directions(encode)}
    save_file(tensors, kept, metadata={"of": _origin()})


def _origin() -> str:
    of = [MINILM_WEIGHTS.sha256, MINILM_TOKENIZER.sha256, imagenet_classnames(), colours.PALETTE, colours.NOUNS]
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()
