"""Models as a stranger would send them: code wherever a library might run it, and shapes that cost memory."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import pickle
import resource
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save, save_file

from tests.small_clip import MODEL, PREPROCESS, save_model

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
MARK = "ran"  # the file that code of a model would make, in the current folder


class Payload:
    """Makes the file when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, (MARK,)


CODE = f"import os\nos.mkdir({MARK!r})\n"
TOKENIZER = {
    "tokenizer_class": "Evil",
    "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"], "AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"},
}

Make = Callable[[Path], None]


def _config(folder: Path, **changes: Any) -> None:
    """Change fields of the configuration; ``a__b`` is field b of a."""
    told = {"model_cfg": copy.deepcopy(MODEL), "preprocess_cfg": dict(PREPROCESS)}
    for name, value in changes.items():
        place: Any = told["model_cfg"]
        *above, last = name.split("__")
        for part in above:
            place = place[part]
        place[last] = value
    (folder / CONFIG).write_text(json.dumps(told))


def _fields(**changes: Any) -> Make:
    return lambda folder: _config(folder, **changes)


def _with_code(**changes: Any) -> Make:
    """Python beside the model, and a tokenizer that names it."""

    def make(folder: Path) -> None:
        _config(folder, **changes)
        for place in (folder, folder.parent / "roberta-base", folder.parent / "evil"):
            place.mkdir(exist_ok=True)
            (place / "evil.py").write_text(CODE + "class Evil: pass\n")
            (place / "tokenizer_config.json").write_text(json.dumps(TOKENIZER))
            (place / "config.json").write_text(json.dumps({"model_type": "evil", **TOKENIZER}))
            (place / "tokenizer.json").write_text("{}")

    return make


def _weights(name: str, content: Callable[[], bytes]) -> Make:
    """Weights of another form instead of the sound ones."""

    def make(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        (folder / name).write_bytes(content())

    return make


def _pickled() -> bytes:
    return pickle.dumps({"state_dict": Payload()})


def _torch_zip() -> bytes:
    out = io.BytesIO()
    torch.save({"state_dict": {"a": torch.zeros(2)}}, out)
    with zipfile.ZipFile(io.BytesIO(out.getvalue())) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as new:
        for name, content in parts.items():
            new.writestr(name, _pickled() if name.endswith("data.pkl") else content)
    return changed.getvalue()


def _script() -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have another form of program
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), out)
    return out.getvalue()


def _numpy_pickle() -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([Payload()], dtype=object), allow_pickle=True)
    return out.getvalue()


