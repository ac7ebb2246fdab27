"""The re-ranker: what it can learn that a joint embedding cannot, how it is kept, what it does to results."""

import json
from itertools import permutations, product

import numpy as np
import pytest
import torch
from forked import run
from PIL import Image

from vsearch.embed import colours
from vsearch.embed.patches import MiniPatches
from vsearch.errors import EncoderError, EncoderUnavailable, QueryError
from vsearch.rerank import MatchTraining, Reranker, load_matcher, save_matcher
from vsearch.rerank.model import Look, Matcher, MatcherConfig
from vsearch.rerank.tokens import Tokens, narrow
from vsearch.rerank.train import Examples, _loss, hard_captions, train
from vsearch.types import Hit

COLOURS, THINGS = 5, 5
WORDS = COLOURS + THINGS
EPOCHS = 12
PAIR = np.eye(WORDS, dtype=np.float32)


def world():
    """Every picture of two different things in two colours, each in a patch of its own, and a caption of two tokens.

    A token says which colour and which thing, as those of a language model do.  The means over patches and over tokens
    are those of (green a, red b) and (red a, green b) alike, so that no joint embedding of means can tell them apart.
    """
    patches, tokens = [], []
    for (a, b), (x, y) in product(permutations(range(THINGS), 2), permutations(range(COLOURS), 2)):
        picture = np.zeros((4, WORDS), np.float32)
        picture[(a + y) % 2], picture[2 + (b + x) % 2] = PAIR[[x, COLOURS + a]].sum(0), PAIR[[y, COLOURS + b]].sum(0)
        patches.append(picture)
        tokens.append(picture[picture.any(axis=1)])
    return np.stack(patches), np.stack(tokens)


def swapped(tokens):
    """The colours in each other's place."""
    out = tokens.copy()
    out[:, :, :COLOURS] = tokens[:, ::-1, :COLOURS]
    return out


