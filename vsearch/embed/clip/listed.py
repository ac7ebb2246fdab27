"""What open_clip lists, known without importing it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from vsearch.embed.weights import package_folder
from vsearch.errors import EncoderError

FILE = Path(__file__).with_name("listed.json")  # tools/list_openclip.py wrote it


class Pretrained(msgspec.Struct, frozen=True):
    """Weights of a model under a tag.

    repo: of the hub.  file: in it, empty for the usual one.  quick_gelu: whether they were trained with that
    activation.  The others say how pictures are made ready.
    """

    repo: str
    file: str
    mean: list[float]
    std: list[float]
    interpolation: Literal["bicubic", "bilinear"]
    resize_mode: Literal["shortest", "longest", "squash"]
    quick_gelu: bool = False


@cache
def _models() -> dict[str, dict[str, Pretrained]]:
    return msgspec.json.decode(FILE.read_bytes(), type=dict[str, dict[str, Pretrained]])


def pretrained(model: str, tag: str) -> Pretrained | None:
    """Where the weights of a model under a tag are; None for what is not on the list, or not on the hub."""
    tags = _models().get(model, {})
    return tags.get(tag) or tags.get(tag.lower().replace("-", "_"))


def architecture(model: str) -> dict[str, Any]:
    """The configuration of a model, as open_clip's package has it.  Raises EncoderError, EncoderUnavailable."""
    path = package_folder("open_clip") / "model_configs" / f"{model}.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderError(f"the open_clip that is installed has no model {model}: {error}") from error
    return config
