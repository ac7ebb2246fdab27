import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.small_clip import MODEL, PREPROCESS, save_model
from vsearch.embed import load_encoder
from vsearch.embed.openclip import OpenClip, pixel_spec
from vsearch.embed.precision import place
from vsearch.errors import EncoderError, EncoderMismatch, EncoderUnavailable
from vsearch.types import PixelSpec

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what the libraries below say of each other at import is not ours to mend
    import open_clip

TEXTS = ["a red apple on a wooden table", "dog", "", "word " * 40]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pictures():
    random = np.random.default_rng(3)
    shapes = [(48, 64), (100, 40), (32, 32)]
    return [Image.fromarray(random.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in shapes]


def test_the_temperature_is_one_over_the_logit_scale_that_was_learned(tmp_path):
    network = open_clip.model.CLIP(**MODEL)
    save_model(tmp_path / "m")
    weights = {**network.state_dict(), "logit_scale": torch.tensor(4.6052)}
    save_file(weights, tmp_path / "m" / "open_clip_model.safetensors")
    assert OpenClip(f"local-dir:{tmp_path / 'm'}").temperature == pytest.approx(0.01, rel=1e-4)


def test_vectors_equal_those_of_open_clip_with_its_own_preprocessing(folder, pictures):
    network, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    with torch.inference_mode():
        images = network.eval().encode_image(torch.stack([preprocess(p) for p in pictures]), normalize=True)
        texts = network.encode_text(tokenizer(TEXTS), normalize=True)
    encoder = load_encoder(str(folder))
    assert encoder.preprocess == PixelSpec(32, "squash", "bicubic")
    squashed = np.stack([np.asarray(p.resize((32, 32), Image.Resampling.BICUBIC)) for p in pictures])
    assert ((encoder.encode_images(squashed) * images.numpy()).sum(axis=1) > 0.9999).all()
    assert ((encoder.encode_texts(TEXTS) * texts.numpy()).sum(axis=1) > 0.9999).all()


def test_vectors_are_of_unit_length_and_do_not_depend_on_the_batch(folder):
    encoder = load_encoder(f"local-dir:{folder}")
    pixels = np.random.default_rng(1).integers(0, 256, (70, 32, 32, 3), dtype=np.uint8)
    pixels.flags.writeable = False
    vectors = encoder.encode_images(pixels)
    assert vectors.shape == (70, 24)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_images(pixels[66:67])[0], vectors[66], atol=2e-3)
    assert encoder.encode_images(pixels[:0]).shape == (0, 24)
    assert encoder.encode_texts([]).shape == (0, 24)


def test_the_fingerprint_names_weights_preprocessing_and_architecture(folder, tmp_path):
    told = load_encoder(str(folder)).info
    same = load_encoder(str(save_model(tmp_path / "copy"))).info
    assert same.digest == told.digest
    others = {
        "weights": save_model(tmp_path / "a", seed=1),
        "preprocess": save_model(tmp_path / "b", preprocess={**PREPROCESS, "resize_mode": "longest"}),
        "settings": save_model(tmp_path / "c", preprocess={**PREPROCESS, "mean": [0.5, 0.5, 0.5]}),
        "model": save_model(tmp_path / "d", quick_gelu=True),
    }
    found = {kind: load_encoder(str(place)).info for kind, place in others.items()}
    assert len({told.digest, *(info.digest for info in found.values())}) == 5
    assert found["weights"].weights != told.weights
    assert found["preprocess"].preprocess != told.preprocess
    assert found["settings"].settings["mean"] == [0.5, 0.5, 0.5]
    assert found["model"].weights == told.weights


