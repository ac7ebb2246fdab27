"""A CLIP of two layers with random weights, as open_clip saves models."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what the libraries below say of each other at import is not ours to mend
    import open_clip

MODEL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
PREPROCESS = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "interpolation": "bicubic", "resize_mode": "squash"}


def save_model(folder: Path, seed: int = 0, preprocess: dict[str, Any] = PREPROCESS, **changes: Any) -> Path:
    """Write the model, with changes to its configuration, and return its folder."""
    folder.mkdir(exist_ok=True)
    model = {**MODEL, **changes}
    told = {"model_cfg": dict(model), "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(told))
    torch.manual_seed(seed)
    kind = open_clip.CustomTextCLIP if model.pop("custom_text", False) else open_clip.CLIP
    network = kind(**model)
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    return folder
