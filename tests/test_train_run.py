"""A run from its pairs to its encoder: resuming, early stopping, mixing, and everything that can be wrong with it."""

import json
import math
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_clip import save_pairs, save_tiny

from vsearch import files
from vsearch.errors import CheckpointMismatch, DiskFull, LossNotFinite, SourceError, TrainError
from vsearch.train import TrainConfig, read_pairs, train
from vsearch.train.wise import Mix, best, mixed

SMALL = {"what": "heads", "batch": 4, "lr_heads": 1e-2, "patience": 0, "hold_out": 0.25}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("tiny") / "model"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return read_pairs(save_pairs(tmp_path_factory.mktemp("pairs"), 16, captions=2))


def last(out):
    return max((out / "checkpoints").iterdir())


def same_bytes(one, other) -> bool:
    names = {path.name for path in one.iterdir()} | {path.name for path in other.iterdir()}
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


class Stop(Exception):
    pass


def stop_at(step):
    def tell(now):
        if now.step == step:
            raise Stop

    return tell


@pytest.mark.parametrize(
    "changes", [{}, {"ema": 0.9, "loss": "siglip"}, {"what": "whole", "lr_towers": 1e-3, "chunk": 3}]
)
def test_a_stopped_run_goes_on_to_the_same_bits(model, pairs, tmp_path, changes):
    config = TrainConfig(**{**SMALL, "epochs": 4, "evaluate_every": 2, **changes})
    train(pairs, tmp_path / "whole", encoder=model, config=config)
    with pytest.raises(Stop):
        train(pairs, tmp_path / "stopped", encoder=model, config=config, on_moment=stop_at(7))
    assert last(tmp_path / "stopped").name == "000000006"
    report = train(pairs, tmp_path / "stopped", encoder=model, config=config, resume=True)
    assert report.steps == 12
    assert same_bytes(last(tmp_path / "whole"), last(tmp_path / "stopped"))
    assert same_bytes(tmp_path / "whole/best", tmp_path / "stopped/best")


def test_only_two_checkpoints_stay_and_what_a_kill_left_goes(model, pairs, tmp_path):
    rubbish = tmp_path / "checkpoints" / f"{files.TEMPORARY}abc"
    rubbish.mkdir(parents=True)
    train(pairs, tmp_path, encoder=model, config=TrainConfig(**SMALL, epochs=4))
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["000000009", "000000012"]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(model, pairs, tmp_path):
    config = TrainConfig(**SMALL, epochs=3)
    train(pairs, tmp_path, encoder=model, config=config)
    expected = load_file(last(tmp_path) / "weights.safetensors")
    shutil.rmtree(tmp_path / "best")
    damaged = last(tmp_path) / "optimizer.safetensors"
    raw = bytearray(damaged.read_bytes())
    raw[-1] ^= 1
    damaged.write_bytes(raw)
    shutil.copytree(tmp_path, tmp_path / "both", ignore=shutil.ignore_patterns("both"))
    # the damaged one stands where the new one would, and is replaced by it
    train(pairs, tmp_path, encoder=model, config=config, resume=True)
    found = load_file(last(tmp_path) / "weights.safetensors")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert bytes(raw) != damaged.read_bytes()
    for folder in (tmp_path / "both" / "checkpoints").iterdir():
        (folder / "state.json").write_text("{")
    with pytest.raises(CheckpointMismatch, match="none of the 2 checkpoints is whole"):
        train(pairs, tmp_path / "both", encoder=model, config=config, resume=True)


def test_a_checkpoint_of_another_model_or_setting_is_refused_by_name(model, pairs, tmp_path):
    config = TrainConfig(**SMALL, epochs=1)
    train(pairs, tmp_path / "run", encoder=model, config=config)
    other = str(save_tiny(tmp_path / "other", seed=1))
    with pytest.raises(CheckpointMismatch, match="encoder was"):
        train(pairs, tmp_path / "run", encoder=other, config=config, resume=True)
    shutil.rmtree(tmp_path / "other")
    with pytest.raises(CheckpointMismatch, match="epochs was 1, now 2"):
        train(pairs, tmp_path / "run", encoder=model, config=TrainConfig(**SMALL, epochs=2), resume=True)
    with pytest.raises(CheckpointMismatch, match="pairs was"):
        train(pairs.only(range(15)), tmp_path / "run", encoder=model, config=config, resume=True)
    with pytest.raises(TrainError, match="already holds a training run"):
        train(pairs, tmp_path / "run", encoder=model, config=config)


