"""torch.compile around a picture tower, kept only where a trial shows that it pays.

Compiling takes from half a minute to some minutes, so it is done when asked for.  On two cores of a CPU with AVX2 a
ViT-B/32 was 0.9 times as fast with it: that is what the trial is for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch

from vsearch.embed.precision import MIN_COSINE, race

MIN_GAIN = 1.05
MOST_WORDS = 200  # characters of what a compiler complains


def compile_where_it_pays(
    network: Any, encode: Callable[[], torch.Tensor], backend: str | Callable[..., Any] = "inductor"
) -> str:
    """Put torch.compile around the ``visual`` part of a network, in place, if that is faster; say what was found.

    encode: gives the (n, dim) vectors, of any scale, that the network makes of a fixed batch, as it is just then.
    Kept when every row's cosine to what it was is at least 0.999 and it is at least 1.05 times as fast.
    backend: as torch.compile takes it.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns where there is no GPU
    plain = network.visual
    # batches differ in length, and must not be compiled one by one
    towers = {False: plain, True: torch.compile(plain, dynamic=True, backend=backend)}
    network.visual = plain
    try:
        vectors, seconds = race(network, towers, lambda _: encode())
    except RuntimeError as error:
        return f"not compiled: {' '.join(str(error).split())[:MOST_WORDS]}"
    finally:
        network.visual = plain
    cosine = float(torch.nn.functional.cosine_similarity(vectors[False], vectors[True]).min())
    gain = seconds[False] / seconds[True]
    told = f"compiled it runs {gain:.2f} times as fast, cosine {cosine:.4f}"
    if cosine < MIN_COSINE or gain < MIN_GAIN:
        return f"{told}: left as it is"
    network.visual = towers[True]
    return told
