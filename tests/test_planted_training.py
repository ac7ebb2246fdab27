"""What a training run goes on from: trials and mistakes as in test_planted_defects.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.planting import Trials, planted
from vsearch.train import checkpoint

DEFECTS = Trials()


@DEFECTS.catches("patience begins anew", "vsearch.train.checkpoint:_state", 'stale=told["stale"]', "stale=0")
def a_checkpoint_gives_back_all_that_a_run_goes_on_from(place: Path) -> None:
    one, two = {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 4.0])}
    history = [{"step": 4.0, "loss": 0.5, "mean_recall": 0.25}]
    state = checkpoint.State(8, one, {"0.exp_avg": two["w"]}, two, one, {"seed": 1}, 4, 0.25, 3, history)
    checkpoint.write(place, state)
    found = checkpoint.read(place, {"seed": 1})
    assert found is not None
    for name in ("step", "identity", "best_step", "best_score", "stale", "history"):
        assert getattr(found, name) == getattr(state, name), name
    for name in ("weights", "optimizer", "best", "average"):
        torch.testing.assert_close(getattr(found, name), getattr(state, name), rtol=0, atol=0)


@pytest.mark.parametrize("name", DEFECTS)
def test_it_is_right(name: str, tmp_path: Path) -> None:
    DEFECTS[name][0](tmp_path)


@pytest.mark.parametrize("name", DEFECTS)
def test_the_planted_defect_shows(name: str, tmp_path: Path) -> None:
    trial, defect = DEFECTS[name]
    with planted(defect), pytest.raises(AssertionError):
        trial(tmp_path)