def test_training_stops_when_recall_no_longer_rises(model, pairs, tmp_path):
    config = TrainConfig(**{**SMALL, "patience": 2, "lr_heads": 0.0}, epochs=50)
    report = train(pairs, tmp_path, encoder=model, config=config)
    assert report.stopped_early and (report.steps, report.best_step) == (6, 0)
    assert report.before == report.after
    history = json.loads((tmp_path / "history.json").read_text())
    assert [entry["step"] for entry in history] == [0, 3, 6]


def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_weights(model, pairs, tmp_path, monkeypatch):
    from vsearch.train import gradcache

    config = TrainConfig(**SMALL, epochs=3)
    calls = iter(range(100))
    rows = gradcache._rows

    def spoilt(*arguments):
        return rows(*arguments) * (math.nan if next(calls) == 4 else 1.0)

    monkeypatch.setattr(gradcache, "_rows", spoilt)
    with pytest.raises(LossNotFinite, match=r"batch 4 .*\.png") as caught:
        train(pairs, tmp_path, encoder=model, config=config)
    assert caught.value.step == 4
    assert last(tmp_path).name == "000000003"
    monkeypatch.setattr(gradcache, "_rows", rows)
    train(pairs, tmp_path, encoder=model, config=config, resume=True)
    train(pairs, tmp_path / "whole", encoder=model, config=config)
    assert same_bytes(last(tmp_path), last(tmp_path / "whole"))


def test_a_full_disk_is_an_error_that_keeps_the_last_checkpoint(model, pairs, tmp_path, monkeypatch):
    config = TrainConfig(**SMALL, epochs=3)
    written = files.write_all
    calls = iter(range(1000))

    def full(fd, data, offset):
        if next(calls) >= 9:
            raise OSError(28, "No space left on device")
        return written(fd, data, offset)

    train(pairs, tmp_path / "cached", encoder=model, config=config)
    shutil.copytree(tmp_path / "cached" / "cache", tmp_path / "run" / "cache")
    monkeypatch.setattr(files, "write_all", full)
    with pytest.raises(DiskFull, match="the disk is full"):
        train(pairs, tmp_path / "run", encoder=model, config=config)
    assert os.listdir(tmp_path / "run" / "checkpoints") == ["000000003", "000000006"]
    monkeypatch.setattr(files, "write_all", written)
    train(pairs, tmp_path / "run", encoder=model, config=config, resume=True)
    assert same_bytes(last(tmp_path / "run"), last(tmp_path / "cached"))


def test_a_single_picture_and_an_empty_table_are_refused(model, pairs, tmp_path):
    with pytest.raises(TrainError, match="one picture is too few"):
        train(pairs.only([0]), tmp_path, encoder=model)
    with pytest.raises(TrainError, match="1 of 2 pictures are left to train on"):
        train(pairs.only([0, 1]), tmp_path, encoder=model)
    table = tmp_path / "none.tsv"
    table.write_text("filepath\ttitle\n")
    with pytest.raises(TrainError, match="no picture with a caption"):
        read_pairs(table)
    with pytest.raises(SourceError):
        read_pairs(tmp_path / "no-such.tsv")


def test_a_batch_larger_than_the_data_takes_all_of_it_and_says_so(model, pairs, tmp_path):
    said = []
    report = train(
        pairs, tmp_path, encoder=model, config=TrainConfig(**{**SMALL, "batch": 512}, epochs=2), on_notice=said.append
    )
    assert report.steps == 2
    assert any("a batch of 512 is more than there is; each step takes all 12" in line for line in said)


def test_pairs_in_both_sets_are_counted_also_under_another_name(model, tmp_path):
    own = read_pairs(save_pairs(tmp_path / "own", 8))
    table = save_pairs(tmp_path / "val", 10)  # the first eight have the same bytes
    Image.new("RGB", (20, 20), (1, 2, 3)).save(tmp_path / "val" / "001.png")
    held = read_pairs(table)
    said = []
    config = TrainConfig(**SMALL, epochs=1)
    train(own, tmp_path / "out", encoder=model, validation=held, config=config, on_notice=said.append)
    assert any("7 of 10 validation pictures are also trained on" in line for line in said)


