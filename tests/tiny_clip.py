"""A model of open_clip with random weights, small enough to train in a test, and pictures that it can learn."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what the libraries below say of each other at import is not ours to mend
    import open_clip

MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
PREPROCESS = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
WORDS = ("red", "green", "blue", "yellow", "white", "black", "orange", "pink")
COLOURS = (
    (255, 0, 0),
    (0, 160, 0),
    (0, 0, 255),
    (255, 255, 0),
    (255, 255, 255),
    (0, 0, 0),
    (255, 128, 0),
    (255, 160, 190),
)


def save_tiny(folder: Path, seed: int = 0, **changes: object) -> Path:
    """A folder as open_clip writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    model = {**MODEL, **changes}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": PREPROCESS}))
    torch.manual_seed(seed)
    save_file(open_clip.model.CLIP(**model).state_dict(), folder / "open_clip_model.safetensors")
    return folder


def save_pairs(folder: Path, count: int = 8, captions: int = 1, name: str = "pairs.tsv") -> Path:
    """Pictures of two colours, left and right, and a table of captions that say which."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["filepath\ttitle"]
    for n in range(count):
        one, two = n % len(WORDS), (n // len(WORDS) + n + 1) % len(WORDS)
        pixels = np.zeros((20, 20, 3), np.uint8)
        pixels[:, :10], pixels[:, 10:] = COLOURS[one], COLOURS[two]
        Image.fromarray(pixels).save(folder / f"{n:03d}.png")
        told = [f"{WORDS[one]} left of {WORDS[two]}", f"{WORDS[two]} right of {WORDS[one]}", f"number {n}"]
        lines += [f"{n:03d}.png\t{text}" for text in told[:captions]]
    table = folder / name
    table.write_text("\n".join(lines) + "\n")
    return table
