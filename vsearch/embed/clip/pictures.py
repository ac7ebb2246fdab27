"""The picture tower of a model, on the device and in the precision that suit it there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from torch import nn

from vsearch.embed.clip import resnet, vision_transformer
from vsearch.embed.clip.shapes import ResNetShape, picture_shape
from vsearch.embed.clip.source import Found
from vsearch.embed.clip.tensors import TensorFile, Weights
from vsearch.embed.compiled import compile_where_it_pays
from vsearch.embed.network import normalised, run, torch_errors
from vsearch.embed.precision import Placement, place, probe_pixels
from vsearch.types import MadeWith, PixelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMPILED_FOR = {"cpu": 8, "cuda": 128}  # pictures of the trial of torch.compile


class Tower(nn.Module):
    """A picture tower alone, under the name that it has in open_clip's networks."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels (n, 3, side, side) to vectors (n, dim) of any length."""
        vectors: torch.Tensor = self.visual(pixels)
        return vectors


@dataclass(frozen=True)
class Pictures:
    """A tower that is ready.  network: has it as ``visual``.  mean, std: in pixel units."""

    network: Any
    mean: list[float]
    std: list[float]
    placement: Placement

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, side, side, 3) uint8 to (n, dim) float32, of any length.  Raises EncoderError."""
        device, dtype = self.placement.device, self.placement.dtype

        def forward(chunk: NDArray[np.uint8]) -> torch.Tensor:
            vectors: torch.Tensor = self.network.encode_image(normalised(chunk, device, dtype, self.mean, self.std))
            return vectors

        return run(forward, pixels, device, self.network.visual)


def tower_of(found: Found, weights: Weights) -> Tower | None:
    """The picture tower of a model without open_clip, its weights mapped; None for a kind that this room does not run.

    Raises EncoderError where weights do not fit.
    """
    shape = picture_shape(found.configuration.model, weights)
    if shape is None:
        return None
    get = _Getter(weights)
    with torch_errors():
        if isinstance(shape, ResNetShape):
            dim = found.configuration.model.embed_dim
            tower: nn.Module = resnet.loaded(shape.blocks, shape.width, shape.side, shape.heads, dim, get)
        else:
            names = vision_transformer.OPEN_CLIP if shape.class_token else vision_transformer.TIMM
            tower = vision_transformer.loaded(shape, get, names)
    left = {name for name in weights.names if name.startswith("visual.")} - get.taken
    return None if left else Tower(tower)  # there is more to this tower than is known here


class _Getter:
    """Tensors by name, of float32; those of a safetensors file stay where they lie.  taken: names asked for so far."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._file = safe_open(weights.path, framework="pt") if isinstance(weights, TensorFile) else None
        self.taken: set[str] = set()

    def __call__(self, name: str) -> torch.Tensor:
        """Raises EncoderError for one that is missing."""
        self._weights.shape(name)
        self.taken.add(name)
        if self._file is None:
            tensor = torch.from_numpy(np.array(self._weights.stored(name), order="C"))
        else:
            tensor = self._file.get_tensor(name)  # type: ignore[no-untyped-call]
        return tensor.float() if tensor.is_floating_point() else tensor


def ready(
    network: Any,
    spec: PixelSpec,
    mean: list[float],
    std: list[float],
    device: torch.device,
    key: str,
    *,
    compiled: bool = False,
    before: MadeWith | None = None,
) -> Pictures:
    """Place a tower; with ``compiled``, put torch.compile around it where that pays.

    key: of the weights; before: what the vectors that are there were made with.  Raises EncoderError.
    """
    probe = probe_pixels(spec.size)

    def encode(dtype: torch.dtype, times: int = 1) -> torch.Tensor:
        pixels = np.repeat(probe, times, axis=0)
        vectors: torch.Tensor = network.encode_image(normalised(pixels, device, dtype, mean, std))
        return vectors

    with torch_errors(), torch.inference_mode():
        placement = place(network, device, encode, key, before)
        if compiled:
            times = COMPILED_FOR.get(device.type, COMPILED_FOR["cpu"]) // len(probe)
            found = compile_where_it_pays(network, lambda: encode(placement.dtype, times))
            placement = replace(placement, why=f"{placement.why}; {found}")
    return Pictures(network, mean, std, placement)
