"""Heads over the bundled encoder: zero ones change nothing, trained ones are an encoder of their own."""

import hashlib
import json
import re
import shutil

import numpy as np
import pytest
import torch
from forked import run
from PIL import Image
from safetensors.numpy import load_file, save
from tiny_clip import save_pairs
from transformers import AutoTokenizer, BertModel

import vsearch
from vsearch.embed import load_encoder
from vsearch.embed.heads import MiniHeads
from vsearch.embed.heads import apply as applied
from vsearch.embed.mini import Mini
from vsearch.embed.weights import MINILM_WEIGHTS, checked
from vsearch.errors import EncoderError, EncoderMismatch
from vsearch.train import TrainConfig, read_pairs, train
from vsearch.train.adapters import Adapter
from vsearch.train.heads import MiniTrainee

CPU = torch.device("cpu")
TEXTS = ["a red apple on a table", "dog", ""]


def quiet(*_):
    pass


def pixels(n: int = 3) -> np.ndarray:
    random = np.random.default_rng(5)
    coarse = [Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8)) for _ in range(n)]
    return np.stack([np.asarray(image.resize((260, 260))) for image in coarse])


def saved(folder, fill: float | None = None):
    trainee = MiniTrainee(TrainConfig(hidden=8), CPU, None, quiet, quiet)
    if fill is not None:
        torch.manual_seed(1)
        for head in (trainee.image, trainee.text):
            for parameter in head.parameters():
                torch.nn.init.normal_(parameter, std=fill)
    folder.mkdir()
    trainee.save(folder, {})
    return folder


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_numpy_computes_what_torch_trains(kind, gated):
    torch.manual_seed(0)
    head = Adapter(20, 6, kind, 12, dropout=0.5, gated=gated).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    if head.gate is not None:
        head.gate.least.fill_(0.3)
    x, base = torch.randn(7, 20), torch.randn(7, 6)
    weights = {f"text.{name}": tensor.numpy() for name, tensor in head.state_dict().items()}
    expected = head(base, x).detach().numpy() - base.numpy()
    np.testing.assert_allclose(applied(weights, "text", x.numpy()), expected, rtol=1e-4, atol=1e-4)


def test_before_the_first_step_it_is_mini_itself_and_the_fingerprint_changes_with_the_weights(tmp_path):
    mini, zero = Mini("cpu"), load_encoder(str(saved(tmp_path / "zero")))
    other = load_encoder(str(saved(tmp_path / "other", fill=0.05)))
    assert isinstance(zero, MiniHeads) and zero.info.name == f"local-dir:{tmp_path / 'zero'}"
    np.testing.assert_allclose(zero.encode_texts(TEXTS), mini.encode_texts(TEXTS), atol=1e-6)
    np.testing.assert_allclose(zero.encode_images(pixels()), mini.encode_images(pixels()), atol=1e-6)
    assert np.abs(other.encode_texts(TEXTS) - mini.encode_texts(TEXTS)).max() > 0.01
    assert len({mini.info.digest, zero.info.digest, other.info.digest}) == 3
    assert zero.info.dim == 384 and zero.preprocess == mini.preprocess
    again = MiniTrainee(TrainConfig(), CPU, None, quiet, quiet, other)
    assert again.digest == other.info.digest and again.image.state_dict()["0.weight"].shape == (8, 2520)


def test_training_goes_on_from_the_bundled_heads_and_their_gate():
    mini = load_encoder("mini")
    assert isinstance(mini, MiniHeads)
    trainee = MiniTrainee(TrainConfig(), CPU, None, quiet, quiet, mini)
    trainee.module.eval()
    inputs = torch.from_numpy(np.concatenate(mini.base.look(pixels()), axis=1))
    with torch.inference_mode():
        told = torch.nn.functional.normalize(trainee.encode_images(inputs)).numpy()
    np.testing.assert_allclose(told, mini.encode_images(pixels()), atol=1e-5)
    without = torch.nn.functional.normalize(trainee.image(inputs[:, -384:], inputs * 0)).detach().numpy()
    assert np.abs(told - without).max() > 0.01, "the heads add nothing"
    assert "image.gate.weight" in trainee.module.state_dict()


