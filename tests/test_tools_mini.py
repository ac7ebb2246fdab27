"""What trains `mini` computes the same as what searches with it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vsearch.embed.heads import MiniHeads
from vsearch.embed.mini import Mini
from vsearch.embed.minilm import MIDDLE

TEXTS = ["a dog", "two children are playing in the snow", "x", "a red apple on a wooden table " * 5]


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "tools"))


@pytest.mark.usefixtures("tools")
def test_texts_are_kept_by_their_tokens_and_padded_again(tmp_path: Path):
    import mini_texts

    towers = Mini("cpu")
    first = mini_texts.read(towers, "some", TEXTS, tmp_path)
    kept = mini_texts.read(towers, "some", TEXTS, tmp_path)
    tokens, there = kept.padded(np.array([3, 1]))
    expected, wanted = towers.text_tower().encode_tokens([TEXTS[3], TEXTS[1]], MIDDLE)
    assert (there.numpy() == wanted).all() and len(kept) == 4
    np.testing.assert_allclose(tokens.numpy(), expected, atol=5e-3)
    np.testing.assert_array_equal(first.features, np.concatenate(towers.read(TEXTS), axis=1))
    np.testing.assert_array_equal(first.features, kept.features)
    others = mini_texts.read(towers, "some", TEXTS[::-1], tmp_path)
    np.testing.assert_allclose(others.features, kept.features.flip(0), atol=1e-5)


@pytest.mark.usefixtures("tools")
def test_a_trained_student_is_written_as_the_encoder_that_it_was(tmp_path: Path):
    """Two seeds over one text tower, of weights drawn at random: torch as it trains, numpy as it searches."""
    import mini_texts
    import train_mini
    from mini_data import Data
    from mini_student import Recipe, Student

    towers, random = Mini("cpu"), torch.Generator().manual_seed(3)
    recipe = Recipe(seeds=2, hidden=16, gate=0)
    student = Student(recipe, 0).eval()
    with torch.no_grad():
        for weight in student.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=random)
    nothing = Data(*([torch.zeros(1, 1, 1)] * 4), *([None] * 4))  # type: ignore[arg-type]
    train_mini.write(student, nothing, recipe, {}, tmp_path)
    heads = MiniHeads(tmp_path)
    texts = mini_texts.read(towers, "some", TEXTS, tmp_path / "cache")
    with torch.inference_mode():
        x = student.tower(texts, np.arange(len(TEXTS)))
        added = torch.stack([head(torch.zeros(len(x), 384), x) for head in student.text]).mean(dim=0)
        expected = torch.nn.functional.normalize(x[:, -384:] + added, dim=1).numpy()
    np.testing.assert_allclose(np.concatenate(heads.read(TEXTS), axis=1), x.numpy(), atol=5e-3)
    np.testing.assert_allclose(heads.encode_texts(TEXTS), expected, atol=5e-3)
    assert np.abs(heads.read(TEXTS)[1] - towers.read(TEXTS)[1]).max() > 0.05, "the tower is the untrained one"
    seen = torch.rand(3, 2520, generator=random)
    with torch.inference_mode():
        added = torch.stack([head(torch.zeros(3, 384), seen) for head in student.image]).mean(dim=0)
        expected = torch.nn.functional.normalize(seen[:, -384:] + added, dim=1).numpy()
    of_picture = heads.joined("image", seen[:, :-384].numpy(), seen[:, -384:].numpy())
    np.testing.assert_allclose(of_picture, expected, atol=5e-3)


@pytest.mark.usefixtures("tools")
def test_what_names_lose_is_the_cross_entropy_of_a_plain_loop():
    from mini_student import cross_entropy

    scores, shares = torch.randn(2, 3, 5), torch.rand(3, 5)
    total = 0.0
    for seed in range(2):
        for row in range(3):
            likely = torch.softmax(scores[seed, row].double(), 0)
            total -= float((shares[row].double() / shares[row].double().sum() * likely.log()).sum())
    assert float(cross_entropy(scores, shares)) == pytest.approx(total / 6, rel=1e-5)
