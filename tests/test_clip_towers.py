"""The towers that run without open_clip give its vectors, for every family; files that do not fit are errors.

Real sizes are in benchmarks/suites/clip.py; here the same shapes are small.
"""

import json
import math
import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_clip_tokens import byte_pairs, word_pieces

from tests.small_clip import MODEL, PREPROCESS, save_model
from vsearch.embed.clip import shapes
from vsearch.embed.clip.activations import ACTIVATIONS, softmax
from vsearch.embed.clip.tensors import TensorFile
from vsearch.embed.clip.vision_transformer import ACTIVATIONS as IN_TORCH
from vsearch.embed.openclip import OpenClip, state_hash
from vsearch.errors import EncoderError, EncoderUnavailable
from vsearch.phrases import load as phrases

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import open_clip
    import timm

TEXT, VISION = MODEL["text_cfg"], MODEL["vision_cfg"]
OWN, WHOLE = "torch, without open_clip", "open_clip"
SIGLIP_TEXT = {
    **TEXT,
    "context_length": 16,
    "vocab_size": 900,
    "hf_tokenizer_name": "some/one",
    "tokenizer_kwargs": {"clean": "canonicalize"},
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "norm_kwargs": {"eps": 1e-6},
    "act_kwargs": {"approximate": "tanh"},
}
CLIPA_TEXT = {**SIGLIP_TEXT, "vocab_size": 700, "proj_bias": False, "tokenizer_kwargs": {"strip_sep_token": True}}
RESNET = {"image_size": 64, "layers": [1, 2, 1, 1], "width": 16, "patch_size": None, "head_width": 64}
FAMILIES = {
    "CLIP": {},
    "CLIP of OpenAI": {"quick_gelu": True},
    "with a text tower of its own": {"custom_text": True},
    "RN50": {"vision_cfg": RESNET},
    "mean of patches": {"vision_cfg": {**VISION, "pool_type": "avg"}},
    "mean of patches, then the norm": {"vision_cfg": {**VISION, "pool_type": "avg", "final_ln_after_pool": True}},
    "no norm before": {"vision_cfg": {**VISION, "no_ln_pre": True, "norm_kwargs": {"eps": 1e-6}}},
    "wide layers": {"vision_cfg": {**VISION, "mlp_ratio": 3.5, "head_width": 32}},
    "texts of SigLIP": {"text_cfg": SIGLIP_TEXT, "custom_text": True, "init_logit_bias": -10.0},
    "texts of CLIPA": {"text_cfg": CLIPA_TEXT, "custom_text": True},
}
ELSEWHERE = {
    "layer scale": {"text_cfg": {**TEXT, "ls_init_value": 0.1}, "vision_cfg": {**VISION, "ls_init_value": 0.1}},
    "norms of queries and keys": {"text_cfg": {**TEXT, "qk_norm": True}, "vision_cfg": {**VISION, "qk_norm": True}},
    "the first token": {"text_cfg": {**TEXT, "pool_type": "first"}},
    "attention at the end": {
        "vision_cfg": {**VISION, "attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2}
    },
}
TEXTS = [*phrases()[:180], "", "dog", "word " * 40, "Ünïcödé 日本", *("x " * n for n in range(1, 17))]


def made(folder, changes, kind="F32", name="open_clip_model.safetensors"):
    """A model whose biases and norms are no zeros and ones, since a mistake with those would not show."""
    save_model(folder, **changes)
    network = _network(folder)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn_like(parameter)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean += 0.1 * torch.randn_like(module.running_mean)
                module.running_var += 0.1 * torch.rand_like(module.running_var)
    tensors = network.state_dict()
    dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[kind]
    tensors = {n: t.to(dtype) if t.is_floating_point() else t for n, t in tensors.items()}
    (folder / "open_clip_model.safetensors").unlink()
    (torch.save if name.endswith(".bin") else save_file)(tensors, folder / name)
    return folder


def _network(folder):
    told = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    custom = told.pop("custom_text", False)
    return (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**told).eval()


def theirs(folder, texts, pixels):
    """Vectors of texts and pictures, and the hash of the network, by open_clip alone."""
    network = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True).eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    mean, std = (torch.tensor(PREPROCESS[key])[:, None, None] for key in ("mean", "std"))
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.inference_mode():
        return (
            network.encode_text(tokenizer(texts), normalize=True).numpy(),
            network.encode_image(images, normalize=True).numpy(),
            state_hash(network),
        )