def test_trained_layers_of_the_text_tower_are_used_and_kept_by_further_training(tmp_path):
    """BERT of transformers with the same weights says what the tower says; training heads goes on over it."""
    folder, random = saved(tmp_path / "heads", fill=0.05), np.random.default_rng(2)
    stored = load_file(folder / "heads.safetensors")
    bert = BertModel.from_pretrained(checked(MINILM_WEIGHTS).parent).eval()
    tower = {}
    for name, weight in bert.encoder.layer[5].named_parameters():
        weight.data = (weight + 0.02 * torch.from_numpy(random.standard_normal(weight.shape))).half().float()
        tower[f"tower.encoder.layer.5.{name}"] = weight.detach().numpy().astype(np.float16)
    publish(folder, stored | tower)
    other = load_encoder(str(folder))
    tokens = AutoTokenizer.from_pretrained(checked(MINILM_WEIGHTS).parent)(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        told = bert(**tokens).last_hidden_state * tokens["attention_mask"][..., None]
    expected = torch.nn.functional.normalize(told.sum(dim=1), dim=1).numpy()
    np.testing.assert_allclose(other.read(TEXTS)[1], expected, atol=1e-5)
    assert np.abs(Mini("cpu").read(TEXTS)[1] - expected).max() > 0.02
    trainee = MiniTrainee(TrainConfig(), CPU, None, quiet, quiet, other)
    (tmp_path / "again").mkdir()
    trainee.save(tmp_path / "again", {})
    again = load_encoder(str(tmp_path / "again"))
    np.testing.assert_allclose(again.encode_texts(TEXTS), other.encode_texts(TEXTS), atol=1e-6)
    publish(folder, stored | {"tower.encoder.layer.9.output.dense.bias": np.zeros(384, dtype=np.float16)})
    with pytest.raises(EncoderError, match=r"no weights encoder\.layer\.9\.output\.dense\.bias"):
        load_encoder(str(folder)).encode_texts(TEXTS)


def publish(folder, weights) -> None:
    raw = save(weights)
    (folder / "heads.safetensors").write_bytes(raw)
    told = json.loads((folder / "vsearch_heads.json").read_text())
    (folder / "vsearch_heads.json").write_text(json.dumps({**told, "weights": hashlib.sha256(raw).hexdigest()}))


def test_damaged_heads_and_heads_over_other_towers_are_refused(tmp_path):
    folder = saved(tmp_path / "heads", fill=0.05)
    raw = bytearray((folder / "heads.safetensors").read_bytes())
    raw[-1] ^= 1
    (folder / "heads.safetensors").write_bytes(raw)
    with pytest.raises(EncoderError, match="damaged or of another training run"):
        load_encoder(str(folder)).encode_texts(["a"])
    told = json.loads((folder / "vsearch_heads.json").read_text())
    (folder / "vsearch_heads.json").write_text(json.dumps({**told, "base": "0" * 64}))
    with pytest.raises(EncoderMismatch, match="trained over another encoder mini"):
        load_encoder(str(folder)).info  # noqa: B018
    (folder / "vsearch_heads.json").write_text(json.dumps({**told, "format": 1}))
    with pytest.raises(EncoderError, match="written by an older vsearch .*vsearch train PAIRS --encoder mini"):
        load_encoder(str(folder)).info  # noqa: B018
    (folder / "vsearch_heads.json").write_text("{}")
    with pytest.raises(EncoderError, match="cannot be read as a trained encoder"):
        load_encoder(str(folder)).info  # noqa: B018


def test_heads_learn_eight_pairs_and_the_folder_is_searched_with(tmp_path):
    pairs = read_pairs(save_pairs(tmp_path / "pairs", 8))
    config = TrainConfig(epochs=40, batch=8, hidden=64, dropout=0, weight_decay=0, patience=0, evaluate_every=20)
    report = train(pairs, tmp_path / "run", encoder="mini:untrained", validation=pairs, config=config)
    assert report.after["image_retrieval_recall@1"] == 1.0
    encoder = load_encoder(str(report.encoder))
    texts = encoder.encode_texts(pairs.texts)
    from vsearch.decode import DecodePool, Job

    with DecodePool(encoder.preprocess) as pool:
        shown = np.stack([d.pixels for d in pool.map(Job(item.path) for item in pairs.items)])
    assert (np.argmax(texts @ encoder.encode_images(shown).T, axis=1) == np.arange(8)).all()


def test_an_index_of_other_heads_is_refused_with_the_command_that_embeds_it_anew(tmp_path):
    heads, place, photos = saved(tmp_path / "heads", fill=0.05), tmp_path / "x.vsearch", tmp_path / "photos"
    photos.mkdir()
    for number, picture in enumerate(pixels()):
        Image.fromarray(picture).save(photos / f"{number}.png")
    with vsearch.create(place, encoder=str(heads)) as index:
        index.add(vsearch.folder(photos))
    shutil.copytree(saved(tmp_path / "others", fill=0.2), heads, dirs_exist_ok=True)
    with vsearch.open(place) as index, pytest.raises(EncoderMismatch) as told:
        index.search("dog")
    (command,) = re.findall(r"`vsearch (index [^`]*)`", str(told.value))
    code, _, err = run(*command.split(), "--index", place.name, cwd=tmp_path)
    assert code == 0, err
    encoder = load_encoder(str(heads))
    scores = encoder.encode_texts(["dog"]) @ encoder.encode_images(pixels()).T
    with vsearch.open(place) as index:
        hits = index.search("dog", k=3)
    assert [hit.path.stem for hit in hits] == [str(n) for n in np.argsort(-scores[0])]
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores[0])[::-1], atol=2e-3)
