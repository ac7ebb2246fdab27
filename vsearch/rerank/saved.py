"""A matcher on disk: a folder with ``matcher.json`` (its shape and base encoder) and ``matcher.safetensors``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from vsearch import files
from vsearch.errors import EncoderError, EncoderUnavailable
from vsearch.rerank.model import Matcher, MatcherConfig

CONFIG, WEIGHTS = "matcher.json", "matcher.safetensors"
FORMAT = 2


def save_matcher(model: Matcher, folder: str | os.PathLike[str]) -> None:
    """Write a matcher; the shape last, so that a folder is whole or none.  Raises DiskFull, IndexNotWritable."""
    place = Path(folder)
    raw = save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    told = json.dumps({"format": FORMAT, **model.config.told()}, indent=2) + "\n"
    with files.storage_errors(place):
        if not place.is_dir():
            files.make_dir(place)
        files.publish(place / WEIGHTS, lambda sink: sink.put(raw))
        files.publish(place / CONFIG, lambda sink: sink.put(told.encode()))


def load_matcher(folder: str | os.PathLike[str]) -> Matcher:
    """Read a matcher, ready to score.  Raises EncoderUnavailable where there is none, EncoderError if damaged."""
    place = Path(folder)
    if not (place / CONFIG).is_file():
        raise EncoderUnavailable(f"{place} is no folder with a re-ranker; train one with: vsearch train-reranker PAIRS")
    try:
        told = json.loads((place / CONFIG).read_text(encoding="utf-8"))
        if told.pop("format") != FORMAT:
            raise EncoderError(
                f"{place}: made by another version of vsearch; train it again with: vsearch train-reranker PAIRS"
            )
        config = msgspec.convert(told, MatcherConfig)
        _check_shape(config, (place / WEIGHTS).stat().st_size)
        model = Matcher(config)
        model.load_state_dict(load_file(place / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise EncoderError(f"{place}: the re-ranker is damaged ({error}); train it again") from error
    return model.eval()


def _check_shape(config: MatcherConfig, weights: int) -> None:
    """Refuse a shape that weights of so many bytes cannot have, before memory is taken for it.  Raises ValueError."""
    sizes = (config.patches, config.patch_width, config.token_width, config.width, config.heads)
    if min(sizes) < 1 or config.width % config.heads or config.width * max(sizes) > weights:
        raise ValueError(f"weights of {weights:,} bytes for the shape {sizes}")