def write_tokenizer(folder, changes):
    name = changes.get("text_cfg", {}).get("tokenizer_kwargs")
    if name:
        (word_pieces if "strip_sep_token" in name else byte_pairs)(folder)


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch, float32):
    monkeypatch.setenv("VSEARCH_CACHE", str(tmp_path / "cache"))


def pictures(size, count=50):
    return np.random.default_rng(5).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def compare(folder, ways):
    encoder = OpenClip(f"local-dir:{folder}")
    assert encoder.ways == ways
    pixels = pictures(encoder.preprocess.size)
    texts, images, digest = theirs(folder, TEXTS, pixels)
    assert (encoder.encode_texts(TEXTS) * texts).sum(axis=1).min() > 0.99999
    assert (encoder.encode_images(pixels) * images).sum(axis=1).min() > 0.99999
    assert encoder.info.weights == digest
    assert encoder.info.dim == texts.shape[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_gives_the_vectors_and_the_fingerprint_of_open_clip(family, tmp_path):
    folder = made(tmp_path / "model", FAMILIES[family])
    write_tokenizer(folder, FAMILIES[family])
    compare(folder, {"texts": "numpy, without torch", "pictures": OWN})


@pytest.mark.parametrize("family", ELSEWHERE)
def test_what_is_not_known_here_goes_through_open_clip(family, tmp_path):
    folder = made(tmp_path / "model", ELSEWHERE[family])
    encoder = OpenClip(f"local-dir:{folder}")
    assert WHOLE in encoder.ways.values()
    compare(folder, encoder.ways)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("F16", "open_clip_model.safetensors"),
        ("BF16", "open_clip_model.safetensors"),
        ("F32", "open_clip_pytorch_model.bin"),
        ("F16", "open_clip_pytorch_model.bin"),
    ],
)
def test_other_types_and_files_of_torch_give_the_same(kind, name, tmp_path):
    folder = made(tmp_path / "model", {}, kind, name)
    compare(folder, {"texts": "numpy, without torch", "pictures": OWN})


def test_a_file_of_the_time_before_text_towers_had_a_name(tmp_path):
    folder = made(tmp_path / "model", {})
    told = json.loads((folder / "open_clip_config.json").read_text())
    told["model_cfg"]["custom_text"] = True
    (folder / "open_clip_config.json").write_text(json.dumps(told))
    compare(folder, {"texts": "numpy, without torch", "pictures": OWN})


def test_places_for_another_size_of_pictures_are_left_to_open_clip(tmp_path):
    folder = made(tmp_path / "model", {})
    told = json.loads((folder / "open_clip_config.json").read_text())
    told["model_cfg"]["vision_cfg"]["image_size"] = 48
    (folder / "open_clip_config.json").write_text(json.dumps(told))
    compare(folder, {"texts": WHOLE, "pictures": WHOLE})


