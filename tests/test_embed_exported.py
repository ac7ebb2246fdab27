"""Models from a hub of our own: what is fetched for them, and folders that give the same vectors without a hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.hub_client import use
from tests.loopback_hub import Hub
from tests.small_clip import MODEL, save_model
from vsearch.embed import fetch_encoder, load_encoder
from vsearch.embed.exported import export_encoder
from vsearch.errors import EncoderError, EncoderUnavailable

SMALL, WEIGHTS, CONFIG = "hf-hub:someone/small", "open_clip_model.safetensors", "open_clip_config.json"
TEXTS = ["a red apple on a table", "dog", ""]
PIXELS = np.random.default_rng(4).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
WORDS = "[UNK] a red apple on the table dog".split()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"), quick_gelu=True)


@pytest.fixture
def hub(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    hub.add("someone/small", model)
    use(hub.url, tmp_path / "home" / "hub", monkeypatch)
    with hub.running():
        yield hub


def assert_same(name: str, other: str) -> None:
    """Two encoders have one fingerprint and give equal vectors, bit by bit."""
    one, two = load_encoder(name, device="cpu"), load_encoder(other, device="cpu")
    assert one.info.digest == two.info.digest
    assert np.array_equal(one.encode_images(PIXELS), two.encode_images(PIXELS))
    assert np.array_equal(one.encode_texts(TEXTS), two.encode_texts(TEXTS))


def without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From here on, there is neither a hub nor a cache."""
    use("http://hub.invalid", tmp_path / "empty", monkeypatch)
    monkeypatch.setenv("VSEARCH_OFFLINE", "1")


def test_a_model_is_fetched_by_its_first_use_and_then_never_again(hub, model):
    encoder = load_encoder(SMALL)
    assert not hub.requests  # naming it is not using it
    assert encoder.info.weights == load_encoder(str(model)).info.weights
    asked = list(hub.requests)
    assert [name for method, name in asked if method == "GET"] == [CONFIG, WEIGHTS]
    assert load_encoder(SMALL).info == encoder.info and fetch_encoder(SMALL).came is False
    assert hub.requests == asked


def test_a_configuration_that_is_refused_costs_no_weights(hub, model):
    files = {path.name: path.read_bytes() for path in model.iterdir()}
    told = json.loads(files[CONFIG])
    told["model_cfg"]["text_cfg"]["hf_model_name"] = "../evil"
    hub.add("someone/small", {**files, CONFIG: json.dumps(told).encode()})
    with pytest.raises(EncoderError, match="not a configuration that vsearch accepts"):
        fetch_encoder(SMALL)
    assert hub.sent[WEIGHTS] == 0


def test_repositories_that_hold_no_model_say_what_they_lack(hub):
    hub.add("someone/words", {"README.md": b"hello"})
    with pytest.raises(EncoderError, match=f"holds no model of open_clip: it has no {CONFIG}"):
        fetch_encoder("hf-hub:someone/words")
    hub.add("someone/words", {CONFIG: b"{}"})
    with pytest.raises(EncoderError, match="holds no weights that vsearch reads: none of open_clip_model.safetensors"):
        fetch_encoder("hf-hub:someone/words")


def test_without_a_network_it_is_named_with_what_to_type(hub, monkeypatch, tmp_path):
    without_network(monkeypatch, tmp_path)
    with pytest.raises(EncoderUnavailable, match=f"{SMALL} is not on this machine.*switched off by request.*mini"):
        _ = load_encoder(SMALL).info


def test_an_exported_folder_is_the_same_encoder_without_a_hub(hub, tmp_path, monkeypatch):
    exported = export_encoder(SMALL, tmp_path / "usb" / "small")
    assert exported.digest == load_encoder(SMALL).info.digest
    assert_same(SMALL, f"local-dir:{tmp_path}/usb/small")
    files = sorted((tmp_path / "usb" / "small").iterdir())
    assert [path.name for path in files] == [CONFIG, WEIGHTS]
    assert exported.bytes == sum(path.stat().st_size for path in files)
    (cached,) = (tmp_path / "home").rglob(WEIGHTS)
    assert files[1].stat().st_ino == cached.stat().st_ino  # no second copy on this disk
    without_network(monkeypatch, tmp_path)
    assert_same(str(tmp_path / "usb" / "small"), str(tmp_path / "usb" / "small"))


def test_weights_of_torch_become_safetensors(hub, model, tmp_path):
    torch.save(load_file(model / WEIGHTS), tmp_path / "weights.bin")
    files = {
        CONFIG: (model / CONFIG).read_bytes(),
        "open_clip_pytorch_model.bin": (tmp_path / "weights.bin").read_bytes(),
    }
    hub.add("someone/small", files)
    export_encoder(SMALL, tmp_path / "out")
    assert load_file(tmp_path / "out" / WEIGHTS).keys() == load_file(model / WEIGHTS).keys()
    assert_same(SMALL, f"local-dir:{tmp_path}/out")