def examples(patches, tokens):
    there = np.ones(tokens.shape[:2], bool)
    vectors = tokens.sum(axis=1)
    vectors += 1e-2 * tokens.reshape(len(tokens), -1) @ np.random.default_rng(0).normal(size=(2 * WORDS, WORDS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    owner = np.arange(len(patches))
    return Examples(narrow(patches), tokens.astype(np.float16), there, owner, vectors.astype(np.float32))


def matcher(seed=0, **more):
    torch.manual_seed(seed)
    return Matcher(MatcherConfig("none", 4, WORDS, WORDS, **{"width": 32, **more}))


def scores(model, patches, tokens):
    there = np.ones(tokens.shape[:2], bool)
    with torch.inference_mode():
        return model(*map(torch.from_numpy, (patches, tokens, there))).numpy()


def test_swapped_words_are_told_apart_on_pictures_that_were_not_trained_on():
    patches, tokens = world()
    held = np.arange(len(patches)) % 6 == 0
    model = matcher()
    losses = []
    seen = examples(patches[~held], tokens[~held])
    train(model, seen, MatchTraining(epochs=EPOCHS, batch=32, lr=3e-3, nearest=4), lambda _, loss: losses.append(loss))
    assert len(losses) == EPOCHS and losses[-1] < 0.5 * losses[0]
    right = scores(model, patches[held], tokens[held])
    wrong = scores(model, patches[held], swapped(tokens[held]))
    assert (right > wrong).mean() >= 0.9


def test_a_token_takes_the_mean_of_the_patches_that_are_near_it_by_cosine():
    torch.manual_seed(3)
    look, heads, rows = Look(8, 2).double(), 2, (1, 0, 1)
    tokens, patches = (torch.randn(*shape, dtype=torch.float64) for shape in ((3, 4, 8), (2, 5, 8)))
    with torch.no_grad():
        look.sharpness.copy_(torch.tensor([0.5, 2.0])[:, None, None])
        found, cosines = look(tokens, patches, torch.tensor(rows))
        asked, keys, values = look.ask(tokens).numpy(), look.key(patches).numpy(), look.value(patches).numpy()
    for text, token, head in product(range(3), range(4), range(heads)):
        part = slice(4 * head, 4 * head + 4)
        q, k, v = asked[text, token, part], keys[rows[text], :, part], values[rows[text], :, part]
        near = k @ q / np.linalg.norm(q) / np.linalg.norm(k, axis=1)
        weights = np.exp(near * np.exp([0.5, 2.0][head]))
        weights /= weights.sum()
        np.testing.assert_allclose(found[text, token, part], weights @ v, atol=1e-6)
        np.testing.assert_allclose(cosines[text, token, head], weights @ near, atol=1e-6)


def test_the_loss_is_half_of_true_and_half_of_false_captions_and_a_margin():
    patches, tokens = world()
    seen, model = examples(patches, tokens), matcher().eval()
    captions, false = np.array([4, 11]), np.array([[40, 80, 11], [70, 11, 4]])  # 11 is the second picture's own
    with torch.no_grad():
        told = float(_loss(model, seen, captions, false, apart=0.3))
    total = 0.0
    stored = seen.tokens.astype(np.float32)
    for picture, others in zip(captions, false, strict=True):
        asked = [picture, *others]
        of = scores(model, np.repeat(seen.patches[picture : picture + 1].widen(), 4, axis=0), stored[asked])
        for weight, score, caption in zip((0.5, 0.25, 0.125, 0.125), of, asked, strict=True):
            total += weight * np.log1p(np.exp(-score if caption == picture else score))
        total += 0.3 * np.log1p(np.exp(of[1] - of[0]))
    assert told == pytest.approx(total / 2, abs=1e-5)


def test_few_captions_are_shown_more_often():
    assert [MatchTraining().passes(n) for n in (100, 10_000, 1_000_000)] == [400, 4, 2]
    assert MatchTraining(epochs=3).passes(100) == 3


def test_training_is_the_same_for_a_seed():
    patches, tokens = world()
    told = []
    for _ in range(2):
        model = matcher()
        train(model, examples(patches, tokens), MatchTraining(epochs=1, seed=5, nearest=4))
        told.append(scores(model, patches, tokens))
    np.testing.assert_array_equal(*told)


def test_a_text_is_scored_the_same_alone_padded_and_among_others():
    patches, tokens = world()
    model = matcher().eval()
    alone = scores(model, patches[:1], tokens[:1])
    padded = np.concatenate([tokens[:3], np.full((3, 2, WORDS), 7, np.float32)], axis=1)
    there = np.array([[True, True, False, False]] * 3)
    with torch.inference_mode():
        among = model(*map(torch.from_numpy, (patches[:3], padded, there))).numpy()
        shared = model(
            torch.from_numpy(patches[:2]),
            *map(torch.from_numpy, (padded, there, np.array([1, 0, 1]))),
        ).numpy()
    np.testing.assert_allclose(among[0], alone[0], atol=1e-5)
    np.testing.assert_allclose(shared[1], scores(model, patches[:1], tokens[1:2])[0], atol=1e-5)


def test_hard_captions_are_the_nearest_of_other_pictures():
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(60, 8)).astype(np.float32)
    vectors[7] = vectors[3]  # the same sentence of another picture
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    owner = np.arange(60) // 2
    found = hard_captions(vectors, owner, 5)
    stored = vectors.astype(np.float16).astype(np.float32)
    for row in range(60):
        near = np.argsort(-(stored @ vectors[row]), kind="stable")
        allowed = [n for n in near if owner[n] != owner[row] and {row, n} != {3, 7}]
        assert found[row].tolist() == allowed[:5]
    with pytest.raises(QueryError, match="too few"):
        hard_captions(vectors[:10], owner[:10], 5)


def test_int8_tokens_keep_each_number_to_a_254th_of_the_largest():
    tokens = np.random.default_rng(0).normal(size=(5, 9, 30)).astype(np.float32)
    tokens[2, 4] = 0
    kept = narrow(tokens)
    assert kept.codes.dtype == np.int8 and len(kept) == 5 and len(kept[np.array([1, 3])]) == 2
    error = np.abs(kept.widen() - tokens).max(axis=2)
    assert (error <= np.abs(tokens).max(axis=2) / 253).all()


def test_a_matcher_comes_back_as_it_was_saved(tmp_path):
    patches, tokens = world()
    model = matcher()
    train(model, examples(patches, tokens), MatchTraining(epochs=1, nearest=4))
    save_matcher(model, tmp_path / "m")
    again = load_matcher(tmp_path / "m")
    assert again.config == model.config
    np.testing.assert_array_equal(scores(again, patches, tokens), scores(model, patches, tokens))
    save_matcher(model, tmp_path / "m")  # over itself
    with pytest.raises(EncoderUnavailable, match="train-reranker"):
        load_matcher(tmp_path)
    raw = (tmp_path / "m" / "matcher.safetensors").read_bytes()
    (tmp_path / "m" / "matcher.safetensors").write_bytes(raw[:-100])
    with pytest.raises(EncoderError, match="damaged"):
        load_matcher(tmp_path / "m")
    told = json.loads((tmp_path / "m" / "matcher.json").read_text())
    (tmp_path / "m" / "matcher.json").write_text(json.dumps({**told, "format": 3}))
    with pytest.raises(EncoderError, match="another version of vsearch"):
        load_matcher(tmp_path / "m")


# ---------------------------------------------------------------- towers


def test_patches_of_mini_know_where_a_colour_is():
    half = np.zeros((1, 260, 260, 3), np.uint8)
    half[:, :, :130], half[:, :, 130:] = (200, 30, 30), (60, 140, 50)
    cells = MiniPatches().encode_patches(half)
    assert cells.shape == (1, 81, 363) and cells.dtype == np.float32
    shares = cells[0, :, 352:].reshape(9, 9, 11)
    names = list(colours.PALETTE)
    assert (shares[:, :4, names.index("red")] > 0.9).all() and (shares[:, 5:, names.index("green")] > 0.9).all()
    np.testing.assert_allclose(shares.sum(axis=2), 1, atol=1e-4)


def test_colours_of_cells_are_means_over_their_pixels():
    pixels = np.random.default_rng(0).integers(0, 255, (2, 40, 40, 3), np.uint8)
    near = colours._nearness(colours.lab(pixels[:, :: colours.STEP, :: colours.STEP]))
    found = colours.of_cells(pixels, 3)
    at = np.arange(10) * 3 // 10
    for row, column in product(range(3), range(3)):
        by_hand = near[:, at == row][:, :, at == column].mean(axis=(1, 2))
        np.testing.assert_allclose(found[:, row, column], by_hand, atol=1e-6)


def test_tokens_of_mini_average_to_its_sentence_vectors():
    from vsearch.embed.minilm import MiniLM

    texts = ["a red apple", "a green banana to the left of a dog on the grass"]
    tokens, there = MiniPatches().encode_tokens(texts)
    means = tokens.sum(axis=1) / there.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(means, MiniLM().encode(texts)[1], atol=1e-5)
    assert (tokens[~there] == 0).all() and there[1].all() and not there[0].all()


# ---------------------------------------------------------------- in a search


def test_reranked_hits_are_in_the_order_of_the_matcher(tmp_path, monkeypatch):
    for name, level in (("a", 10), ("b", 240), ("c", 10)):
        Image.new("RGB", (30, 30), (level, level, level)).save(tmp_path / f"{name}.png")
    (tmp_path / "d.png").write_text("no picture")
    names = ("a", "d", "b", "c", "e")
    found = [Hit(n, n, 1 / n, bytes(tmp_path / f"{name}.png"), None, 30, 30) for n, name in enumerate(names, 1)]
    reranker = Reranker(matcher(), MiniPatches())

    def brighter(patches: Tokens, texts):
        assert set(texts) == {"bright"}
        white = 352 + list(colours.PALETTE).index("white")
        return patches.widen()[:, :, white].mean(axis=1)

    monkeypatch.setattr(reranker, "score", brighter)
    told = reranker.rerank("bright", found, depth=4)
    # By whiteness, then what cannot be read, then what lies behind the depth.
    assert [hit.path.stem for hit in told] == ["b", "a", "c", "d", "e"]
    assert [hit.rank for hit in told] == [1, 2, 3, 4, 5]
    assert {hit.id: hit.score for hit in told} == {hit.id: hit.score for hit in found}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("query", "x", "--image", "y.png", "--rerank", "m"), "--rerank reads one text"),
        (("query", "x", "z", "--rerank", "m"), "--rerank reads one text"),
        (("train-reranker", "none.tsv", "--out", "m"), "cannot read the table"),
    ],
)
def test_bad_input_is_told(tmp_path, words, message):
    code, out, err = run(*words, cwd=tmp_path)
    assert code == 2 and out == "" and message in err