def test_the_real_siglip2_tower_for_pictures(tmp_path):
    """The one that a processor without a GPU gets, in its size: timm has no smaller one."""
    config = open_clip.get_model_config("ViT-B-32-SigLIP2-256")
    torch.manual_seed(0)
    with torch.device("meta"):
        tower = timm.create_model("vit_base_patch32_siglip_256", num_classes=0, global_pool="map")
    tower = tower.to_empty(device="cpu").eval()
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.normal_(std=0.02)
    changes = {"text_cfg": SIGLIP_TEXT, "custom_text": True, "init_logit_bias": -10.0, "embed_dim": 768}
    folder = tmp_path / "model"
    text = open_clip.CustomTextCLIP(**{**MODEL, **{k: v for k, v in changes.items() if k != "custom_text"}})
    own = {n: t for n, t in text.state_dict().items() if not n.startswith("visual.")}
    folder.mkdir()
    byte_pairs(folder)
    body = {**MODEL, **changes, "vision_cfg": config["vision_cfg"]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": body, "preprocess_cfg": PREPROCESS}))
    weights = {**own, **{f"visual.trunk.{n}": t for n, t in tower.state_dict().items()}}
    save_file(weights, folder / "open_clip_model.safetensors")
    encoder = OpenClip(f"local-dir:{folder}")
    assert encoder.ways == {"texts": "numpy, without torch", "pictures": OWN}
    pixels = pictures(256, 4)
    mean, std = (torch.tensor(PREPROCESS[key])[:, None, None] for key in ("mean", "std"))
    with torch.inference_mode():
        images = tower((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std).numpy()
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    assert (encoder.encode_images(pixels) * images).sum(axis=1).min() > 0.9999


@pytest.mark.parametrize("name", [name for name in timm.list_models("vit_*siglip*") if shapes.SIGLIP.fullmatch(name)])
def test_the_activations_and_heads_of_siglips_towers_are_those_of_timm(name):
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tower = timm.create_model(name, num_classes=0, global_pool="map")
    tanh = "tanh" in str(tower.blocks[0].mlp.act).lower()
    assert bool(shapes._SIGLIP_TANH.fullmatch(name)) == tanh
    assert shapes._SIGLIP_HEADS[shapes.SIGLIP.fullmatch(name)[1]] == tower.blocks[0].attn.num_heads
    assert tower.norm.eps == 1e-6


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_equal_those_of_torch(name):
    x = np.linspace(-12, 12, 70_001, dtype=np.float32)
    wanted = IN_TORCH[name](torch.from_numpy(x.copy())).numpy()
    np.testing.assert_allclose(ACTIVATIONS[name](x.copy()), wanted, atol=2e-6)


def test_softmax_equals_that_of_torch():
    x = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32) * 30
    x[0, 0, 1:] = -np.inf
    np.testing.assert_allclose(softmax(x.copy()), torch.from_numpy(x).softmax(-1).numpy(), atol=1e-6)


def test_vectors_do_not_depend_on_what_else_is_in_the_batch(tmp_path):
    encoder = OpenClip(f"local-dir:{made(tmp_path / 'model', {})}")
    together = encoder.encode_texts(TEXTS)
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_planted_mistake_in_the_mask_is_caught(tmp_path, monkeypatch):
    """The comparison with open_clip must see a tower in which tokens look ahead."""
    from vsearch.embed.clip import text_tower

    folder = made(tmp_path / "model", {})
    monkeypatch.setattr(text_tower.np, "triu", lambda matrix, k: np.zeros_like(matrix))
    encoder = OpenClip(f"local-dir:{folder}")
    texts, _, _ = theirs(folder, TEXTS, pictures(32, 1))
    assert (encoder.encode_texts(TEXTS) * texts).sum(axis=1).min() < 0.9999


def test_the_temperature_needs_no_torch(tmp_path):
    folder = made(tmp_path / "model", {})
    scale = float(load_file(folder / "open_clip_model.safetensors")["logit_scale"])
    assert OpenClip(f"local-dir:{folder}").temperature == pytest.approx(math.exp(-scale))


IMPORTS = """
import sys
heavy = {"open_clip", "transformers", "torchvision", "timm"}
from vsearch.embed import load_encoder
encoder = load_encoder("local-dir:" + sys.argv[1])
assert encoder.info.dim and encoder.temperature
assert encoder.encode_texts(["a red apple"]).shape == (1, 24)
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"torch", *heavy}))
if len(sys.argv) > 2:
    import numpy
    encoder.encode_images(numpy.zeros((1, 32, 32, 3), numpy.uint8))
    print(*sorted({name.partition(".")[0] for name in sys.modules} & heavy))
"""


def test_a_text_imports_no_torch_and_a_picture_no_open_clip(tmp_path):
    folder = made(tmp_path / "model", {})
    words = [sys.executable, "-c", IMPORTS, str(folder), "picture"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "\n\n"


# What does not fit


def damaged(folder, change):
    path = folder / "open_clip_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    return OpenClip(f"local-dir:{folder}")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("text_projection", lambda tensors: tensors.pop("text_projection")),
        ("ln_final", lambda tensors: tensors.pop("ln_final.weight")),
        ("vocabulary", lambda tensors: tensors.update({"token_embedding.weight": torch.zeros(7, 32)})),
        ("in_proj", lambda tensors: tensors.update({"transformer.resblocks.1.attn.in_proj_weight": torch.zeros(3, 3)})),
        ("projection", lambda tensors: tensors.update({"text_projection": torch.zeros(3, 3)})),
        ("surplus", lambda tensors: tensors.update({"surplus": torch.zeros(3)})),
    ],
)
def test_a_tensor_that_is_missing_or_misshapen_is_an_error_for_texts(name, change, tmp_path):
    encoder = damaged(made(tmp_path / "model", {}), change)
    with pytest.raises(EncoderError, match=name):
        encoder.encode_texts(["a dog"])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("visual.proj", lambda tensors: tensors.pop("visual.proj")),
        ("visual.conv1", lambda tensors: tensors.update({"visual.conv1.weight": torch.zeros(3, 3, 8, 8)})),
        ("visual.surplus", lambda tensors: tensors.update({"visual.surplus": torch.zeros(3)})),
    ],
)
def test_a_tensor_that_is_missing_or_misshapen_is_an_error_for_pictures(name, change, tmp_path):
    encoder = damaged(made(tmp_path / "model", {}), change)
    with pytest.raises(EncoderError):
        encoder.encode_images(pictures(32, 1))