def test_a_folder_is_exported_like_a_repository(model, tmp_path):
    export_encoder(str(model), tmp_path / "out")
    assert_same(str(model), str(tmp_path / "out"))


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(hub, tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(EncoderError, match="there already, and not empty"):
        export_encoder(SMALL, tmp_path / "full")
    with pytest.raises(EncoderError, match="mini is no model of open_clip"):
        export_encoder("mini", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(EncoderError, match="cannot be written"):
        export_encoder(SMALL, tmp_path / "file" / "out")
    without_network(monkeypatch, tmp_path)
    with pytest.raises(EncoderUnavailable):
        export_encoder("hf-hub:someone/else", tmp_path / "out")
    assert not any(path.name.startswith((".", "out")) for path in tmp_path.iterdir())


@pytest.fixture
def listed(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model that open_clip lists, of our own."""
    from vsearch.embed.clip import listed as listing

    configurations = tmp_path / "package" / "model_configs"
    configurations.mkdir(parents=True)
    (configurations / "Tiny-8.json").write_text(json.dumps(MODEL))
    monkeypatch.setattr(listing, "package_folder", lambda package: tmp_path / "package")
    settings = listing.Pretrained(
        repo="someone/small",
        quick_gelu=True,
        mean=[0.4, 0.5, 0.6],
        std=[0.2, 0.25, 0.3],
        interpolation="bilinear",
        file="",
        resize_mode="shortest",
    )
    monkeypatch.setitem(listing._models(), "Tiny-8", {"test": settings})
    return "openclip:Tiny-8/test"


def test_a_listed_model_has_its_fingerprint_in_a_folder_too(listed, hub, tmp_path):
    export_encoder(listed, tmp_path / "out")
    assert_same(listed, f"local-dir:{tmp_path}/out")
    assert load_encoder(listed).preprocess.interpolation == "bilinear"


def test_a_folder_that_only_claims_to_be_a_listed_model_is_not_believed(listed, hub, tmp_path):
    export_encoder(listed, tmp_path / "out")
    told = json.loads((tmp_path / "out" / CONFIG).read_text())
    true = load_encoder(f"local-dir:{tmp_path}/out").info.digest
    for change in ({"vsearch_encoder": "openclip:Tiny-8/other"}, {"vsearch_encoder": 7}, {"model_cfg": MODEL}):
        (tmp_path / "out" / CONFIG).write_text(json.dumps({**told, **change}))
        assert load_encoder(f"local-dir:{tmp_path}/out").info.digest != true


@pytest.fixture
def worded(hub: Hub, tmp_path: Path) -> str:
    """A model whose tokenizer is in a repository of its own."""
    pytest.importorskip("transformers", reason="open_clip reads such tokenizers with it")
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "pad_token": "[UNK]"}
    told = {
        "tokenizer_config.json": settings,
        "config.json": {"model_type": "bert"},
        "tokenizer.json": tokenizer.to_str(),
    }
    hub.add("words", {name: (t if isinstance(t, str) else json.dumps(t)).encode() for name, t in told.items()})
    text = {**MODEL["text_cfg"], "vocab_size": 64, "hf_tokenizer_name": "words", "tokenizer_kwargs": {"clean": "lower"}}
    hub.add("someone/worded", save_model(tmp_path / "worded", text_cfg=text))
    return "hf-hub:someone/worded"


def test_the_tokenizer_comes_with_the_model_and_goes_with_the_folder(worded, hub, tmp_path, monkeypatch):
    assert fetch_encoder(worded).came
    asked = len(hub.requests)
    vectors = load_encoder(worded).encode_texts(TEXTS)
    assert len(np.unique(vectors.round(5), axis=0)) == 3  # it does read the words
    assert fetch_encoder(worded).came is False and len(hub.requests) == asked
    export_encoder(worded, tmp_path / "out")
    assert_same(worded, f"local-dir:{tmp_path}/out")
    without_network(monkeypatch, tmp_path)
    assert np.array_equal(load_encoder(f"local-dir:{tmp_path}/out").encode_texts(TEXTS), vectors)


def test_a_tokenizer_that_is_missing_is_brought_and_the_weights_are_not_fetched_again(worded, hub, tmp_path):
    fetch_encoder(worded)
    for path in (tmp_path / "home").glob("hub/models--words/snapshots/*/*"):
        path.unlink()
    sent = hub.sent[WEIGHTS]
    assert fetch_encoder(worded).came and hub.sent[WEIGHTS] == sent


def test_a_text_tower_that_only_the_hub_describes_is_not_exported(hub, tmp_path):
    text = {**MODEL["text_cfg"], "hf_model_name": "roberta-base", "hf_tokenizer_name": "roberta-base"}
    folder = save_model(tmp_path / "tower")
    told = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**told, "model_cfg": {**told["model_cfg"], "text_cfg": text}}))
    with pytest.raises(EncoderError, match="described only at the hub, by roberta-base"):
        export_encoder(str(folder), tmp_path / "out")
