"""Trained heads over the towers of ``mini``: a folder of JSON and safetensors that is an encoder, as ``mini`` is.

    v = base + strength * gate(input) * head(input);  v / |v|

base is the vector that ``mini:untrained`` gives; input is what the towers say on the way to it, followed by that
vector.  A head is a linear map, or an MLP of two layers with a GELU between.  The gate is 1, or a logistic function of
the input that goes from a least share to 1: how much the picture or the text is of the kind that the head learned from.
A head of zeros is ``mini:untrained`` itself.

Some layers of the text tower may have been trained too (names that begin with ``tower.``): base and input of a text are
then what the tower says with those.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from vsearch.embed.load import HEADS_FILE as CONFIG_FILE
from vsearch.embed.mini import PICTURE_FEATURES, TEXT_FEATURES, Mini
from vsearch.embed.minilm import DIM, MiniLM, gelu
from vsearch.embed.vectors import unit
from vsearch.embed.weights import combined, sha256
from vsearch.errors import EncoderError, EncoderMismatch
from vsearch.types import EncoderInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

WEIGHTS_FILE = "heads.safetensors"
TOWER = "tower."  # what names of layers of the text tower begin with
FORMAT = 3
INPUTS = {"image": PICTURE_FEATURES + DIM, "text": TEXT_FEATURES + DIM}
# What ``mini`` is: tools/train_mini.py made them, docs/mini.md says of what.
BUNDLED_HEADS = Path(__file__).with_name("bundled")


class _Config(msgspec.Struct):
    """What of ``vsearch_heads.json`` is used.  Names of the fields as in the file."""

    base: str
    strength: _Strength
    weights: str
    temperature: float | None


class _Strength(msgspec.Struct):
    image: float
    text: float


class MiniHeads:
    """The towers of ``mini:untrained`` with trained heads.  Thread-safe.  A text needs numpy only."""

    preprocess = Mini.preprocess

    def __init__(self, folder: Path, device: str | None = None, name: str | None = None) -> None:
        self._folder = folder
        self._name = name or f"local-dir:{folder}"
        self.base = Mini(device)

    @cached_property
    def info(self) -> EncoderInfo:
        """Name, fingerprint and dimension; the fingerprint changes with any bit of the heads.

        Raises EncoderError, EncoderMismatch for heads that were trained over other towers.
        """
        told, base = self._told, self.base.info
        if told["base"] != base.digest:
            raise EncoderMismatch(
                f"The heads in {self._folder} were trained over another encoder mini ({told['base'][:12]}) than this "
                f"version of vsearch has ({base.digest[:12]}). Train them again: vsearch train PAIRS --encoder mini"
            )
        weights = combined([base.weights, self._checked_weights])
        return EncoderInfo(self._name, weights, DIM, self.preprocess, {**base.settings, "strength": told["strength"]})

    @property
    def temperature(self) -> float | None:
        """What fits zero-shot labels, where it was measured.  Raises EncoderError."""
        found: float | None = self._told["temperature"]
        return found

    @property
    def precision(self) -> str:
        """Precision of the image tower on this machine and why, in words; loads the tower."""
        return self.base.precision

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Embed texts as (n, 384) float32 unit vectors.  Raises EncoderError, EncoderUnavailable."""
        return self.joined("text", *self.read(texts))

    def encode_images(self, pixels: NDArray[np.uint8]) -> Matrix:
        """Embed (n, 260, 260, 3) uint8 pictures as (n, 384) float32 unit vectors.

        Raises EncoderError, EncoderUnavailable.
        """
        return self.joined("image", *self.base.look(pixels))

    def read(self, texts: Sequence[str]) -> tuple[Matrix, Matrix]:
        """What the head is given of texts, (n, 384), and their vectors before it, (n, 384).

        Raises EncoderError, EncoderUnavailable.
        """
        middle, last = self._text_tower.encode(texts)
        return middle, unit(last, "texts")

    @cached_property
    def _text_tower(self) -> MiniLM:
        layers = {name.removeprefix(TOWER): w for name, w in self.weights.items() if name.startswith(TOWER)}
        return self.base.text_tower().with_layers(layers)

    def joined(self, side: str, features: Matrix, base: Matrix) -> Matrix:
        """Unit vectors, (n, 384) float32, of what ``Mini.look`` gives (side ``image``), or ``read`` (``text``).

        Raises EncoderError, EncoderMismatch.
        """
        assert self.info
        strength = np.float32(self._told["strength"][side])
        what = "pictures" if side == "image" else "texts"
        added = apply(self.weights, side, np.concatenate([features, base], axis=1))
        return unit(base + strength * added, what)

    @cached_property
    def _told(self) -> dict[str, Any]:
        path = self._folder / CONFIG_FILE
        try:
            told = json.loads(path.read_text("utf-8"))
            if told["format"] > FORMAT:
                raise EncoderError(f"{path} was written by a newer vsearch (format {told['format']}); update vsearch")
            if told["format"] < FORMAT:
                raise EncoderError(
                    f"{path} was written by an older vsearch (format {told['format']}), whose heads are of another "
                    "form. Train again: vsearch train PAIRS --encoder mini"
                )
            read: dict[str, Any] = msgspec.to_builtins(msgspec.convert(told, _Config))
            return read
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EncoderError(
                f"{path} cannot be read as a trained encoder: {error!r}. Copy the folder again, or train again."
            ) from error

    @cached_property
    def _checked_weights(self) -> str:
        path = self._folder / WEIGHTS_FILE
        try:
            found = sha256(path)
        except OSError as error:
            raise EncoderError(f"{path} cannot be read: {error.strerror}. Copy the folder again.") from error
        if found != self._told["weights"]:
            raise EncoderError(
                f"{path} is damaged or of another training run: its SHA-256 is {found[:12]}…, and {CONFIG_FILE} says "
                f"{self._told['weights'][:12]}…. Copy the folder again, or train again."
            )
        return found

    @cached_property
    def weights(self) -> dict[str, Matrix]:
        """The heads' matrices, ``image.0.weight`` and so on, float32 however they are stored.  Raises EncoderError."""
        assert self._checked_weights
        try:
            stored = load_file(self._folder / WEIGHTS_FILE)
            weights: dict[str, Matrix] = {name: tensor.astype(np.float32) for name, tensor in stored.items()}
        except (OSError, SafetensorError) as error:
            raise EncoderError(f"{self._folder / WEIGHTS_FILE} cannot be read: {error}.") from error
        for side, width in INPUTS.items():
            if not _fits(weights, side, width):
                raise EncoderError(f"{self._folder / WEIGHTS_FILE} holds no head for {side}s of {width} numbers.")
        return weights


