"""Look-alikes by the vectors of an index: the truth is a plain numpy loop over what the index holds."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from tiny_clip import save_pairs, save_tiny

import vsearch
from vsearch.cli import main
from vsearch.errors import CheckpointMismatch, IndexNotFound, TrainError
from vsearch.train import Pairs, TrainConfig, read_pairs, train
from vsearch.train.alike import nearest
from vsearch.train.stored import StoredVectors

COUNT, DIM = 16, 12
CONFIG = TrainConfig(what="heads", batch=8, epochs=2, lr_heads=1e-2, hard_batches=4, hold_out=0.25, wise=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny(tmp_path_factory.mktemp("tiny") / "model"))


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    return read_pairs(save_pairs(tmp_path / "pairs", COUNT))


def imported(place: Path, pairs: Pairs, seed: int = 0) -> np.ndarray:
    """An index of random vectors under the pictures' paths, in another order; gives its rows in that of the pairs."""
    rows = np.random.default_rng(seed).normal(size=(COUNT, DIM)).astype(np.float32)
    with vsearch.create(place, encoder=f"external:m:{DIM}") as index:
        index.add_vectors([pairs.items[n].path for n in reversed(range(COUNT))], rows[::-1])
    return rows


def loop(rows: np.ndarray, count: int) -> list[list[int]]:
    """For each row the numbers of the most similar ones, by the plainest means; lower numbers first where equal."""
    unit = [(row / np.linalg.norm(row)).astype(np.float16).astype(np.float64) for row in rows]
    told = []
    for one in unit:
        scores = [-float(one @ other) for other in unit]
        told.append(sorted(range(len(unit)), key=lambda n: (scores[n], n))[:count])
    return told


def test_neighbours_are_those_of_a_plain_loop(pairs: Pairs, tmp_path: Path):
    rows = imported(tmp_path / "x.vsearch", pairs)
    stored = StoredVectors(tmp_path / "x.vsearch", pairs)
    assert nearest(stored.of(pairs), 5).tolist() == loop(rows, 5)
    some = [9, 2, 13, 4]
    assert nearest(stored.of(pairs.only(some)), 3).tolist() == loop(rows[some], 3)
    wide = nearest(stored.of(pairs.only(some)), 6)
    assert (wide[:, 4:] == -1).all() and (np.sort(wide[:, :4]) == np.arange(4)).all()


def test_pictures_are_known_by_path_and_else_by_their_bytes(pairs: Pairs, tmp_path: Path):
    folder = Path(os.fsdecode(pairs.items[0].path)).parent
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(folder))
        with index.store.snapshot() as snapshot:
            known = {record.path: snapshot.rows(np.array([id]))[0] for id, record in snapshot.items()}
    expected = np.stack([known[item.path] for item in pairs.items])
    assert (StoredVectors(tmp_path / "x.vsearch", pairs).of(pairs) == expected).all()
    moved = read_pairs(Path(shutil.copytree(folder, tmp_path / "moved")) / "pairs.tsv")
    assert (StoredVectors(tmp_path / "x.vsearch", moved).of(moved) == expected).all()
    # 005 is now what 002 was, and 007 is what nobody has seen
    shutil.copy(folder / "002.png", folder / "005.png")
    (folder / "007.png").write_bytes((folder / "007.png").read_bytes() + b"changed")
    changed = read_pairs(folder / "pairs.tsv")
    stored = StoredVectors(tmp_path / "x.vsearch", changed)
    assert (stored.of(changed.only([5, 2])) == expected[[2, 2]]).all()
    with pytest.raises(TrainError, match=r"does not hold 1 of the 16 .*007\.png"):
        stored.of(changed)


def test_a_run_is_made_of_them_and_goes_on_with_the_same_only(model: str, pairs: Pairs, tmp_path: Path):
    for seed in (0, 1):
        imported(tmp_path / f"{seed}.vsearch", pairs, seed)

    def weights(out: str, look_alikes: str | None) -> dict:
        place = tmp_path / look_alikes if look_alikes else None
        train(pairs, tmp_path / out, encoder=model, config=CONFIG, look_alikes=place)
        # where training went, and not the best of the way, which may be its beginning
        state = max((tmp_path / out / "checkpoints").glob("*/weights.safetensors"))
        return load_file(state)

    def same(one: dict, other: dict) -> bool:
        return all(bool((one[name] == other[name]).all()) for name in one)

    first, again, other = weights("a", "0.vsearch"), weights("b", "0.vsearch"), weights("c", "1.vsearch")
    assert same(first, again) and not same(first, other) and not same(first, weights("d", None))
    resumed = {"encoder": model, "config": CONFIG, "resume": True}
    train(pairs, tmp_path / "a", look_alikes=tmp_path / "0.vsearch", **resumed)
    with pytest.raises(CheckpointMismatch, match="look_alikes"):
        train(pairs, tmp_path / "a", look_alikes=tmp_path / "1.vsearch", **resumed)


def test_what_is_wrong_is_said(model: str, pairs: Pairs, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table = Path(os.fsdecode(pairs.items[0].path)).parent / "pairs.tsv"
    words = ["train", str(table), "--encoder", model, "--out", str(tmp_path / "run"), "--look-alikes"]
    assert main([*words, str(tmp_path / "none.vsearch")]) == 2
    assert "--hard-batches N" in capsys.readouterr().err
    with pytest.raises(IndexNotFound):
        train(pairs, tmp_path / "run", encoder=model, config=CONFIG, look_alikes=tmp_path / "none.vsearch")
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.pictures([os.fsdecode(pairs.items[3].path)]))
    assert main([*words, str(tmp_path / "x.vsearch"), "--hard-batches", "4", "--train", "heads"]) == 2
    # which two are held out depends on where the pictures lie
    assert re.search("does not hold 1[34] of the 14 pictures to train on", capsys.readouterr().err)
