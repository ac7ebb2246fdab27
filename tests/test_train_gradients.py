"""One big batch, the same in chunks, and the same in two processes: one gradient."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from plain_towers import PlainTowers, drawn_batch
from safetensors.torch import load_file

from vsearch.train import gradcache
from vsearch.train.config import TrainConfig
from vsearch.train.gradcache import Batch, backward
from vsearch.train.loss import infonce, same, siglip
from vsearch.train.world import World

ALONE = World(0, 1, torch.device("cpu"))
LOSSES = ["infonce", "siglip"]


def by_hand(towers: PlainTowers, batch: Batch, loss: str) -> tuple[float, dict[str, torch.Tensor]]:
    """The whole batch through both towers at once, and torch's own backward."""
    xi, xt = (
        torch.nn.functional.normalize(rows, dim=1)
        for rows in (towers.encode_images(batch.images), towers.encode_texts(batch.texts))
    )
    positive = same((batch.pictures, batch.captions), (batch.pictures, batch.captions))
    scores = towers.scale.exp() * xi @ xt.T
    if loss == "siglip":
        value = siglip(scores + towers.bias, positive).sum() / len(batch)
    else:
        value = (infonce(scores, positive).mean() + infonce(scores.T, positive).mean()) / 2
    value.backward()
    return float(value.detach()), towers.gradients()


def close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float) -> None:
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("chunk", [0, 1, 7, 23, 100])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
def test_chunks_give_the_gradient_of_the_whole_batch(loss, chunk, dtype, tolerance):
    towers, batch = PlainTowers(dtype=dtype, bias=loss == "siglip"), drawn_batch(23, dtype=dtype)
    value = backward(towers, batch, TrainConfig(loss=loss, chunk=chunk), ALONE, seed=0)
    expected, gradients = by_hand(PlainTowers(dtype=dtype, bias=loss == "siglip"), batch, loss)
    assert value == pytest.approx(expected, rel=1e-5)
    close(towers.gradients(), gradients, tolerance)


def test_blocks_of_rows_give_the_gradient_of_the_whole_batch(monkeypatch):
    monkeypatch.setitem(gradcache.SCORES, "cpu", 4 * 23)
    towers, batch = PlainTowers(), drawn_batch(23)
    value = backward(towers, batch, TrainConfig(), ALONE, seed=0)
    expected, gradients = by_hand(PlainTowers(), batch, "infonce")
    assert value == pytest.approx(expected, rel=1e-12)
    close(towers.gradients(), gradients, 1e-12)


def test_dropout_draws_the_same_in_both_passes():
    """Were it drawn anew, the gradient would be of other features than those that the loss saw."""
    towers, batch = PlainTowers(dropout=0.5), drawn_batch(12)
    masked = PlainTowers(dropout=0.5)
    features = {"encode_images": [], "encode_texts": []}
    for name, kept in features.items():
        encode = getattr(towers, name)
        setattr(towers, name, lambda rows, encode=encode, kept=kept: kept.append(encode(rows)) or kept[-1])
    backward(towers, batch, TrainConfig(chunk=5), ALONE, seed=4)
    for kept in features.values():
        first, second = kept[:3], kept[3:]
        assert len(second) == 3 and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    before = torch.random.get_rng_state()
    backward(masked, batch, TrainConfig(chunk=5), ALONE, seed=4)
    assert torch.equal(before, torch.random.get_rng_state()), "the host's random numbers are its own"


def test_two_processes_give_the_gradient_of_one(tmp_path):
    script = Path(__file__).parent / "two_processes.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for loss in LOSSES:
        found = load_file(tmp_path / f"{loss}.safetensors")
        expected, gradients = by_hand(PlainTowers(bias=loss == "siglip"), drawn_batch(23), loss)
        assert float(found["loss"]) == pytest.approx(expected, rel=1e-6)
        close(found, gradients, 1e-6)
