"""A network of open_clip and its tokenizer, made from a folder or a repository whose configuration was checked.

open_clip's own ``create_model`` and ``get_tokenizer`` read the configuration again and hand what is in it to other
libraries; here they are given only what ``model_config`` let through.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vsearch.embed import hub
from vsearch.embed.model_config import Configuration, check_size, read_configuration
from vsearch.errors import EncoderError

# What open_clip looks for in a folder, in its order; then any other of these kinds.
_WEIGHTS = (
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"),
    *("open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth"),
)
_KINDS = ("*.safetensors", "*.bin", "*.pth")


@dataclass(frozen=True)
class Model:
    """What a model is made of.  tokenizer: folder with the tokenizer's files; None for where its name says."""

    configuration: Configuration
    weights: Path
    tokenizer: Path | None


def in_folder(folder: Path) -> Model:
    """The model in a folder as open_clip saves them.  Raises EncoderError, OSError."""
    return Model(read_configuration(folder / hub.CONFIG_FILE), weights_in(folder), folder)


def in_repository(repo: str) -> Model:
    """The model in a repository of the hub, fetched unless it is in the cache.  Raises EncoderError, OSError."""
    from huggingface_hub import hf_hub_download
    from open_clip.pretrained import download_pretrained_from_hf

    configuration = read_configuration(Path(hf_hub_download(repo, hub.CONFIG_FILE)))
    return Model(configuration, Path(download_pretrained_from_hf(repo)), None)


def weights_in(folder: Path) -> Path:
    """The weights file that open_clip takes.  Raises EncoderError when there is none."""
    others = (path for kind in _KINDS for path in sorted(folder.glob(kind)))
    for path in (*(folder / name for name in _WEIGHTS), *others):
        if path.is_file():
            return path
    raise EncoderError(f"{folder} holds no weights: no file {_WEIGHTS[0]}, nor any other that open_clip reads")


def build(model: Model) -> Any:
    """The network with its weights, float32, on the CPU.

    Weights are tensors: safetensors, or what torch's restricted unpickler takes.  Raises EncoderError, and whatever
    open_clip raises for weights that do not fit.
    """
    import open_clip
    from open_clip.transform import PreprocessCfg

    check_size(model.configuration.model, model.weights)
    config = copy.deepcopy(model.configuration.model_cfg)
    text, vision = config["text_cfg"], config["vision_cfg"]
    custom = config.pop("custom_text", False) or "hf_model_name" in text
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    if "hf_model_name" in text:
        text["hf_model_pretrained"] = False
        _refuse_folder(text["hf_model_name"])
    kind = open_clip.CoCa if custom and "multimodal_cfg" in config else open_clip.CustomTextCLIP
    network = (kind if custom else open_clip.CLIP)(**config, cast_dtype=None)
    open_clip.load_checkpoint(network, str(model.weights), strict=True, weights_only=True)
    preprocess = {**asdict(PreprocessCfg()), **model.configuration.preprocess_cfg}
    preprocess["size"] = getattr(network.visual, "image_size", preprocess["size"])
    open_clip.set_model_preprocess_cfg(network, preprocess)
    return network


def tokenizer_of(model: Model) -> Any:
    """The tokenizer that goes with a network; no code that comes with it is run.  Raises EncoderError."""
    from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer, SimpleTokenizer

    text = model.configuration.model_cfg["text_cfg"]
    length = text.get("context_length", DEFAULT_CONTEXT_LENGTH)
    options = text.get("tokenizer_kwargs") or {}
    name = text.get("hf_tokenizer_name")
    if not name:
        return SimpleTokenizer(context_length=length, **options)
    if model.tokenizer is None:
        _refuse_folder(name)
    elif not (model.tokenizer / "tokenizer.json").is_file():
        raise EncoderError(f"{model.tokenizer} holds no tokenizer.json; vsearch reads no tokenizer of another form")
    return HFTokenizer(
        str(model.tokenizer or name),
        context_length=length,
        tokenizer_mode=text.get("tokenizer_mode"),
        trust_remote_code=False,
        **options,
    )


def _refuse_folder(name: str) -> None:
    """Refuse a folder here that would be taken for a repository of the hub.  Raises EncoderError."""
    if Path(name).exists():
        raise EncoderError(f"there is a folder {name!r} here, which would be read instead of the hub's; go elsewhere")
