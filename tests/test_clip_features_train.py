"""Training of every family of CLIP: what of it learns, and that what is saved is what was measured."""

import os

import numpy as np
import pytest
import torch
from clip_families import FAMILIES, network_of
from clip_truth import KINDS, Truth
from safetensors.torch import load_file
from tiny_clip import MODEL, save_pairs

from vsearch.embed import load_encoder
from vsearch.errors import TrainError
from vsearch.train import TrainConfig, read_pairs, train
from vsearch.train.towers import unlock

pytestmark = pytest.mark.usefixtures("float32")

OTHERS = KINDS[1:]  # the first is in test_train_openclip.py
# the parts of each tower that come after its blocks, then its last block
PICTURE_HEADS = {
    "CLIP": "visual.proj",
    "RN50": "visual.attnpool.",
    "SigLIP": "visual.trunk.attn_pool.",
    "ConvNeXt": "visual.trunk.head.norm. visual.head.proj.",
    "XLM-RoBERTa": "visual.proj",
}
TEXT_HEADS = {"SigLIP": "text.text_projection.", "XLM-RoBERTa": "text.proj."}
PICTURE_BLOCKS = {
    "CLIP": "visual.transformer.resblocks.1. visual.ln_post.",
    "RN50": "visual.layer4.0.",
    "SigLIP": "visual.trunk.blocks.1. visual.trunk.norm.",
    "ConvNeXt": "visual.trunk.stages.3.blocks.1.",
    "XLM-RoBERTa": "visual.transformer.resblocks.1. visual.ln_post.",
}
TEXT_BLOCKS = {
    "SigLIP": "text.transformer.resblocks.1. text.ln_final.",
    "XLM-RoBERTa": "text.transformer.encoder.layer.1.",
}


def heads(family):
    return f"{PICTURE_HEADS[family]} {TEXT_HEADS.get(family, 'text_projection')} logit_scale".split()


def blocks(family):
    return f"{PICTURE_BLOCKS[family]} {TEXT_BLOCKS.get(family, 'transformer.resblocks.1. ln_final.')}".split()


def learning(network) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


def under(network, prefixes) -> set[str]:
    return {name for name, _ in network.named_parameters() if name.startswith(tuple(prefixes))}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return read_pairs(save_pairs(tmp_path_factory.mktemp("pairs"), 6))


@pytest.mark.parametrize("family", KINDS)
def test_what_learns_is_what_was_asked_for(family, clip_models):
    network = network_of(clip_models[family])
    every = {name for name, _ in network.named_parameters()}
    pictures = under(network, ["visual."])
    scales = under(network, ["logit_"])
    wanted = {
        "whole": every,
        "image": pictures | {"logit_scale"},
        "text": every - pictures - (scales - {"logit_scale"}),
        "heads": under(network, heads(family)),
        "last:1": under(network, heads(family) + blocks(family)),
    }
    for what, names in wanted.items():
        unlock(network, what, 4)
        assert learning(network) - {"logit_bias"} == names - {"logit_bias"}, what  # the loss decides on the bias


@pytest.mark.parametrize("family", FAMILIES)
def test_each_block_more_is_more_that_learns(family, clip_models):
    network = network_of(clip_models[family])
    unlock(network, "last:1", 4)
    fewer = learning(network)
    unlock(network, "last:2", 4)
    more = learning(network)
    unlock(network, "last:99", 4)
    assert fewer < more <= learning(network)


@pytest.mark.parametrize("family", KINDS)
def test_lora_reaches_every_block_of_both_towers(family, clip_models):
    pytest.importorskip("peft")
    network = network_of(clip_models[family])
    layer = {"RN50": (torch.nn.Conv2d, ".layer")}.get(family, (torch.nn.Linear, "blocks."))
    picture = {
        name
        for name, module in network.visual.named_modules()
        if type(module) is layer[0] and layer[1] in f".{name}" and not name.startswith("attnpool")
    }
    inside = network.text if hasattr(network, "text") else network.transformer
    text = {
        name
        for name, module in inside.named_modules()
        if type(module) is torch.nn.Linear and ("resblocks." in name or "layer." in name)
    }
    unlock(network, "lora", 4)
    reached = {name.partition(".lora_")[0] for name in learning(network) if ".lora_" in name}
    assert {name.removeprefix("visual.") for name in reached if name.startswith("visual.")} == picture
    assert len(reached) == len(picture) + len(text) and text
    assert {name for name in learning(network) if ".lora_" not in name} <= {"logit_scale", "logit_bias"}


