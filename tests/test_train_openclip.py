"""Training models of open_clip: what comes out, what of it was trained, and that it learns."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_clip import MODEL, open_clip, save_pairs, save_tiny

from vsearch.embed import load_encoder
from vsearch.errors import TrainError
from vsearch.train import TrainConfig, read_pairs, train

QUICK = {"epochs": 1, "batch": 4, "augment": False, "patience": 0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return read_pairs(save_pairs(tmp_path_factory.mktemp("pairs"), 8))


def weights(folder) -> dict[str, torch.Tensor]:
    return load_file(folder / "open_clip_model.safetensors")


def changed(model, out) -> set[str]:
    """Names of the weights that the last checkpoint has otherwise than the model."""
    before = weights(model)
    after = load_file(max((out / "checkpoints").iterdir()) / "weights.safetensors")
    return {name for name in after if not torch.equal(before[name], after[name])}


def test_eight_pairs_are_learnt_by_heart(model, pairs, tmp_path):
    config = TrainConfig(epochs=60, batch=8, lr_towers=2e-3, augment=False, evaluate_every=30, wise=False)
    report = train(pairs, tmp_path, encoder=str(model), validation=pairs, config=config)
    assert report.before["image_retrieval_recall@1"] < 0.6
    assert report.after["image_retrieval_recall@1"] == 1.0 == report.after["text_retrieval_recall@1"]


def test_the_result_is_an_encoder_here_and_a_model_for_open_clip(model, pairs, tmp_path):
    config = TrainConfig(epochs=12, batch=8, lr_towers=2e-3, augment=False, wise=False)
    train(pairs, tmp_path, encoder=str(model), validation=pairs, config=config)
    best = tmp_path / "best"
    network, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{best}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{best}")
    random = np.random.default_rng(1)
    pictures = [Image.fromarray(random.integers(0, 256, (30, 20, 3), dtype=np.uint8)) for _ in range(3)]
    texts = ["red left of green", "a dog"]
    with torch.inference_mode():
        theirs = network.eval().encode_image(torch.stack([preprocess(p) for p in pictures]), normalize=True).numpy()
        of_texts = network.encode_text(tokenizer(texts), normalize=True).numpy()
    encoder = load_encoder(str(best))
    squashed = np.stack([np.asarray(p.resize((16, 16), Image.Resampling.BICUBIC)) for p in pictures])
    assert (np.sum(encoder.encode_images(squashed) * theirs, axis=1) > 0.999).all()
    np.testing.assert_allclose(encoder.encode_texts(texts), of_texts, atol=1e-5)
    assert encoder.info.digest != load_encoder(str(model)).info.digest
    told = json.loads((best / "open_clip_config.json").read_text())
    assert told["model_cfg"] == MODEL and told["training"]["config"]["epochs"] == 12


@pytest.mark.parametrize(
    ("what", "present", "absent"),
    [
        ("whole", ["visual.conv1.weight", "token_embedding.weight", "visual.proj", "text_projection"], []),
        ("image", ["visual.conv1.weight", "visual.proj"], ["token_embedding.weight", "text_projection"]),
        ("text", ["token_embedding.weight", "text_projection"], ["visual.conv1.weight", "visual.proj"]),
        ("heads", ["visual.proj", "text_projection"], ["visual.ln_post.weight", "ln_final.weight"]),
        (
            "last:1",
            [
                "visual.transformer.resblocks.1.mlp.c_fc.weight",
                "transformer.resblocks.1.mlp.c_fc.weight",
                "visual.proj",
            ],
            ["visual.transformer.resblocks.0.mlp.c_fc.weight", "transformer.resblocks.0.mlp.c_fc.weight"],
        ),
    ],
)
def test_only_what_was_asked_for_is_trained(model, pairs, tmp_path, what, present, absent):
    config = TrainConfig(**QUICK, what=what, lr_towers=1e-3, wise=False)
    train(pairs, tmp_path, encoder=str(model), validation=pairs, config=config)
    names = changed(model, tmp_path)
    assert set(present) <= names and not names & set(absent) and "logit_scale" in names


def test_lora_trains_little_and_is_merged_into_weights_of_the_usual_names(model, pairs, tmp_path):
    pytest.importorskip("peft")
    config = TrainConfig(epochs=20, batch=8, what="lora", lr_heads=3e-2, patience=0, wise=False, augment=False)
    report = train(pairs, tmp_path, encoder=str(model), validation=pairs, config=config)
    assert report.after["mean_recall"] > report.before["mean_recall"]
    before, after = weights(model), weights(tmp_path / "best")
    names = {name for name in before if not torch.equal(before[name], after[name])}
    assert "visual.transformer.resblocks.0.mlp.c_fc.weight" in names and "visual.proj" not in names
    update = (
        after["transformer.resblocks.0.mlp.c_fc.weight"] - before["transformer.resblocks.0.mlp.c_fc.weight"]
    ).double()
    assert torch.linalg.matrix_rank(update, rtol=1e-4) <= 16
    encoder = load_encoder(str(tmp_path / "best"))
    assert np.isfinite(encoder.encode_texts(["red left of green"])).all()


@pytest.mark.parametrize("what", ["heads", "text", "image"])
def test_features_of_frozen_towers_give_the_loss_of_the_whole_model(model, pairs, tmp_path, what):
    """The first loss, before any step, is that of the model as it is, however much of it runs."""
    losses = {}
    for kind in (what, "whole"):
        seen = []
        train(
            pairs,
            tmp_path / kind,
            encoder=str(model),
            validation=pairs,
            config=TrainConfig(**QUICK, what=kind),
            on_moment=lambda now, seen=seen: seen.append(now.loss),
        )
        losses[kind] = seen[0]
    assert losses[what] == pytest.approx(losses["whole"], abs=1e-5)


def test_siglip_gives_a_clip_model_a_bias_that_open_clip_loads(model, pairs, tmp_path):
    train(pairs, tmp_path, encoder=str(model), validation=pairs, config=TrainConfig(**QUICK, loss="siglip", wise=False))
    network = open_clip.create_model(f"local-dir:{tmp_path / 'best'}")
    assert network.logit_bias is not None and float(network.logit_bias.detach()) != 0


def test_what_has_no_weights_cannot_be_trained(pairs, tmp_path):
    for name in ("toy", "external:clip:4"):
        with pytest.raises(TrainError, match="no weights"):
            train(pairs, tmp_path, encoder=name)
    with pytest.raises(TrainError, match="frozen"):
        train(pairs, tmp_path, encoder="mini", config=TrainConfig(what="whole"))
