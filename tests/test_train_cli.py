"""``vsearch train`` as the real program, alone and as two processes of torchrun."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_clip import save_pairs, save_tiny

from vsearch.cli import main

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def run(*words: str | Path, cwd: Path, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *launcher, "-m", "vsearch", "train", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=ENV, timeout=300)
    assert launcher or "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    place = tmp_path_factory.mktemp("cli")
    save_tiny(place / "model")
    save_pairs(place / "pairs", 16)
    return place


SETTINGS = ("pairs/pairs.tsv", "--encoder", "model", "--train", "heads", "--epochs", "3", "--batch", "7", "--no-wise")


@pytest.fixture(scope="module")
def alone(here):
    """One run in one process."""
    return run(*SETTINGS, "--out", "run", cwd=here)


def test_results_go_to_stdout_and_progress_to_stderr(here, alone):
    assert alone.returncode == 0, alone.stderr
    assert "image_retrieval_recall@10" in alone.stdout
    assert alone.stdout.endswith(f"→ {here / 'run' / 'best'}\n")
    assert "step 6 of 6, loss " in alone.stderr and "recall@10" in alone.stderr


def test_a_run_is_not_overwritten_and_a_finished_one_tells_its_figures_again(here, alone, monkeypatch, capfdbinary):
    monkeypatch.chdir(here)
    assert main(["train", *SETTINGS, "--out", "run"]) == 2
    out, err = capfdbinary.readouterr()
    assert out == b"" and b"--resume" in err
    assert main(["train", *SETTINGS, "--out", "run", "--resume", "--json"]) == 0
    report = json.loads(capfdbinary.readouterr().out)
    assert report["steps"] == 6 and report["encoder"] == str(here / "run" / "best")
    assert {"before", "after", "alpha", "best_step"} <= report.keys()


def test_two_processes_end_where_one_does(here, alone):
    """Batches of seven: the halves differ in length, and every loss is over all."""
    both = run(*SETTINGS, "--out", "both", cwd=here, launcher=TORCHRUN)
    assert both.returncode == 0, both.stderr[-3000:]
    assert both.stdout.count("image_retrieval_recall@10") == 1, "only the first process reports"
    one, two = (load_file(here / name / "checkpoints/000000006/weights.safetensors") for name in ("run", "both"))
    begin = load_file(here / "model/open_clip_model.safetensors")
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, rtol=1e-4, atol=1e-5)
        assert not torch.equal(weights, begin[name])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none.tsv",), "none.tsv"),
        (("pairs/pairs.tsv", "--train", "everything"), "no part 'everything'"),
        (("pairs/pairs.tsv", "--encoder", "toy"), "toy cannot be trained"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(here, monkeypatch, capfd, words, said):
    monkeypatch.chdir(here)
    assert main(["train", *words, "--out", "x"]) == 2
    err = capfd.readouterr().err
    assert said in err and err.startswith("vsearch: ") and err.count("\n") == 1
