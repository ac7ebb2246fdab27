"""A CLIP of real size with random weights: speed does not depend on what the weights are.

Kept in .bench: as open_clip's local-dir, and the same towers as ONNX, where rclip looks for its own.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path
from random import Random

from venvs import CACHE, python_of

from vsearch.embed.clip.tokens import VOCABULARY
from vsearch.embed.weights import package_folder

SEED = 0
_PLAIN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
RCLIP_MODEL = "ViT-B-32-256-datacomp_s34b_b86k"  # rclip's architecture, and the folder in which it looks for it

_TOWERS = {"visual": "encode_image", "textual": "encode_text"}  # rclip's names and open_clip's


def model_folder(name: str) -> Path:
    """The folder of a model with an architecture that open_clip knows; made unless it is there."""
    folder = CACHE / f"random-{name}"
    if not (folder / "open_clip_config.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _write(name, folder)
    return folder


def _write(name: str, folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import open_clip
    torch.manual_seed(SEED)
    model = open_clip.create_model(name, pretrained=None)
    save_file({key: t.contiguous() for key, t in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    told = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": preprocess}
    if told["model_cfg"]["text_cfg"].get("hf_tokenizer_name"):
        _tokenizer(folder, told["model_cfg"]["text_cfg"]["vocab_size"])
    (folder / "open_clip_config.json").write_text(json.dumps(told))


def _tokenizer(folder: Path, words: int = 256_000) -> None:
    """A byte-pair tokenizer with as many tokens as SigLIP2's, of random syllables: as large and as slow to read."""
    random = Random(SEED)
    letters = [chr(code) for code in (*range(33, 127), *range(0xA1, 0x17F))] + ["\u2581"]
    marks = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    vocabulary = {token: number for number, token in enumerate((*marks, *letters))}
    known, merges = list(letters), []
    while len(vocabulary) < words:
        first, second = random.choice(known), random.choice(known[:2000])
        if len(first) + len(second) <= 14 and first + second not in vocabulary:
            vocabulary[first + second] = len(vocabulary)
            known.append(first + second)
            merges.append([first, second])
    special = [{"id": n, "content": mark, "special": True, **_PLAIN} for n, mark in enumerate(marks)]
    eos = {"id": "<eos>", "ids": [1], "tokens": ["<eos>"]}
    told = {
        "version": "1.0",
        "added_tokens": special,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"String": " "},
            "behavior": "MergedWithPrevious",
            "invert": False,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<eos>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<eos>": eos},
        },
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": vocabulary,
            "merges": merges,
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "padding_side": "right"}
    settings |= {f"{name}_token": f"<{name}>" for name in ("pad", "eos", "bos", "unk", "mask")}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def rclip_folder(name: str) -> Path:
    """What rclip's RCLIP_DATADIR has to be for it to use the same towers; made unless it is there."""
    folder = CACHE / "rclip"
    missing = [tower for tower in _TOWERS if not (folder / RCLIP_MODEL / f"{tower}.onnx").is_file()]
    if missing:
        (folder / RCLIP_MODEL).mkdir(parents=True, exist_ok=True)
        _export(model_folder(name), folder / RCLIP_MODEL, missing)
    vocabulary = folder / "tokenizer" / VOCABULARY
    if not vocabulary.is_file():
        vocabulary.parent.mkdir(exist_ok=True)
        shutil.copyfile(Path(package_folder("open_clip")) / VOCABULARY, vocabulary)
    return folder


def _export(source: Path, target: Path, towers: list[str]) -> None:
    import torch

    sys.path += [str(path) for path in python_of("rclip").parents[1].glob("lib/python*/site-packages")]  # for onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import open_clip

        model = open_clip.create_model(f"local-dir:{source}").eval()
        size = model.visual.image_size[0]
        inputs = {"visual": torch.zeros(2, 3, size, size), "textual": open_clip.get_tokenizer("ViT-B-32")(["a", "b"])}
        for tower in towers:
            temporary = target / f"{tower}.tmp"
            model.forward = getattr(model, _TOWERS[tower])
            torch.onnx.export(
                model,
                (inputs[tower],),
                str(temporary),
                input_names=["input"],
                output_names=["output"],
                dynamic_axes={"input": {0: "n"}, "output": {0: "n"}},
                opset_version=17,
                dynamo=False,
            )
            temporary.rename(target / f"{tower}.onnx")