def test_missing_empty_and_endless_captions_are_told_with_counts(tmp_path):
    table = save_pairs(tmp_path, 4)
    lines = table.read_text().splitlines()
    lines += ["gone.png\ta picture that is not there", "003.png\t", f"002.png\t{'word ' * 5000}"]
    Image.new("RGB", (9, 9)).save(tmp_path / "silent.png")
    table.write_text("\n".join([*lines, "silent.png\t  "]) + "\n")
    said = []
    pairs = read_pairs(table, on_notice=said.append)
    assert len(pairs) == 4 and [len(texts) for texts in pairs.captions] == [1, 1, 2, 1]
    assert any("1 picture of" in line and "cannot be read" in line and "gone.png" in line for line in said)
    assert any("1 picture of" in line and "without a caption" in line for line in said)
    assert any("1 caption of" in line and "more than 200 words" in line for line in said)


@pytest.mark.parametrize("what", ["heads", "whole"])
def test_a_picture_that_cannot_be_decoded_costs_its_pair_only(model, tmp_path, what):
    table = save_pairs(tmp_path / "pairs", 9)
    (tmp_path / "pairs" / "004.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    said = []
    pairs = read_pairs(table)
    config = TrainConfig(**{**SMALL, "what": what}, epochs=2)
    report = train(pairs, tmp_path / "out", encoder=model, validation=pairs, config=config, on_notice=said.append)
    assert math.isfinite(report.after["mean_recall"])
    assert sum("004.png" in line for line in said) >= 1
    vectors = 8  # a recall of a share of eight captions, not of nine
    assert (report.after["image_retrieval_recall@1"] * vectors) % 1 == 0


def test_settings_that_make_no_sense_are_refused():
    for wrong in (
        {"what": "last:0"},
        {"what": "everything"},
        {"batch": 1},
        {"warmup": 1.5},
        {"loss": "siglip", "hard_weight": 1.0},
        {"temperature": 0.0},
        {"hard_batches": 4, "unit": "caption"},
    ):
        with pytest.raises(TrainError):
            TrainConfig(**wrong)


def test_mixing_keeps_what_was_known_elsewhere(model, pairs, tmp_path):
    """By hand: the best at home loses too much elsewhere, so the best that keeps the floor is taken."""
    found = [Mix(0.0, 0.30, 0.80), Mix(0.5, 0.50, 0.79), Mix(0.8, 0.60, 0.785), Mix(1.0, 0.70, 0.60)]
    assert best(found, 0.02).alpha == 0.8
    assert best(found, 0.5).alpha == 1.0
    assert best(found, 0.0).alpha == 0.0
    assert best([Mix(m.alpha, m.domain) for m in found], 0.02).alpha == 1.0
    before, after = {"w": torch.tensor([0.0, 2.0])}, {"w": torch.tensor([1.0, 4.0])}
    torch.testing.assert_close(mixed(before, after, 0.25)["w"], torch.tensor([0.25, 2.5]))


def test_the_encoder_has_the_mixed_weights_and_both_figures_are_told(model, pairs, tmp_path):
    general = read_pairs(save_pairs(tmp_path / "general", 12, captions=1))
    config = TrainConfig(**{**SMALL, "lr_heads": 5e-2}, epochs=4, wise_floor=0.0)
    report = train(pairs, tmp_path / "out", encoder=model, general=general, config=config)
    assert len(report.mixes) == 11 and report.general_before is not None and report.general_after is not None
    assert report.general_after["mean_recall"] >= report.general_before["mean_recall"]
    chosen = next(m for m in report.mixes if m.alpha == report.alpha)
    assert chosen.domain == report.after["mean_recall"] and chosen.general == report.general_after["mean_recall"]
    old = load_file(f"{model}/open_clip_model.safetensors")["visual.proj"]
    new = load_file(last(tmp_path / "out") / "best.safetensors")["visual.proj"]
    kept = load_file(report.encoder / "open_clip_model.safetensors")["visual.proj"]
    np.testing.assert_allclose(kept, (1 - report.alpha) * old + report.alpha * new, atol=1e-6)