def apply(weights: dict[str, Matrix], side: str, x: Matrix) -> Matrix:
    """One head, ``image`` or ``text``, times its gate where it has one: (n, inputs) to (n, 384)."""
    out: Matrix = x @ weights[f"{side}.0.weight"].T + weights[f"{side}.0.bias"]
    if f"{side}.1.weight" in weights:
        out = gelu(out) @ weights[f"{side}.1.weight"].T + weights[f"{side}.1.bias"]
    if f"{side}.gate.weight" in weights:
        least = weights[f"{side}.gate.least"]
        out *= least + (1 - least) / (
            1 + np.exp(-(x @ weights[f"{side}.gate.weight"].T + weights[f"{side}.gate.bias"]))
        )
    return out


def _fits(weights: dict[str, Matrix], side: str, width: int) -> bool:
    """Whether a head has all of its matrices, and they go from ``width`` numbers to those of a vector."""
    shapes = {name.removeprefix(f"{side}."): w.shape for name, w in weights.items() if name.startswith(f"{side}.")}
    hidden = shapes.get("0.weight", (0, 0))[0] if "1.weight" in shapes else DIM
    wanted = {"0.weight": (hidden, width), "0.bias": (hidden,)}
    if "1.weight" in shapes:
        wanted |= {"1.weight": (DIM, hidden), "1.bias": (DIM,)}
    gate = {"gate.weight": (1, width), "gate.bias": (1,), "gate.least": (1,)}
    return shapes in (wanted, wanted | gate)


def configuration(
    weights: bytes, strength: dict[str, float], told: dict[str, Any], temperature: float | None = None
) -> bytes:
    """What ``vsearch_heads.json`` holds beside such weights.

    told: how they were trained, for people.  temperature: what fits zero-shot labels, where it was measured.
    """
    body = {
        "format": FORMAT,
        "base": Mini().info.digest,
        "strength": strength,
        "temperature": temperature,
        "weights": hashlib.sha256(weights).hexdigest(),
        "training": told,
    }
    return json.dumps(body, indent=1, sort_keys=True).encode() + b"\n"
