"""Heads over the frozen towers of ``mini``: the towers' features are computed once, then only the heads run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from vsearch import files
from vsearch.embed.heads import INPUTS, TOWER, WEIGHTS_FILE, MiniHeads, configuration
from vsearch.embed.load import HEADS_FILE
from vsearch.embed.mini import Mini
from vsearch.embed.minilm import DIM
from vsearch.train.adapters import Shape, made
from vsearch.train.config import TrainConfig
from vsearch.train.features import Features, Frozen, Tell, features
from vsearch.train.gradcache import Batch
from vsearch.train.loss import start
from vsearch.train.pairs import Notice, Pairs
from vsearch.train.trainee import Ids, Inputs, Matrix, trained, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRENGTH = {"image": 1.0, "text": 0.5}
"""How much a head may add.  The sentence space is good as it is, and words that training never saw must keep their
places in it."""
ROWS = 4096


class FeatureInputs:
    """Features of pairs, in memory."""

    def __init__(self, found: Features, device: torch.device) -> None:
        self.pairs = found.pairs
        self.images = torch.from_numpy(found.images).to(device)
        self.texts = torch.from_numpy(found.texts).to(device)

    def batch(self, pictures: Ids, captions: Ids, seed: int | None) -> Batch:
        """The pairs with those ids."""
        own, of_text = torch.from_numpy(pictures), torch.from_numpy(captions)
        return Batch(self.images[own], self.texts[of_text], own, of_text)

    def close(self) -> None:
        """Nothing to let go of."""


class MiniTrainee:
    """Heads that begin as zero, so that training starts from ``mini`` as it is."""

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        cache: Path | None,
        on_notice: Notice,
        on_features: Tell,
        begin: MiniHeads | None = None,
    ) -> None:
        """begin: trained heads to go on from; without, training starts from the towers as they are.

        Raises EncoderError for heads that cannot be read.
        """
        self._config, self._device, self._cache = config, device, cache
        self._notice, self._progress = on_notice, on_features
        self._encoder = begin.base if begin else Mini(device.type)
        self._reader = begin or self._encoder
        self._tower = {n: w for n, w in begin.weights.items() if n.startswith(TOWER)} if begin else {}
        info = begin.info if begin else self._encoder.info
        self.name, self.digest = info.name, info.digest
        image, text = made(config.seed, *_wanted(config, begin))
        if begin is not None:
            for side, head in (("image", image), ("text", text)):
                head.load_state_dict(_part(begin, side))
        image.strength, text.strength = STRENGTH["image"], STRENGTH["text"]
        self.image, self.text = image.to(device), text.to(device)
        scale, bias = start(config.loss, config.temperature)
        self.scale = nn.Parameter(torch.tensor(scale, device=device))
        self.bias = nn.Parameter(torch.tensor(bias, device=device)) if bias is not None else None
        self.module: nn.Module = nn.ModuleDict({"image": self.image, "text": self.text})
        self.module.register_parameter("scale", self.scale)
        if self.bias is not None:
            self.module.register_parameter("bias", self.bias)

    def encode_images(self, inputs: Tensor) -> Tensor:
        """[features, mini's vector] to (n, 384)."""
        out: Tensor = self.image(inputs[:, -DIM:], inputs)
        return out

    def encode_texts(self, inputs: Tensor) -> Tensor:
        """[features, MiniLM's vector] to (n, 384)."""
        out: Tensor = self.text(inputs[:, -DIM:], inputs)
        return out

    def inputs(self, pairs: Pairs) -> FeatureInputs:
        """Compute the features of pairs, or read them from the cache.  Raises DecodeError, EncoderError, DiskFull."""
        trained = hashlib.sha256(b"".join(self._tower[name].tobytes() for name in sorted(self._tower))).hexdigest()
        name = f"mini {self._encoder.info.digest} {trained} {INPUTS}"
        towers = Frozen(name, self._encoder.preprocess, self._look, self._read)
        return FeatureInputs(features(towers, pairs, self._cache, self._notice, self._progress), self._device)

    def _look(self, pixels: NDArray[np.uint8]) -> Matrix:
        return np.concatenate(self._encoder.look(pixels), axis=1)

    def _read(self, texts: list[str]) -> Matrix:
        return np.concatenate(self._reader.read(texts), axis=1)

    def vectors(self, inputs: Inputs) -> tuple[Matrix, Matrix, Ids]:
        """Unit vectors of captions and of pictures, and the picture of each caption."""
        assert isinstance(inputs, FeatureInputs)
        self.module.eval()
        texts = self._all(self.encode_texts, inputs.texts)
        images = self._all(self.encode_images, inputs.images)
        self.module.train()
        return texts, images, np.array(inputs.pairs.owner)

    @torch.inference_mode()
    def _all(self, encode: Callable[[Tensor], Tensor], rows: Tensor) -> Matrix:
        return unit_rows([encode(part) for part in torch.split(rows, ROWS)])

    def rates(self) -> list[tuple[str, float]]:
        """All of it is new."""
        return [(name, self._config.lr_heads) for name in trained(self.module)]

    def save(self, folder: Path, told: dict[str, Any]) -> None:
        """Write ``vsearch_heads.json`` and ``heads.safetensors``."""
        heads = nn.ModuleDict({"image": self.image, "text": self.text}).state_dict()
        heads |= {name: torch.from_numpy(w).half() for name, w in self._tower.items()}  # as they were stored
        weights = save({name: tensor.contiguous().cpu() for name, tensor in heads.items()})
        files.publish(folder / WEIGHTS_FILE, lambda sink: sink.put(weights))
        body = configuration(weights, STRENGTH, told)
        files.publish(folder / HEADS_FILE, lambda sink: sink.put(body))


def _wanted(config: TrainConfig, old: MiniHeads | None) -> list[Shape]:
    """The shapes of both heads: as asked for, or those of the heads to go on from."""
    wanted: list[Shape] = []
    for side, inputs in INPUTS.items():
        kind, hidden, gated = config.head, config.hidden, False
        if old is not None:
            kind = "mlp" if f"{side}.1.weight" in old.weights else "linear"
            hidden = len(old.weights[f"{side}.0.weight"])
            gated = f"{side}.gate.weight" in old.weights
        wanted.append((inputs, DIM, kind, hidden, config.dropout, gated))
    return wanted


def _part(old: MiniHeads, side: str) -> dict[str, Tensor]:
    start = f"{side}."
    return {name[len(start) :]: torch.from_numpy(w) for name, w in old.weights.items() if name.startswith(start)}
