"""Pretrained contrastive encoders of open_clip: a listed NAME/TAG, a hub repository, or a local folder.

Their plain towers run here, from tensors that are mapped where they lie: a text needs numpy only, a picture torch, and
neither needs open_clip.  Everything else about them goes through open_clip itself.

Pictures come as pixels from our own decoder, cut as the model's own preprocessing says, so that nothing depends on
which image library open_clip uses; mean and standard deviation are applied here.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vsearch.arguments import check_texts
from vsearch.embed.clip.fingerprint import state_of, weights_hash
from vsearch.embed.clip.hub_tokens import tokens_of
from vsearch.embed.clip.shapes import lacking_prefix, text_prefix, text_shape
from vsearch.embed.clip.source import Found, find, find_source
from vsearch.embed.clip.tensors import Weights, open_weights
from vsearch.embed.clip.text_tower import TextTower
from vsearch.embed.clip.tokens import ClipTokens
from vsearch.embed.vectors import check_pixels, unit
from vsearch.errors import EncoderError
from vsearch.remembered import CACHE
from vsearch.types import EncoderInfo, MadeWith, PixelSpec

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from vsearch.embed.clip.pictures import Pictures

    Matrix = NDArray[np.float32]

MANY_TEXTS = 512  # that are worth a GPU, where the pictures are on one already
KIND = "open-clip-info"
# of OpenAI's models, which a configuration need not repeat
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Loaded:
    """The whole of an open_clip model in memory, as open_clip makes it."""

    network: Any
    tokenizer: Any
    info: EncoderInfo
    pictures: Pictures


@dataclass(frozen=True)
class TextSide:
    """How texts become vectors without torch.  pad: the token that fills a text up; None: its end mark ends it."""

    tower: TextTower
    tokens: Callable[[Sequence[str]], list[list[int]]]
    tokenizer: str
    context: int
    pad: int | None = None


class OpenClip:
    """One of open_clip's models.  Thread-safe.  Of the weights, what is needed is read when it is."""

    def __init__(
        self, name: str, device: str | None = None, compiled: bool = False, before: MadeWith | None = None
    ) -> None:
        """name: ``openclip:NAME/TAG``, ``hf-hub:ORG/REPO`` or ``local-dir:PATH``.  compiled: as ``load_encoder``.

        before: what the vectors of an index were made with, to make more like them on the same machine.
        """
        self._name = name
        self._device = device
        self._compiled = compiled
        self._before = before
        self._lock = threading.RLock()

    @property
    def preprocess(self) -> PixelSpec:
        """The geometry of the model's own preprocessing.  Raises EncoderError, EncoderUnavailable."""
        return self.info.preprocess

    @property
    def info(self) -> EncoderInfo:
        """Name, fingerprint and dimension.  Raises EncoderError, EncoderUnavailable."""
        with self._lock:
            return self._info

    @property
    def precision(self) -> str:
        """Precision of pictures on this machine and why, in words; loads their tower."""
        placement = self.pictures.placement
        return f"{str(placement.dtype).removeprefix('torch.')} on {placement.device.type} ({placement.why})"

    @property
    def made_with(self) -> MadeWith:
        """What vectors of pictures are made with here; loads their tower."""
        return self.pictures.placement.made_with

    @property
    def ways(self) -> dict[str, str]:
        """How texts and how pictures are embedded, in words; loads neither torch nor open_clip for plain towers."""
        with self._lock:
            text = "numpy, without torch" if self._text is not None else "open_clip"
            own = self._prefix is not None and _has_own_tower(self._found, self._weights)
        return {"texts": text, "pictures": "torch, without open_clip" if own else "open_clip"}

    @property
    def temperature(self) -> float | None:
        """One over the logit scale that the model learned."""
        with self._lock:
            if "logit_scale" not in self._weights:
                return None
            return math.exp(-float(self._weights.floats("logit_scale").reshape(-1)[0]))

    def encode_images(self, pixels: NDArray[np.uint8]) -> Matrix:
        """Embed (n, size, size, 3) uint8 pictures as (n, dim) float32 unit vectors.

        Raises EncoderError, EncoderUnavailable.
        """
        info = self.info
        check_pixels(pixels, info.preprocess)
        if not len(pixels):
            return np.zeros((0, info.dim), dtype=np.float32)
        return unit(self.pictures.encode(pixels), "pictures")

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Embed texts as (n, dim) float32 unit vectors; long ones are cut at the model's context length.

        Raises EncoderError, EncoderUnavailable.
        """
        texts = check_texts(texts)
        info = self.info
        if not texts:
            return np.zeros((0, info.dim), dtype=np.float32)
        side = self.text_side(len(texts))
        if side is not None:
            return unit(side.tower.encode(side.tokens(texts)), "texts")
        return unit(self._by_open_clip(texts), "texts")

    def text_side(self, count: int) -> TextSide | None:
        """What so many texts are embedded with; None where open_clip does it, since it must or on a GPU is faster.

        Raises EncoderError, EncoderUnavailable.
        """
        with self._lock:
            return None if count >= MANY_TEXTS and self._has_gpu else self._text

    def _by_open_clip(self, texts: list[str]) -> Matrix:
        from vsearch.embed.network import run, torch_errors

        loaded = self.loaded
        device = loaded.pictures.placement.device
        with self._lock, torch_errors():  # tokenizers keep state between calls
            tokens = loaded.tokenizer(texts)

        def forward(chunk: torch.Tensor) -> torch.Tensor:
            vectors: torch.Tensor = loaded.network.encode_text(chunk.to(device))
            return vectors

        return run(forward, tokens, device, loaded.network)

    @property
    def _has_gpu(self) -> bool:
        """Whether pictures are embedded on a GPU already."""
        pictures: Pictures | None = self.__dict__.get("_pictures")
        return pictures is not None and pictures.placement.device.type == "cuda"

    @property
    def loaded(self) -> Loaded:
        """The whole network, by open_clip, for what needs more than vectors.

        Raises EncoderError, EncoderUnavailable.
        """
        with self._lock:
            return self._loaded

    @property
    def pictures(self) -> Pictures:
        """The picture tower on its device, loaded by the first use.  Raises EncoderError, EncoderUnavailable."""
        with self._lock:
            return self._pictures

    # What is read once

    @cached_property
    def _found(self) -> Found:
        return find(find_source(self._name))

    @cached_property
    def _weights(self) -> Weights:
        try:
            return open_weights(self._found.weights)
        except OSError as error:
            raise EncoderError(f"{self._found.weights} cannot be read ({error.strerror}). Copy it again") from error

    @cached_property
    def _prefix(self) -> str | None:
        return text_prefix(self._found.configuration.model, self._weights)

    @cached_property
    def _text(self) -> TextSide | None:
        model = self._found.configuration.model
        shape = text_shape(model) if self._prefix is not None else None
        if shape is None or self._prefix is None:
            return None
        options = model.text_cfg.tokenizer_kwargs
        if model.text_cfg.hf_tokenizer_name is None:
            clip = ClipTokens(shape.context, (options.clean if options else None) or "lower")
            return TextSide(TextTower(self._weights, self._prefix, shape), clip, "SimpleTokenizer", shape.context)
        tokens = tokens_of(self._found)
        if tokens is None:
            return None
        tower = TextTower(self._weights, self._prefix, shape)
        return TextSide(tower, tokens, "HFTokenizer", shape.context, tokens.pad)

    @cached_property
    def _info(self) -> EncoderInfo:
        if self._text is None or self._prefix is None:
            return self._info_by_open_clip()
        digest = weights_hash(self._weights, lacking_prefix(self._found.configuration.model, self._weights))
        return self._described(digest, self._text.tower.dim, self._text.tokenizer, self._text.context)

    def _info_by_open_clip(self) -> EncoderInfo:
        """What open_clip says of it; remembered, since it has to load everything for that."""
        key = f"{state_of(self._found.weights)} {self._found.configuration_hash} {version('open_clip_torch')}"
        known = CACHE.recall(KIND, key)
        if known is None:
            network, tokenizer, tokens = self._network
            import torch

            with torch.inference_mode():
                dim = int(network.encode_text(tokens).shape[1])
            known = [state_hash(network), dim, type(tokenizer).__name__, int(tokens.shape[1])]
            CACHE.remember(KIND, key, known)
        return self._described(*known)

    def _described(self, weights: str, dim: int, tokenizer: str, context: int) -> EncoderInfo:
        mean, std = self._colours
        settings = {
            "mean": mean,
            "std": std,
            "model": self._found.configuration_hash,
            "tokenizer": tokenizer,
            "context_length": context,
        }
        return EncoderInfo(self._name, weights, dim, self._spec, settings)

    @cached_property
    def _colours(self) -> tuple[list[float], list[float]]:
        told = self._found.configuration.preprocess_cfg
        return _three(told.get("mean", _MEAN)), _three(told.get("std", _STD))

    @cached_property
    def _spec(self) -> PixelSpec:
        size = self._found.configuration.model.vision_cfg.image_size
        return pixel_spec({**self._found.configuration.preprocess_cfg, "size": size})

    @cached_property
    def _network(self) -> tuple[Any, Any, Any]:
        """By open_clip: network on the CPU, tokenizer, tokens of a short text."""
        from vsearch.embed.clip.whole import create

        network, tokenizer, _ = create(find_source(self._name))
        return network, tokenizer, tokenizer(["a photo"])

    @cached_property
    def _loaded(self) -> Loaded:
        network, tokenizer, _ = self._network
        return Loaded(network, tokenizer, self._info, self._placed(network))

    @cached_property
    def _pictures(self) -> Pictures:
        if "_loaded" not in self.__dict__ and self._prefix is not None:
            from vsearch.embed.clip.pictures import tower_of

            tower = tower_of(self._found, self._weights)
            if tower is not None:
                return self._placed(tower)
        return self._loaded.pictures

    def _placed(self, network: Any) -> Pictures:
        from vsearch.embed.clip.pictures import ready
        from vsearch.embed.precision import pick_device

        mean, std = ([255.0 * value for value in values] for values in self._colours)
        device = pick_device(self._device)
        key = self._info.weights
        return ready(network, self._spec, mean, std, device, key, compiled=self._compiled, before=self._before)


def _has_own_tower(found: Found, weights: Weights) -> bool:
    from vsearch.embed.clip.shapes import picture_shape

    return picture_shape(found.configuration.model, weights) is not None


def _three(value: Any) -> list[float]:
    values = list(value) if isinstance(value, list | tuple) else [value] * 3
    if len(values) != 3:
        raise EncoderError(f"the model's mean or deviation of colours is {values}, not one number for each of three")
    return [float(one) for one in values]


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
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
