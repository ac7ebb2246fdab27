"""The whole network of a model, by open_clip: for training, and for towers that this room does not run itself.

open_clip's own ``create_model`` and ``get_tokenizer`` read the configuration again and hand what is in it to other
libraries; here they are given only what ``configuration`` let through.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vsearch.embed import hub
from vsearch.embed.clip.configuration import check_size
from vsearch.embed.clip.source import Found, Source, find
from vsearch.embed.download.failures import ADVICE
from vsearch.errors import EncoderError, VsearchError


def create(source: Source) -> tuple[Any, Any, Found]:
    """Network (float32, on the CPU), tokenizer, and the files that they were made of.

    What the cache holds is used without asking the hub.  Raises EncoderUnavailable, EncoderError.
    """
    found = find(source)
    with hub.cache_only():
        return _create(source, found)


def _create(source: Source, found: Found) -> tuple[Any, Any, Found]:
    try:
        with _root_logger_kept():
            return build(found), tokenizer_of(found), found
    except VsearchError:
        raise
    except Exception as error:  # whatever a strange model makes the libraries raise
        raise EncoderError(f"open_clip cannot load {source.name}: {error}. {ADVICE}.") from error


def build(found: Found) -> Any:
    """The network with its weights.

    Weights are tensors: safetensors, or what torch's restricted unpickler takes.  Raises EncoderError, and whatever
    open_clip raises for weights that do not fit.
    """
    import open_clip
    from open_clip.transform import PreprocessCfg

    check_size(found.configuration.model, found.weights)
    config = copy.deepcopy(found.configuration.model_cfg)
    text, vision = config["text_cfg"], config["vision_cfg"]
    custom = config.pop("custom_text", False) or "hf_model_name" in text
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    if "hf_model_name" in text:
        text["hf_model_pretrained"] = False
        _refuse_folder(text["hf_model_name"])
    kind = open_clip.CoCa if custom and "multimodal_cfg" in config else open_clip.CustomTextCLIP
    network = (kind if custom else open_clip.CLIP)(**config, cast_dtype=None)
    open_clip.load_checkpoint(network, str(found.weights), strict=True, weights_only=True)
    preprocess = {**asdict(PreprocessCfg()), **found.configuration.preprocess_cfg}
    preprocess["size"] = getattr(network.visual, "image_size", preprocess["size"])
    open_clip.set_model_preprocess_cfg(network, preprocess)
    return network


def tokenizer_of(found: Found) -> Any:
    """The tokenizer that goes with a network; no code that comes with it is run.  Raises EncoderError."""
    from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer, SimpleTokenizer

    text = found.configuration.model_cfg["text_cfg"]
    length = text.get("context_length", DEFAULT_CONTEXT_LENGTH)
    options = text.get("tokenizer_kwargs") or {}
    name = text.get("hf_tokenizer_name")
    if not name:
        return SimpleTokenizer(context_length=length, **options)
    if found.tokenizer is None:
        _refuse_folder(name)
    elif not (found.tokenizer / "tokenizer.json").is_file():
        raise EncoderError(f"{found.tokenizer} holds no tokenizer.json; vsearch reads no tokenizer of another form")
    arguments = {"tokenizer_mode": text.get("tokenizer_mode"), "trust_remote_code": False, **options}
    return HFTokenizer(str(found.tokenizer or name), context_length=length, **arguments)


def _refuse_folder(name: str) -> None:
    """Refuse a folder here that would be taken for a repository of the hub.  Raises EncoderError."""
    if Path(name).exists():
        raise EncoderError(f"there is a folder {name!r} here, which would be read instead of the hub's; go elsewhere")


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """Keep open_clip, which logs through the root logger, from setting that logger up for the whole process."""
    guard = logging.NullHandler()
    logging.root.addHandler(guard)
    try:
        yield
    finally:
        logging.root.removeHandler(guard)