@pytest.mark.parametrize("length", [0, 7, 8, 9, 500, 100_000, -1])
def test_a_weights_file_that_is_cut_is_told(length, tmp_path):
    folder = made(tmp_path / "model", {})
    path = folder / "open_clip_model.safetensors"
    raw = path.read_bytes()
    path.write_bytes(raw[:length])
    with pytest.raises(EncoderError, match="cut short|no safetensors file|cannot be read"):
        OpenClip(f"local-dir:{folder}").encode_texts(["a dog"])


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'{"a": 1}',
        b'{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}}',
    ],
)
def test_a_header_that_lies_is_refused(header, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0\0\0")
    with pytest.raises(EncoderError, match="Fetch or copy the model again"):
        TensorFile(path)


def test_a_folder_without_weights_is_told(tmp_path):
    folder = made(tmp_path / "model", {})
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(EncoderUnavailable, match="holds no weights"):
        _ = OpenClip(f"local-dir:{folder}").info


@pytest.mark.parametrize("how", ["read-only", "rubbish", "a file"])
def test_a_cache_that_cannot_be_used_changes_nothing(how, tmp_path, monkeypatch):
    folder = made(tmp_path / "model", {})
    wanted = OpenClip(f"local-dir:{folder}").encode_texts(["a dog"])
    cache = tmp_path / "cache"
    if how == "rubbish":
        for path in cache.rglob("*.json"):
            path.write_bytes(b"\0rubbish")
    elif how == "a file":
        monkeypatch.setenv("VSEARCH_CACHE", str(folder / "open_clip_config.json"))
    else:
        monkeypatch.setenv("VSEARCH_CACHE", "/proc/1/cache")
    encoder = OpenClip(f"local-dir:{folder}")
    np.testing.assert_array_equal(encoder.encode_texts(["a dog"]), wanted)
    assert encoder.info.digest == OpenClip(f"local-dir:{folder}").info.digest


def test_weights_that_change_change_the_fingerprint_whatever_was_remembered(tmp_path):
    folder = made(tmp_path / "model", {})
    before = OpenClip(f"local-dir:{folder}").info
    changed = damaged(folder, lambda tensors: tensors["text_projection"].add_(0.001))
    assert changed.info.weights != before.weights