def test_from_pairs_to_reranked_results(tmp_path):
    shades = [(red, green, 90) for red in (30, 90, 150, 210, 250) for green in (30, 80, 130, 180, 220, 250)]
    (tmp_path / "photos").mkdir()
    rows = []
    for number, shade in enumerate(shades):
        Image.new("RGB", (40, 40), shade).save(tmp_path / "photos" / f"{number}.png")
        rows.append(f"photos/{number}.png\tshade {number}\tshade {number + 1}")
    rows.append("photos/lost.png\tshade 99\tshade 98")
    (tmp_path / "pairs.tsv").write_text("\n".join(["filepath\ttitle\tfoil", *rows]))
    code, out, err = run("train-reranker", "pairs.tsv", "--out", "m", "--epochs", "1", cwd=tmp_path)
    assert code == 0 and out == "trained on 30 pictures in T s → m\n" and "epoch 1 of 1: loss" in err
    code, out, _ = run("eval", "compositional", "pairs.tsv", "--rerank", "m", "--json", cwd=tmp_path)
    told = json.loads(out)
    assert code == 3 and told["failed"] == 1 and told["kinds"]["all"]["pictures"] == 30
    assert told["encoder"] == "re-ranker over mini"
    assert run("index", "photos", "--encoder", "toy", cwd=tmp_path)[0] == 0
    usual, other = (
        run("query", "red", "-k", "30", "--paths", *more, cwd=tmp_path)[1].splitlines()
        for more in ([], ["--rerank", "m"])
    )
    assert sorted(usual) == sorted(other) and usual != other and len(other) == 30
    assert len(run("query", "red", "-k", "2", "--paths", "--rerank", "m", cwd=tmp_path)[1].splitlines()) == 2