def test_another_encoder_than_the_pinned_one_is_refused_with_both_names_and_what_to_type(folder, tmp_path):
    pinned = load_encoder(str(folder)).info
    assert load_encoder(str(folder), expect=pinned).info == pinned
    with pytest.raises(EncoderMismatch) as other:
        load_encoder("toy", expect=pinned)
    assert pinned.name in str(other.value)
    assert "toy" in str(other.value)
    assert f"--encoder {pinned.name}" in str(other.value)
    changed = save_model(tmp_path / "model")
    before = load_encoder(str(changed)).info
    save_model(changed, seed=5)
    with pytest.raises(EncoderMismatch, match="other weights"):
        load_encoder(str(changed), expect=before)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"size": 224}, PixelSpec(224)),
        (
            {"size": (256, 256), "resize_mode": "squash", "interpolation": "bilinear"},
            PixelSpec(256, "squash", "bilinear"),
        ),
        ({"size": [64], "resize_mode": "longest", "fill_color": 7}, PixelSpec(64, "longest", fill=7)),
        ({"size": 8, "interpolation": "random"}, PixelSpec(8)),
    ],
)
def test_pixel_spec_follows_the_models_configuration(told, expected):
    assert pixel_spec(told) == expected


def test_a_model_for_oblong_pictures_is_refused():
    with pytest.raises(EncoderError, match="square"):
        pixel_spec({"size": (224, 112)})


def test_a_network_that_bfloat16_would_change_stays_exactly_as_it_was():
    torch.manual_seed(0)
    network = torch.nn.Sequential()
    network.visual = torch.nn.Linear(4096, 3)
    with torch.no_grad():
        network.visual.weight[:] = 1 + 1e-3 * torch.randn(3, 4096)  # rounding loses what tells the outputs apart
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    x = torch.randn(2, 4096)

    def encode(dtype):
        y = network.visual(x.to(dtype)).float()
        return y - y.mean(dim=1, keepdim=True)

    assert place(network, torch.device("cpu"), encode).dtype == torch.float32
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_network_that_gives_no_numbers_is_an_error(tmp_path):
    folder = save_model(tmp_path / "model")
    network = open_clip.model.CLIP(**MODEL)
    network.visual.proj.data.fill_(float("nan"))
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    with pytest.raises(EncoderError, match="not finite"):
        OpenClip(f"local-dir:{folder}").encode_images(np.zeros((1, 32, 32, 3), np.uint8))


def test_a_folder_without_a_model_or_with_a_broken_one_is_named(tmp_path):
    with pytest.raises(EncoderUnavailable, match="open_clip_config.json"):
        _ = load_encoder(str(tmp_path)).info
    folder = save_model(tmp_path / "model")
    (folder / "open_clip_model.safetensors").write_bytes(b"not weights")
    with pytest.raises(EncoderError, match="no safetensors file, or cut short"):
        _ = load_encoder(str(folder)).info


def test_a_model_that_open_clip_does_not_list_is_named_with_the_tags_it_has():
    with pytest.raises(EncoderError, match="laion2b_s34b_b79k"):
        _ = load_encoder("ViT-B-32/no_such_tag").info
    with pytest.raises(EncoderError, match="no encoder named"):
        load_encoder("nonsense")


def test_what_auto_would_take_is_listed_by_open_clip_at_that_place():
    from vsearch.embed import hub
    from vsearch.embed.presets import OPEN_CLIP

    for known in OPEN_CLIP:
        name, tag = known.name.split("/")
        assert open_clip.get_pretrained_cfg(name, tag)["hf_hub"] == f"{known.repo}/"
        config = open_clip.get_model_config(name)
        assert config["embed_dim"] == known.dim
        assert config["text_cfg"].get("hf_tokenizer_name") == (known.texts[0] if known.texts else None)
    assert hub.WEIGHT_FILES == (open_clip.constants.HF_SAFE_WEIGHTS_NAME, open_clip.constants.HF_WEIGHTS_NAME)


NO_SOCKETS = """
import socket, sys
def refuse(*a, **k): raise OSError("no network in this test")
socket.socket.connect = socket.getaddrinfo = refuse
"""


