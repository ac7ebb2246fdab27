"""Patches and tokens of every family of CLIP, for re-rankers: what the towers of open_clip pool, before they do."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_families import FAMILIES, drawn, network_of, normalised, whole

from tests.small_clip import MODEL, save_model
from vsearch.embed import load_encoder
from vsearch.embed.clip import unpooled
from vsearch.embed.openclip_patches import OpenClipPatches
from vsearch.embed.patches import load_patches
from vsearch.errors import EncoderError

pytestmark = pytest.mark.usefixtures("float32")

TEXTS = ["a dog", "two cats on a mat", "", "red! and blue!/", "word " * 40]


def pooled(network, family, patches):
    """What the head of open_clip's picture tower makes of its patches, where that needs nothing else; else None."""
    visual, rows = network.visual, torch.from_numpy(patches)
    if family == "RN50":
        side = int(patches.shape[1] ** 0.5)
        return visual.attnpool(rows.transpose(1, 2).reshape(len(rows), -1, side, side))
    if family in ("SigLIP", "another tower of timm"):
        return visual.head(visual.trunk.attn_pool(rows))
    if family == "ConvNeXt":
        mean = visual.trunk.head.norm(rows.transpose(1, 2)[..., None].mean((2, 3), keepdim=True))
        return visual.head(mean.flatten(1))
    return None


def by_hook(network, pixels):
    """The patches that the last block of open_clip's own vision transformer gives, after the last norm."""
    seen = []
    network.visual.transformer.register_forward_hook(lambda *told: seen.append(told[2]))
    network.encode_image(normalised(pixels))
    return network.visual.ln_post(seen[0][:, 1:])


@pytest.mark.parametrize("family", FAMILIES)
def test_patches_are_what_the_picture_tower_pools(family, clip_models):
    towers = load_patches(str(clip_models[family]))
    pixels = drawn(towers.preprocess.size, 3)
    patches = towers.encode_patches(pixels)
    network, _ = whole(clip_models[family])
    with torch.inference_mode():
        vectors = network.encode_image(normalised(pixels)).numpy()
        found = pooled(network, family, patches)
        if found is None:
            np.testing.assert_allclose(patches, by_hook(network, pixels).numpy(), atol=2e-4)
        else:
            np.testing.assert_allclose(found.numpy(), vectors, atol=2e-4)


def ends(network, tokens, lengths):
    """Vectors of texts from the tokens at their ends, by open_clip's projection."""
    rows = torch.from_numpy(tokens[np.arange(len(tokens)), lengths.numpy() - 1])
    return rows @ network.text_projection


@pytest.mark.parametrize("family", ["CLIP", "CLIP of OpenAI", "RN50", "ConvNeXt"])
def test_the_last_token_of_a_text_becomes_its_vector(family, clip_models):
    towers = load_patches(str(clip_models[family]))
    tokens, there = towers.encode_tokens(TEXTS)
    network, tokenizer = whole(clip_models[family])
    ids = tokenizer(TEXTS)
    lengths = (ids == 49407).int().argmax(dim=1) + 1  # the end mark
    assert there.sum(axis=1).tolist() == lengths.tolist() and tokens.shape[:2] == there.shape == (5, 16)
    assert (there == (np.arange(16) < lengths.numpy()[:, None])).all() and not tokens[~there].any()
    with torch.inference_mode():
        np.testing.assert_allclose(ends(network, tokens, lengths).numpy(), network.encode_text(ids).numpy(), atol=2e-4)


@pytest.mark.parametrize("family", ["SigLIP", "another tower of timm"])
def test_tokens_of_a_tower_without_a_mask_are_those_of_open_clip(family, clip_models):
    tokens, there = load_patches(str(clip_models[family])).encode_tokens(TEXTS)
    network, tokenizer = whole(clip_models[family])
    seen = []
    network.text.ln_final.register_forward_hook(lambda *told: seen.append(told[2]))
    with torch.inference_mode():
        ids = tokenizer(TEXTS)
        network.encode_text(ids)
    lengths = (ids != 0).sum(dim=1).tolist()
    assert there.sum(axis=1).tolist() == lengths and tokens.shape[1] == max(lengths)
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(tokens[row, :length], seen[0][row, :length].numpy(), atol=2e-4)


def test_tokens_of_transformers_are_its_last_layer(clip_models):
    tokens, there = load_patches(str(clip_models["XLM-RoBERTa"])).encode_tokens(TEXTS)
    network, tokenizer = whole(clip_models["XLM-RoBERTa"])
    with torch.inference_mode():
        ids = tokenizer(TEXTS)
        hidden = torch.from_numpy(tokens)
        # the mean of what is there, through the projection, is the vector
        mean = hidden.sum(dim=1) / torch.from_numpy(there).sum(dim=1, keepdim=True)
        np.testing.assert_allclose(network.text.proj(mean).numpy(), network.encode_text(ids).numpy(), atol=2e-4)


def test_an_empty_text_of_padding_alone_has_one_token(clip_models):
    _, there = load_patches(str(clip_models["SigLIP"])).encode_tokens([""])
    assert there.tolist() == [[True]]