def _header(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def _changed_tensors(change: Callable[[dict[str, Any]], None]) -> Make:
    def make(folder: Path) -> None:
        from safetensors.torch import load_file

        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return make


def _put(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda tensors: tensors.__setitem__(name, value)


def _file(name: str, content: bytes) -> Make:
    return lambda folder: (folder / name).write_bytes(content) and None


def _pipe(folder: Path) -> None:
    (folder / CONFIG).unlink()
    os.mkfifo(folder / CONFIG)


def _absent(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


CASES: dict[str, Make] = {
    "remote code asked for": _with_code(
        text_cfg__hf_tokenizer_name="evil/evil", text_cfg__tokenizer_kwargs={"trust_remote_code": True}
    ),
    "remote code of the tokenizer": _with_code(text_cfg__hf_tokenizer_name="evil"),
    "a text model in a folder here": _with_code(
        text_cfg__hf_model_name="roberta-base", text_cfg__hf_tokenizer_name="roberta-base"
    ),
    "a text model by its path": _with_code(text_cfg__hf_model_name="./evil", text_cfg__hf_tokenizer_name="./evil"),
    "a text model that is not listed": _with_code(text_cfg__hf_model_name="evil/evil"),
    "a picture model in a folder": _with_code(vision_cfg__timm_model_name="local-dir:evil"),
    "a picture model of the hub": _fields(vision_cfg__timm_model_name="hf-hub:evil/evil"),
    "a picture model that wants its own weights": _fields(
        vision_cfg__timm_model_name="vit_tiny_patch16_224", vision_cfg__timm_model_pretrained=True
    ),
    "a picture model that there is not": _fields(vision_cfg__timm_model_name="no_such_model"),
    "a field that is not known": _fields(text_cfg__loader="os.system"),
    "a class of one's own": _fields(model_class="evil.Evil"),
    "arguments of the activation": _fields(vision_cfg__act_kwargs={"approximate": "tanh", "inplace": True}),
    "a very wide network": _fields(vision_cfg__width=16384, text_cfg__width=16384),
    "a very deep network": _fields(vision_cfg__layers=256, vision_cfg__width=8192),
    "a vocabulary without end": _fields(text_cfg__vocab_size=2**40),
    "a large vocabulary": _fields(text_cfg__vocab_size=2**21, text_cfg__width=4096),
    "pictures of a gigapixel": _fields(vision_cfg__image_size=2**16),
    "texts of a million words": _fields(text_cfg__context_length=2**20),
    "negative widths": _fields(text_cfg__width=-512),
    "no heads": _fields(text_cfg__heads=0),
    "texts for numbers": _fields(vision_cfg__width="64"),
    "no towers": _fields(vision_cfg=None, text_cfg=None),
    "nested without end": _file(CONFIG, b"[" * 100_000),
    "not JSON": _file(CONFIG, b"\x80\x04."),
    "a long configuration": _file(CONFIG, b" " * (2 << 20) + b"{}"),
    "the configuration is a pipe": _pipe,
    "a mean that is text": _file(CONFIG, json.dumps({"model_cfg": MODEL, "preprocess_cfg": {"mean": "x"}}).encode()),
    "a mean of two": _file(CONFIG, json.dumps({"model_cfg": MODEL, "preprocess_cfg": {"mean": [1, 2]}}).encode()),
    "a pickle": _weights("open_clip_pytorch_model.bin", _pickled),
    "a pickle in torch's zip": _weights("open_clip_pytorch_model.bin", _torch_zip),
    "a pickle called safetensors": _weights(WEIGHTS, _pickled),
    "a program of torch": _weights("model.pth", _script),
    "numpy objects": _weights("open_clip_model.npz", _numpy_pickle),
    "numpy objects called bin": _weights("pytorch_model.bin", _numpy_pickle),
    "no weights": _absent,
    "weights cut short": lambda folder: os.truncate(folder / WEIGHTS, 100_000),
    "a header without end": _weights(WEIGHTS, lambda: struct.pack("<Q", 2**62)),
    "a header of rubbish": _weights(WEIGHTS, lambda: _header(b"\xff" * 1000)),
    "offsets beyond the file": _weights(
        WEIGHTS, lambda: _header(b'{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}')
    ),
    "shapes that overflow": _weights(
        WEIGHTS, lambda: _header(b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}')
    ),
    "a tensor too few": _changed_tensors(lambda tensors: tensors.pop("text_projection")),
    "a tensor too many": _changed_tensors(_put("evil", torch.zeros(3))),
    "a misshapen tensor": _changed_tensors(_put("text_projection", torch.zeros(3, 3))),
    "whole numbers for weights": _changed_tensors(
        _put("token_embedding.weight", torch.ones(49408, 32, dtype=torch.int64))
    ),
    "weights that are no numbers": _changed_tensors(_put("token_embedding.weight", torch.full((49408, 32), torch.nan))),
    "heads that are no heads": _file("vsearch_heads.json", b'{"format": 3, "base": 7, "strength": [], "weights": 1}'),
    "heads of rubbish": _file("vsearch_heads.json", b"[]"),
    "heads of a newer version": _file("vsearch_heads.json", b'{"format": 1e300}'),
}


HEADS: dict[str, dict[str, torch.Tensor]] = {
    "no matrices": {},
    "of other widths": {"image.0.weight": torch.zeros(384, 7), "image.0.bias": torch.zeros(384)},
    "of one dimension": {"image.0.weight": torch.zeros(384), "text.0.weight": torch.zeros(384)},
    "towers of other shapes": {"tower.encoder.layer.4.output.dense.weight": torch.zeros(2, 2)},
}


def write_heads(name: str, folder: Path) -> None:
    """Trained heads whose matrices do not fit, with a configuration that names them rightly."""
    from vsearch.embed.mini import Mini

    raw = save(HEADS[name])
    told = {"strength": {"image": 1.0, "text": 1.0}, "temperature": None, "base": Mini().info.digest}
    folder.mkdir()
    (folder / "heads.safetensors").write_bytes(raw)
    body = {"format": 3, "weights": hashlib.sha256(raw).hexdigest(), **told}
    (folder / "vsearch_heads.json").write_text(json.dumps(body))


def try_model(name: str, cwd: str) -> dict[str, Any]:
    """Load the model in the folder ``model`` here, and use it: the error, or what it is."""
    from vsearch.embed import load_encoder
    from vsearch.errors import VsearchError

    os.chdir(cwd)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        encoder = load_encoder(f"local-dir:{cwd}/model")
        size = encoder.preprocess.size
        encoder.encode_texts(["a red apple"])
        encoder.encode_images(np.zeros((1, size, size, 3), np.uint8))
        told = "loaded"
    except VsearchError as error:
        told = f"{type(error).__name__}: {error}"
    return {"told": told, "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024}


def write(name: str, place: Path) -> None:
    """The model of that name, in the folder ``model`` of ``place``."""
    save_model(place / "model")
    CASES[name](place / "model")
