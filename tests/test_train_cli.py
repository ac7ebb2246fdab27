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


def test_results_go_to_stdout_and_progress_to_stderr_and_a_run_is_not_overwritten(here):
    done = run(*SETTINGS, "--out", "run", cwd=here)
    assert done.returncode == 0, done.stderr
    assert "image_retrieval_recall@10" in done.stdout and done.stdout.endswith(f"→ {here / 'run' / 'best'}\n")
    assert "step 6 of 6, loss " in done.stderr and "recall@10" in done.stderr
    again = run(*SETTINGS, "--out", "run", cwd=here)
    assert again.returncode == 2 and "--resume" in again.stderr and again.stdout == ""
    told = run(*SETTINGS, "--out", "run", "--resume", "--json", cwd=here)
    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout)
    assert report["steps"] == 6 and report["encoder"] == str(here / "run" / "best")
    assert {"before", "after", "alpha", "best_step"} <= report.keys()


def test_two_processes_end_where_one_does(here):
    """Batches of seven: the halves differ in length, and every loss is over all."""
    alone = run(*SETTINGS, "--out", "alone", cwd=here)
    both = run(*SETTINGS, "--out", "both", cwd=here, launcher=TORCHRUN)
    assert (alone.returncode, both.returncode) == (0, 0), alone.stderr + both.stderr[-3000:]
    assert both.stdout.count("image_retrieval_recall@10") == 1, "only the first process reports"
    one, two = (load_file(here / name / "checkpoints/000000006/weights.safetensors") for name in ("alone", "both"))
    begin = load_file(here / "model/open_clip_model.safetensors")
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, rtol=1e-4, atol=1e-5)
        assert not torch.equal(weights, begin[name])


def test_what_cannot_be_done_is_said_in_one_line(here):
    for words, said in (
        (("none.tsv", "--out", "x"), "none.tsv"),
        (("pairs/pairs.tsv", "--out", "x", "--train", "everything"), "no part 'everything'"),
        (("pairs/pairs.tsv", "--out", "x", "--encoder", "toy"), "toy cannot be trained"),
    ):
        done = run(*words, cwd=here)
        assert done.returncode == 2 and said in done.stderr and done.stderr.startswith("vsearch: ")
