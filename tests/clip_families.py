"""Tiny models of the families of CLIP that people use, with random weights, as folders that ``local-dir:`` takes.

The towers are those of open_clip, timm and transformers themselves, only small.  Two names have to be given to what
those libraries would take from elsewhere: a small tower under the name of SigLIP's in timm, and the configuration of a
small text model in the cache of the model hub under the name of XLM-RoBERTa's.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_clip_tokens import byte_pairs

from tests.small_clip import MODEL, PREPROCESS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what the libraries below say of each other at import is not ours to mend
    import open_clip
    from timm.models import _registry, vision_transformer

SIGLIP_NAME = "vit_base_patch32_siglip_256"
TEXT_MODEL = "xlm-roberta-base"
VOCABULARY = 900
OWN, WHOLE = "without", "open_clip"

_TEXT, _VISION = MODEL["text_cfg"], MODEL["vision_cfg"]
_TOKENIZER = {"vocab_size": VOCABULARY, "hf_tokenizer_name": "some/one"}
SIGLIP_TEXT = {
    **_TEXT,
    **_TOKENIZER,
    "tokenizer_kwargs": {"clean": "canonicalize"},
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "norm_kwargs": {"eps": 1e-6},
    "act_kwargs": {"approximate": "tanh"},
}
_SIGLIP = {"text_cfg": SIGLIP_TEXT, "custom_text": True, "init_logit_bias": -10.0, "init_logit_scale": 4.7}
_MAP = {"timm_model_pretrained": False, "timm_pool": "map", "timm_proj": "none"}
FAMILIES: dict[str, dict[str, Any]] = {
    "CLIP": {},
    "CLIP of OpenAI": {"quick_gelu": True},
    "RN50": {"vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None}},
    "SigLIP": {**_SIGLIP, "embed_dim": 48, "vision_cfg": {"timm_model_name": SIGLIP_NAME, "image_size": 32, **_MAP}},
    "another tower of timm": {
        **_SIGLIP,
        "embed_dim": 64,
        "vision_cfg": {"timm_model_name": "test_vit", "image_size": 160, **_MAP},
    },
    "ConvNeXt": {
        "vision_cfg": {
            "timm_model_name": "test_convnext",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 64,
        }
    },
    "XLM-RoBERTa": {
        "text_cfg": {
            "hf_model_name": TEXT_MODEL,
            "hf_tokenizer_name": TEXT_MODEL,
            "hf_model_pretrained": False,
            "hf_proj_type": "mlp",
            "hf_pooler_type": "mean_pooler",
            "context_length": 16,
        }
    },
}
SIGMOID = ("SigLIP", "another tower of timm")  # trained with SigLIP's loss: they have a bias
XLM_ROBERTA = {
    "architectures": ["XLMRobertaModel"],
    "model_type": "xlm-roberta",
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
    "type_vocab_size": 1,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def save_family(folder: Path, family: str, seed: int = 0) -> Path:
    """Write a model of a family.  Biases and norms are no zeros and ones, since mistakes with those would not show."""
    changes = FAMILIES[family]
    folder.mkdir(parents=True)
    body = {**MODEL, **changes}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": body, "preprocess_cfg": PREPROCESS}))
    if "hf_tokenizer_name" in body["text_cfg"]:
        byte_pairs(folder)
    torch.manual_seed(seed)
    network = network_of(folder)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn_like(parameter)
            elif parameter.ndim > 1:  # else all pictures lie near each other, and all texts
                parameter *= _growth(family, name)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean += 0.1 * torch.randn_like(module.running_mean)
                module.running_var += 0.1 * torch.rand_like(module.running_var)
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def _growth(family: str, name: str) -> int:
    if name.startswith("visual.trunk"):
        return 4 if family in SIGMOID else 1
    return 2


def network_of(folder: Path) -> Any:
    """open_clip's network of a folder's configuration, without its weights."""
    told = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    custom = told.pop("custom_text", False) or "hf_model_name" in told["text_cfg"]
    return (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**told).eval()


def whole(folder: Path) -> tuple[Any, Any]:
    """Network and tokenizer, by open_clip alone."""
    network = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True).eval()
    return network, open_clip.get_tokenizer(f"local-dir:{folder}")


def normalised(pixels: np.ndarray) -> torch.Tensor:
    """Pictures (n, side, side, 3) uint8 as the models of this file want them."""
    mean, std = (torch.tensor(PREPROCESS[key])[:, None, None] for key in ("mean", "std"))
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std


def drawn(side: int, count: int, seed: int = 5) -> np.ndarray:
    """Pictures of random blocks, (count, side, side, 3) uint8."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return blocks.repeat(side // 4, axis=1).repeat(side // 4, axis=2)


@contextmanager
def small_names(cache: Path) -> Iterator[None]:
    """While the block runs, the names of two large models mean small ones, in this process and in those it starts.

    cache: a folder to become the cache of the model hub.
    """
    from huggingface_hub import constants

    snapshot = cache / "hub" / f"models--{TEXT_MODEL}" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps(XLM_ROBERTA))
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text(snapshot.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(cache))
        patch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
        patch.setitem(_registry._model_entrypoints, SIGLIP_NAME, _small_siglip)
        yield


def _small_siglip(**options: Any) -> Any:
    of_timm = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
    return vision_transformer.VisionTransformer(
        patch_size=8,
        embed_dim=48,
        depth=2,
        num_heads=12,
        class_token=False,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        act_layer=partial(torch.nn.GELU, approximate="tanh"),
        **{"img_size": 32, **{name: value for name, value in options.items() if name not in of_timm}},
    )