def run_offline(code, tmp_path, **environment):
    env = {**os.environ, "HF_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), **environment}
    return subprocess.run(
        [sys.executable, "-c", NO_SOCKETS + code], capture_output=True, text=True, env=env, check=True, timeout=120
    )


@pytest.mark.parametrize("environment", [{}, {"HF_HUB_OFFLINE": "1"}, {"VSEARCH_OFFLINE": "1"}])
def test_auto_takes_mini_when_the_cache_is_empty_and_there_is_no_network(tmp_path, environment):
    code = "from vsearch.embed import resolve; print(*resolve('auto'), sep='|'); print('torch' in sys.modules)"
    told = run_offline(code, tmp_path, **environment).stdout.splitlines()
    assert told[0].startswith("mini|encoder mini")
    assert "ViT-B-32-SigLIP2-256/webli is not on this machine" in told[0]
    assert told[1] == "False"


@pytest.mark.parametrize("name", ["ViT-B-32/laion2b_s34b_b79k", "hf-hub:someone/some-model"])
def test_missing_weights_without_network_are_an_error_that_says_what_to_type(tmp_path, name):
    code = f"""
from vsearch.embed import load_encoder
from vsearch.errors import EncoderUnavailable
try: load_encoder({name!r}).encode_texts(["dog"])
except EncoderUnavailable as error: print(error)
"""
    told = run_offline(code, tmp_path)
    assert name in told.stdout
    assert "--encoder mini" in told.stdout
    assert "local-dir:PATH" in told.stdout
    assert "Retry" not in told.stderr  # what the hub's client says while it goes on trying


def test_cached_weights_are_used_without_asking_the_hub(folder, tmp_path):
    repo = tmp_path / "hub" / "models--someone--tiny"
    snapshot = repo / "snapshots" / "0123456789012345678901234567890123456789"
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(snapshot.name)
    for file in folder.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    code = """
import logging
from vsearch.embed import load_encoder
encoder = load_encoder("hf-hub:someone/tiny")
print(encoder.info.weights, encoder.info.dim, len(logging.root.handlers))
from huggingface_hub import constants
print(constants.HF_HUB_OFFLINE)
"""
    told = run_offline(code, tmp_path)
    weights = load_encoder(str(folder)).info.weights
    assert told.stdout.splitlines() == [f"{weights} 24 0", "False"]
    assert "Retry" not in told.stderr


@pytest.mark.usefixtures("float32")
def test_patches_and_tokens_are_those_that_the_towers_pool(folder):
    from vsearch.embed.patches import load_patches

    towers = load_patches(str(folder))
    network, tokenizer = (
        open_clip.create_model(f"local-dir:{folder}").eval(),
        open_clip.get_tokenizer(f"local-dir:{folder}"),
    )
    pixels = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    seen = []
    network.visual.transformer.register_forward_hook(lambda *told: seen.append(told[2]))
    mean, std = (np.array(PREPROCESS[name], np.float32) for name in ("mean", "std"))
    with torch.inference_mode():
        network.encode_image(torch.from_numpy((pixels / np.float32(255) - mean) / std).permute(0, 3, 1, 2))
        by_hand = network.visual.ln_post(seen[0][:, 1:]).numpy()
    patches = towers.encode_patches(pixels)
    assert patches.shape == (3, 16, 64) and towers.preprocess.size == 32 and towers.name == f"local-dir:{folder}"
    np.testing.assert_allclose(patches, by_hand, atol=2e-4)

    texts = ["a red apple", "a dog on the grass"]
    tokens, there = towers.encode_tokens(texts)
    assert tokens.shape == (2, 7, 32) and there.sum(axis=1).tolist() == [5, 7]  # with start and end
    ends = tokens[[0, 1], there.sum(axis=1) - 1]
    with torch.inference_mode():
        expected = network.encode_text(tokenizer(texts)).numpy()
    np.testing.assert_allclose(ends @ network.text_projection.detach().numpy(), expected, atol=2e-4)


def test_an_encoder_without_patches_is_refused():
    from vsearch.embed.patches import load_patches

    with pytest.raises(EncoderError, match="no patches"):
        load_patches("toy")
