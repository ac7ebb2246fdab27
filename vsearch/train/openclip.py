"""Fine-tuning one of open_clip's models; what comes out is a folder that open_clip loads as ``local-dir:``."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from vsearch import files
from vsearch.embed import hub
from vsearch.embed.clip.source import find_source
from vsearch.embed.clip.whole import create
from vsearch.embed.network import normalised
from vsearch.embed.openclip import pixel_spec, state_hash
from vsearch.embed.weights import combined
from vsearch.train.config import TrainConfig
from vsearch.train.features import Frozen, Tell, features
from vsearch.train.heads import FeatureInputs
from vsearch.train.lora import merged
from vsearch.train.loss import start
from vsearch.train.pairs import Notice, Pairs
from vsearch.train.pixels import PixelInputs
from vsearch.train.towers import projections, train_mode, unlock
from vsearch.train.trainee import Ids, Inputs, Matrix, trained, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 64


class OpenClipTrainee:
    """A model and what of it is trained.  Towers that do not change are run once, and their features kept."""

    def __init__(
        self,
        name: str,
        config: TrainConfig,
        device: torch.device,
        cache: Path | None,
        on_notice: Notice,
        on_features: Tell,
    ) -> None:
        """name: as ``find_source`` takes it.  Raises EncoderError, EncoderUnavailable, TrainError."""
        source = find_source(name)
        self.network, self._tokenizer, found = create(source)
        self._model_cfg = found.configuration.model_cfg
        self.name, self.digest = name, combined([state_hash(self.network), found.configuration_hash])
        self._config, self._device, self._cache = config, device, cache
        self._notice, self._progress = on_notice, on_features
        told = self.network.visual.preprocess_cfg
        self.preprocess = pixel_spec(told)
        self._mean, self._std = ([255.0 * v for v in told[key]] for key in ("mean", "std"))
        self._locked = unlock(self.network, "whole" if config.what == "auto" else config.what, config.lora_rank)
        self._begin_scale()
        self.network.to(device)
        self.module: nn.Module = self.network
        train_mode(self.network)

    def _begin_scale(self) -> None:
        network, config = self.network, self._config
        has_bias = getattr(network, "logit_bias", None) is not None
        own = float(network.logit_scale.detach()) if config.loss == "infonce" or has_bias else None
        scale, bias = start(config.loss, config.temperature, own)
        network.logit_scale.data.fill_(scale)
        if bias is not None and not has_bias:
            network.logit_bias = nn.Parameter(torch.tensor(bias))
        if getattr(network, "logit_bias", None) is not None:
            network.logit_bias.requires_grad_(config.loss == "siglip")

    @property
    def scale(self) -> Tensor:
        """() log of the inverse temperature."""
        scale: Tensor = self.network.logit_scale
        return scale

    @property
    def bias(self) -> Tensor | None:
        """() added to the logits, for SigLIP's loss."""
        return self.network.logit_bias if self._config.loss == "siglip" else None

    def encode_images(self, inputs: Tensor) -> Tensor:
        """Pixels (n, size, size, 3) uint8, or features of a frozen tower (n, width), to (n, dim)."""
        if inputs.dtype != torch.uint8:
            return self._projected(inputs, 0)
        with self._precision():
            images = normalised(inputs.numpy(), self._device, torch.float32, self._mean, self._std)
            out: Tensor = self.network.encode_image(images)
        return out

    def encode_texts(self, inputs: Tensor) -> Tensor:
        """Tokens (n, context), or features of a frozen tower (n, width), to (n, dim)."""
        if inputs.is_floating_point():
            return self._projected(inputs, 1)
        with self._precision():
            out: Tensor = self.network.encode_text(inputs.to(self._device))
        return out

    def _projected(self, rows: Tensor, side: int) -> Tensor:
        rows = rows.to(self._device)
        kept = (self._locked.image, self._locked.text)[side]
        return rows @ projections(self.network)[side] if kept == "projection" else rows

    def _precision(self) -> AbstractContextManager[Any]:
        wanted = self._config.precision
        able = self._device.type == "cuda" and torch.cuda.is_bf16_supported()
        bf16 = wanted == "bf16" or (wanted == "auto" and able)
        return torch.autocast(self._device.type, torch.bfloat16, enabled=bf16)

    def inputs(self, pairs: Pairs) -> Inputs:
        """Prepare pairs: features of what is frozen, pixels and tokens of what is not."""
        if self._locked.image == "no":
            texts = torch.from_numpy(self._texts(pairs.texts))
            return PixelInputs(pairs, texts, self.preprocess, self._config.augment, self._notice)
        name = f"openclip {self.digest} {self._locked}"
        towers = Frozen(name, self.preprocess, self._images, self._texts)
        found = features(towers, pairs, self._cache, self._notice, self._progress)
        return FeatureInputs(found, torch.device("cpu"))

    def _images(self, pixels: NDArray[np.uint8]) -> Matrix:
        return self._frozen(self.encode_images, [torch.from_numpy(pixels)])

    def _texts(self, texts: list[str]) -> NDArray[Any]:
        tokens: Tensor = self._tokenizer(texts)
        if self._locked.text == "no":
            return tokens.numpy()
        return self._frozen(self.encode_texts, torch.split(tokens, CHUNK))

    @torch.inference_mode()
    def _frozen(self, encode: Callable[[Tensor], Tensor], parts: Any) -> Matrix:
        """What a locked tower gives, before the projection where that is trained."""
        network, kept = self.network, projections(self.network)
        if "projection" in (self._locked.image, self._locked.text):
            network.visual.proj = network.text_projection = None
        try:
            rows: Matrix = torch.cat([encode(part).float().cpu() for part in parts]).numpy()
        finally:
            if "projection" in (self._locked.image, self._locked.text):
                network.visual.proj, network.text_projection = kept
        return rows

    def vectors(self, inputs: Inputs) -> tuple[Matrix, Matrix, Ids]:
        """Unit vectors of captions and of pictures, and the picture of each caption."""
        assert isinstance(inputs, FeatureInputs | PixelInputs)
        self.network.eval()
        with torch.inference_mode():
            texts = unit_rows([self.encode_texts(part) for part in torch.split(inputs.texts, CHUNK)])
            owner = np.array(inputs.pairs.owner)
            if isinstance(inputs, FeatureInputs):
                images = unit_rows([self.encode_images(part) for part in torch.split(inputs.images, CHUNK)])
            else:
                numbers, images = self._pictures(inputs)
                place = np.full(len(inputs.pairs), -1)
                place[numbers] = np.arange(len(numbers))
                texts, owner = texts[place[owner] >= 0], place[owner[place[owner] >= 0]]
        train_mode(self.network)
        return texts, images, owner

    def _pictures(self, inputs: PixelInputs) -> tuple[list[int], Matrix]:
        numbers: list[int] = []
        rows = []
        for found, pixels in inputs.all():
            numbers += found
            rows.append(self.encode_images(torch.from_numpy(pixels)))
        return numbers, unit_rows(rows)

    def rates(self) -> list[tuple[str, float]]:
        """Projections and temperature that are all that is trained learn as new weights do; towers slowly."""
        config = self._config
        rate = config.lr_heads if config.what in ("heads", "lora") else config.lr_towers
        return [(name, rate) for name in trained(self.module)]

    def save(self, folder: Path, told: dict[str, Any]) -> None:
        """Write configuration, tokenizer where it has files, and weights."""
        visual = self.network.visual.preprocess_cfg
        keys = ("mean", "std", "interpolation", "resize_mode", "fill_color")
        preprocess = {key: visual[key] for key in keys if key in visual}
        model = dict(self._model_cfg)
        if getattr(self.network, "logit_bias", None) is not None:
            model.setdefault("init_logit_bias", -10.0)
        body = {"model_cfg": model, "preprocess_cfg": preprocess, "training": told}
        raw = json.dumps(body, indent=1, sort_keys=True).encode() + b"\n"
        with merged(self.network) as weights:
            bare = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
            packed = save(bare)
        files.publish(folder / hub.WEIGHT_FILES[0], lambda sink: sink.put(packed))
        files.publish(folder / hub.CONFIG_FILE, lambda sink: sink.put(raw))
        if model.get("text_cfg", {}).get("hf_tokenizer_name"):
            self._tokenizer.save_pretrained(str(folder))
            for path in folder.iterdir():
                files.fsync_file(path)