def test_no_texts_have_no_tokens(clip_models):
    for family in FAMILIES:
        tokens, there = load_patches(str(clip_models[family])).encode_tokens([])
        assert len(tokens) == len(there) == 0


def test_tokens_that_are_padded_on_the_left_are_moved_to_the_front():
    from vsearch.embed.openclip_patches import _packed

    rows = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    there = np.array([[False, True, True], [False, False, True]])
    moved, flags = _packed(rows, there)
    assert flags.tolist() == [[True, True], [True, False]]
    assert moved.tolist() == [[[2, 3], [4, 5]], [[10, 11], [0, 0]]]


IMPORTS = """
import sys, numpy
from vsearch.embed.patches import load_patches
towers = load_patches("local-dir:" + sys.argv[1])
towers.encode_tokens(["a red apple"])
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "open_clip", "transformers", "timm"}))
size = towers.preprocess.size
towers.encode_patches(numpy.zeros((1, size, size, 3), numpy.uint8))
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"open_clip", "transformers", "timm"}))
"""


@pytest.mark.parametrize("family", ["CLIP", "RN50", "SigLIP"])
def test_plain_towers_give_them_without_open_clip(family, clip_models):
    load_patches(str(clip_models[family])).encode_tokens(["a dog"])  # compares the ways to read its tokenizer, once
    words = [sys.executable, "-c", IMPORTS, str(clip_models[family])]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "\n\n"


def test_both_ways_give_the_same(clip_models):
    for family in ("CLIP", "RN50", "SigLIP"):
        towers = load_patches(str(clip_models[family]))
        pixels = drawn(towers.preprocess.size, 2)
        network, tokenizer = whole(clip_models[family])
        with torch.inference_mode():
            patches = unpooled.patches(network.visual, normalised(pixels)).numpy()
            ids = tokenizer(TEXTS)
            tokens, there = unpooled.tokens(network, ids).numpy(), unpooled.present(tokenizer, ids).numpy()
        np.testing.assert_allclose(towers.encode_patches(pixels), patches, atol=2e-4)
        own, flags = towers.encode_tokens(TEXTS)
        assert flags.sum(axis=1).tolist() == np.maximum(there.sum(axis=1), 1).tolist()
        for row, count in enumerate(there.sum(axis=1)):
            np.testing.assert_allclose(own[row, :count], tokens[row, :count], atol=2e-4)


def test_a_tower_with_attention_at_the_end_gives_patches_of_its_own_width(tmp_path):
    """As CoCa's have it: the last norm is of what the attention gives, not of patches."""
    vision = {**MODEL["vision_cfg"], "attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2}
    folder = save_model(tmp_path / "model", vision_cfg=vision)
    pixels = drawn(32, 2)
    assert OpenClipPatches(f"local-dir:{folder}").encode_patches(pixels).shape == (2, 16, 64)


def test_a_tower_without_patches_is_an_error_that_says_what_to_use(clip_models):
    network = network_of(clip_models["ConvNeXt"])
    network.visual.forward_intermediates = None
    with pytest.raises(EncoderError, match=r"no patches of this model's picture tower .*--encoder mini"):
        unpooled.patches(network.visual, normalised(drawn(64, 1)))
    network.forward_intermediates = None
    with pytest.raises(EncoderError, match="no tokens of this model's text tower"):
        unpooled.tokens(network, torch.ones(1, 16, dtype=torch.long))


COLUMNS = {"`mini`": None, "`ViT-*`": "CLIP", "`RN50` and larger": "RN50", "SigLIP, SigLIP 2": "SigLIP"} | {
    "ConvNeXt and others of timm": "ConvNeXt",
    "texts by transformers": "XLM-RoBERTa",
}


def test_the_table_in_the_docs_says_in_what_the_towers_run(clip_models):
    lines = (Path(__file__).parents[1] / "docs" / "encoders.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    (names,) = (row[1:] for row in rows if row[-1] == "texts by transformers")
    assert names == list(COLUMNS)
    told = {row[0].partition(" ")[0]: row[1:] for row in rows if row[0].endswith(" run in")}
    for at, family in enumerate(COLUMNS.values()):
        if family is not None:
            ways = load_encoder(str(clip_models[family])).ways
            assert {kind: cells[at] for kind, cells in told.items()} == {
                kind: way.partition(",")[0] for kind, way in ways.items()
            }


def test_siglip_2_has_the_towers_of_siglip():
    """But for tokenizer, vocabulary, length and the form of GELU: what is tested of one holds for both."""
    import open_clip

    free = {"vocab_size", "hf_tokenizer_name", "tokenizer_kwargs", "context_length", "act_kwargs"}
    listed = open_clip.list_models()
    both = [(name.replace("SigLIP2", "SigLIP"), name) for name in listed if "SigLIP2" in name]
    both = [[open_clip.get_model_config(name) for name in two] for two in both if two[0] in listed]
    assert len(both) > 5
    for one, two in both:
        assert one["vision_cfg"] == two["vision_cfg"] and one["custom_text"] and two["custom_text"]
        texts = [{key: value for key, value in of["text_cfg"].items() if key not in free} for of in (one, two)]
        assert texts[0] == texts[1]