def test_lora_of_a_tower_without_blocks_is_an_error_that_says_what_to_use(clip_models):
    pytest.importorskip("peft")
    network = network_of(clip_models["CLIP"])
    network.visual = torch.nn.Linear(2, 2)
    with pytest.raises(TrainError, match="picture tower of this model has no blocks for lora; use --train whole"):
        unlock(network, "lora", 4)


def test_a_tower_that_open_clip_cannot_lock_in_part_is_an_error_that_says_what_to_use():
    import open_clip

    told = {**MODEL, "multimodal_cfg": {**MODEL["text_cfg"], "layers": 1}}
    network = open_clip.CoCa(**told)
    for what in ("heads", "last:1"):
        with pytest.raises(TrainError, match=f"cannot be trained in parts as '{what}' wants .*; use --train whole"):
            unlock(network, what, 4)


def truth_of(folder, pairs) -> tuple[Truth, np.ndarray]:
    """What open_clip says of a folder, and its vectors of the captions."""
    truth = Truth(folder, [os.fsdecode(item.path) for item in pairs.items])
    return truth, truth.texts(pairs.texts)


def recalls(folder, pairs) -> tuple[float, float]:
    """Recall@1 of captions, and of pictures with their one caption each."""
    truth, xt = truth_of(folder, pairs)
    scores = xt @ truth.xi.T
    own = np.diag(scores)[:, None]
    return tuple(float((((by >= own - 1e-6).sum(axis=1)) == 1).mean()) for by in (scores, scores.T))


@pytest.mark.parametrize(
    ("family", "what"),
    [
        *((family, "lora") for family in OTHERS),
        *((family, "heads") for family in OTHERS),
        ("RN50", "last:1"),
        ("SigLIP", "whole"),
        ("ConvNeXt", "text"),
        ("XLM-RoBERTa", "image"),
    ],
)
def test_what_is_saved_is_what_was_measured(family, what, clip_models, pairs, tmp_path):
    """The validation figures are those of the folder that is written, which open_clip itself loads."""
    if what == "lora":
        pytest.importorskip("peft")
    config = TrainConfig(
        epochs=4, batch=6, what=what, lr_heads=1e-2, lr_towers=1e-3, weight_decay=0.5, augment=False, wise=False
    )
    report = train(pairs, tmp_path, encoder=str(clip_models[family]), validation=pairs, config=config)
    found = report.after["image_retrieval_recall@1"], report.after["text_retrieval_recall@1"]
    assert found == pytest.approx(recalls(report.encoder, pairs))
    last = load_file(max((tmp_path / "checkpoints").iterdir()) / "weights.safetensors")
    assert last, "nothing was trained"
    told = load_encoder(str(report.encoder)).encode_texts(list(pairs.texts))
    np.testing.assert_allclose(told, truth_of(report.encoder, pairs)[1], atol=1e-5)
    if what in ("text", "image"):  # the other tower is as it was, projections included
        before, after = (
            load_file(folder / "open_clip_model.safetensors") for folder in (clip_models[family], report.encoder)
        )
        still = {name for name in before if name.startswith("visual.") == (what == "text") and "logit" not in name}
        assert all(torch.equal(before[name], after[name]) for name in still)


def test_a_model_with_a_bias_keeps_it_for_its_own_loss(clip_models, pairs, tmp_path):
    config = TrainConfig(epochs=1, batch=6, what="whole", loss="siglip", augment=False, wise=False)
    moments = []
    train(
        pairs,
        tmp_path,
        encoder=str(clip_models["SigLIP"]),
        validation=pairs,
        config=config,
        on_moment=moments.append,
    )
    truth, xt = truth_of(clip_models["SigLIP"], pairs)
    logits = xt @ truth.xi.T * truth.scale + float(truth.network.logit_bias.detach())
    sign = 2 * np.eye(len(xt)) - 1
    loss = np.log1p(np.exp(-sign * logits.astype(float))).sum() / len(xt)  # Zhai et al. 2023, algorithm 1
    assert moments[0].loss == pytest.approx(loss, rel=1e-4)
