"""Pretrained contrastive encoders, by open_clip: a listed NAME/TAG, a hub repository, or a local folder.

Pictures come as pixels from our own decoder, cut as the model's own preprocessing says, so that nothing depends on
which image library open_clip uses; mean and standard deviation are applied here.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from vsearch.embed.compiled import compile_where_it_pays
from vsearch.embed.network import normalised, run, torch_errors
from vsearch.embed.openclip_source import Source, create, find_source
from vsearch.embed.precision import Placement, pick_device, place, probe_pixels
from vsearch.embed.vectors import check_pixels, unit
from vsearch.errors import EncoderError
from vsearch.types import EncoderInfo, PixelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMPILED_FOR = {"cpu": 8, "cuda": 128}  # pictures of the trial of torch.compile


@dataclass(frozen=True)
class Loaded:
    """An open_clip model in memory; mean and std in pixel units."""

    network: Any
    tokenizer: Any
    info: EncoderInfo
    mean: list[float]
    std: list[float]
    placement: Placement


class OpenClip:
    """One of open_clip's models.  Thread-safe.  The weights are read by the first use of anything."""

    def __init__(self, name: str, device: str | None = None, compiled: bool = False) -> None:
        """name: ``openclip:NAME/TAG``, ``hf-hub:ORG/REPO`` or ``local-dir:PATH``.  compiled: as ``load_encoder``."""
        self._name = name
        self._device = device
        self._compiled = compiled
        self._lock = threading.Lock()

    @property
    def info(self) -> EncoderInfo:
        """Name, fingerprint and dimension.  Raises EncoderError, EncoderUnavailable."""
        return self.loaded.info

    @property
    def preprocess(self) -> PixelSpec:
        """The geometry of the model's own preprocessing."""
        return self.loaded.info.preprocess

    @property
    def precision(self) -> str:
        """Precision on this machine and why, in words."""
        placement = self.loaded.placement
        return f"{str(placement.dtype).removeprefix('torch.')} on {placement.device.type} ({placement.why})"

    @property
    def temperature(self) -> float | None:
        """One over the logit scale that the model learned."""
        scale = getattr(self.loaded.network, "logit_scale", None)
        return None if scale is None else float(torch.exp(-scale.detach().float()).item())

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed (n, size, size, 3) uint8 pictures as (n, dim) float32 unit vectors.

        Raises EncoderError, EncoderUnavailable.
        """
        model = self.loaded
        check_pixels(pixels, model.info.preprocess)
        if not len(pixels):
            return np.zeros((0, model.info.dim), dtype=np.float32)
        device, dtype = model.placement.device, model.placement.dtype

        def forward(chunk: NDArray[np.uint8]) -> torch.Tensor:
            vectors: torch.Tensor = model.network.encode_image(normalised(chunk, device, dtype, model.mean, model.std))
            return vectors

        return unit(run(forward, pixels, device, model.network.visual), "pictures")

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts as (n, dim) float32 unit vectors; long ones are cut at the model's context length.

        Raises EncoderError, EncoderUnavailable.
        """
        model = self.loaded
        if not texts:
            return np.zeros((0, model.info.dim), dtype=np.float32)
        device = model.placement.device

        def forward(chunk: torch.Tensor) -> torch.Tensor:
            vectors: torch.Tensor = model.network.encode_text(chunk.to(device))
            return vectors

        with self._lock, torch_errors():  # tokenizers keep state between calls
            tokens = model.tokenizer(list(texts))
        return unit(run(forward, tokens, device, model.network), "texts")

    @property
    def loaded(self) -> Loaded:
        """The network and what goes with it, read by the first use.  Raises EncoderError, EncoderUnavailable."""
        with self._lock:
            return self._loaded

    @cached_property
    def _loaded(self) -> Loaded:
        return _load(find_source(self._name), self._device, self._compiled)


def _load(source: Source, device: str | None, compiled: bool) -> Loaded:
    where = pick_device(device)
    network, tokenizer, model_hash = create(source)
    told = network.visual.preprocess_cfg
    mean, std = ([255.0 * float(v) for v in _three(told[key])] for key in ("mean", "std"))
    spec = pixel_spec(told)
    weights = state_hash(network)
    probe = probe_pixels(spec.size)

    def encode(dtype: torch.dtype, times: int = 1) -> torch.Tensor:
        pixels = np.repeat(probe, times, axis=0)
        vectors: torch.Tensor = network.encode_image(normalised(pixels, where, dtype, mean, std))
        return vectors

    with torch_errors(), torch.inference_mode():
        placement = place(network, where, encode)
        if compiled:
            times = COMPILED_FOR.get(where.type, COMPILED_FOR["cpu"]) // len(probe)
            found = compile_where_it_pays(network, lambda: encode(placement.dtype, times))
            placement = replace(placement, why=f"{placement.why}; {found}")
        tokens = tokenizer(["a photo"])
        dim = int(network.encode_text(tokens.to(where)).shape[1])
    settings = {
        "mean": [float(v) for v in _three(told["mean"])],
        "std": [float(v) for v in _three(told["std"])],
        "model": model_hash,
        "tokenizer": type(tokenizer).__name__,
        "context_length": int(tokens.shape[1]),
    }
    info = EncoderInfo(source.name, weights, dim, spec, settings)
    return Loaded(network, tokenizer, info, mean, std, placement)


def _three(value: Any) -> list[float]:
    return list(value) if isinstance(value, list | tuple) else [value] * 3


def pixel_spec(told: dict[str, Any]) -> PixelSpec:
    """The geometry in open_clip's preprocessing configuration.  Raises EncoderError for one that we cannot do."""
    size = told["size"]
    sides = set(size) if isinstance(size, list | tuple) else {size}
    resize: Any = told.get("resize_mode") or "shortest"
    if len(sides) != 1 or resize not in ("shortest", "squash", "longest"):
        raise EncoderError(f"The model wants pictures of {size} by {resize!r}; vsearch makes square ones only.")
    # open_clip takes everything else, "random" too, as bicubic
    interpolation: Literal["bicubic", "bilinear"] = "bilinear" if told.get("interpolation") == "bilinear" else "bicubic"
    return PixelSpec(
        size=int(sides.pop()), resize=resize, interpolation=interpolation, fill=int(told.get("fill_color") or 0)
    )


def state_hash(network: torch.nn.Module) -> str:
    """SHA-256, hex, over names, types, shapes and bytes of all tensors: the same for any file format of them."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
