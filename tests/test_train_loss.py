"""The losses against plain loops over angles on a circle, in float64, with gradients by differences."""

import math

import numpy as np
import pytest
import torch

from vsearch.train.loss import infonce, same, siglip, start

SCALE = 7.0
# Four pictures and four captions, as angles in degrees; pair 2 is another caption of the picture of pair 0.
IMAGES, TEXTS = (10.0, 95.0, 10.0, 200.0), (25.0, 80.0, 5.0, 170.0)
PICTURES, CAPTIONS = (0, 1, 0, 3), (0, 1, 2, 3)


def points(degrees) -> torch.Tensor:
    radians = torch.tensor(degrees, dtype=torch.float64) * math.pi / 180
    return torch.stack([radians.cos(), radians.sin()], dim=1)


def logits() -> torch.Tensor:
    return SCALE * points(IMAGES) @ points(TEXTS).T


def positives(pictures=PICTURES, captions=CAPTIONS) -> torch.Tensor:
    ids = torch.tensor(pictures), torch.tensor(captions)
    return same(ids, ids)


def cosine(i: int, j: int) -> float:
    return math.cos(math.radians(IMAGES[i] - TEXTS[j]))


def plain_infonce(i: int, mine: list[int], hard_weight: float = 0.0) -> float:
    """By the definition, one exponential at a time."""
    others = [j for j in range(4) if j not in mine]
    weights = {j: math.exp(hard_weight * SCALE * cosine(i, j)) for j in others}
    mean = sum(weights.values()) / len(weights)
    against = sum(weights[j] / mean * math.exp(SCALE * cosine(i, j)) for j in others)
    each = [-math.log(math.exp(SCALE * cosine(i, j)) / (math.exp(SCALE * cosine(i, j)) + against)) for j in mine]
    return sum(each) / len(each)


MINE = {0: [0, 2], 1: [1], 2: [0, 2], 3: [3]}


@pytest.mark.parametrize("hard_weight", [0.0, 0.3, 1.0])
def test_infonce_is_its_definition_and_knows_no_false_negatives(hard_weight):
    found = infonce(logits(), positives(), hard_weight)
    expected = [plain_infonce(i, MINE[i], hard_weight) for i in range(4)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_infonce_of_single_pairs_is_cross_entropy_also_when_smoothed():
    alone = positives((0, 1, 2, 3))
    for smoothing in (0.0, 0.1):
        expected = torch.nn.functional.cross_entropy(
            logits(), torch.arange(4), reduction="none", label_smoothing=smoothing
        )
        torch.testing.assert_close(
            infonce(logits(), alone, label_smoothing=smoothing), expected, rtol=1e-12, atol=1e-15
        )


def test_a_second_caption_of_a_picture_pushes_nothing_away():
    """Taken for a negative it would be pushed: the gradient by its score shows which way."""
    scores = logits().requires_grad_()
    infonce(scores, positives()).sum().backward()
    assert scores.grad[0, 2] < 0 and scores.grad[2, 0] < 0
    again = logits().requires_grad_()
    infonce(again, positives((0, 1, 2, 3))).sum().backward()
    assert again.grad[0, 2] > 0 and again.grad[2, 0] > 0


def test_pictures_with_the_same_caption_are_no_negatives_of_each_other():
    expected = torch.eye(4, dtype=torch.bool)
    expected[1, 3] = expected[3, 1] = True
    assert torch.equal(positives((0, 1, 2, 3), (0, 7, 2, 7)), expected)


def test_siglip_is_its_definition():
    def judged(i: int, j: int) -> float:
        sign = 1 if j in MINE[i] else -1
        return -math.log(1 / (1 + math.exp(-sign * SCALE * cosine(i, j))))

    expected = [sum(judged(i, j) for j in range(4)) for i in range(4)]
    np.testing.assert_allclose(siglip(logits(), positives()).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "loss",
    [
        lambda s, p: infonce(s, p),
        lambda s, p: infonce(s, p, hard_weight=0.4),
        lambda s, p: infonce(s, p, label_smoothing=0.1),
        lambda s, p: siglip(s - 3.0, p),
    ],
)
def test_gradients_are_those_of_differences(loss):
    images, texts, scale = points(IMAGES), points(TEXTS), torch.tensor(1.5, dtype=torch.float64)

    def whole(a, b, s):
        return loss(s.exp() * a @ b.T, positives()).sum()

    inputs = [x.clone().requires_grad_() for x in (images, texts, scale)]
    assert torch.autograd.gradcheck(whole, inputs, eps=1e-6, atol=1e-7)


@pytest.mark.parametrize("loss", [infonce, siglip])
def test_a_batch_of_one_picture_only_has_no_negatives_and_finite_gradients(loss):
    scores = logits().requires_grad_()
    value = loss(scores, torch.ones(4, 4, dtype=torch.bool)).sum()
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(scores.grad).all()
    if loss is infonce:
        assert value == 0 and not scores.grad.any()


def test_extreme_scores_stay_finite():
    scores = torch.tensor([[100.0, -100.0], [100.0, -100.0]], requires_grad=True)
    infonce(scores, torch.eye(2, dtype=torch.bool)).sum().backward()
    assert torch.isfinite(scores.grad).all()


def test_where_scale_and_bias_begin():
    assert start("infonce", None) == (pytest.approx(math.log(1 / 0.07)), None)
    assert start("infonce", None, 4.6) == (4.6, None)
    assert start("infonce", 0.05, 4.6) == (pytest.approx(math.log(20)), None)
    assert start("siglip", None) == (pytest.approx(math.log(10)), -10.0)
