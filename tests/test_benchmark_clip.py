"""The `clip` suite: how it measures commands and stages, its targets, and that pages show the results that are kept."""

from __future__ import annotations

import importlib
import json
import sys
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
RESULTS = BENCHMARKS / "results" / "clip.json"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")) or name == "suites":
            del sys.modules[name]


def python(program: str) -> list[str]:
    return [sys.executable, "-S", "-c", program]


def test_a_commands_memory_is_its_own_and_not_that_of_who_started_it():
    from measured import measure

    held = np.ones(100 << 20, np.uint8)
    assert measure(python("pass")).peak_mb < 60 < held.nbytes / 1e6
    assert measure(python("bytearray(b'1') * (70 << 20)")).peak_mb > 73


def test_cpu_time_is_that_of_a_command_and_of_what_it_waited_for():
    from measured import measure

    burn = "import time\nwhile time.process_time() < 0.1: pass"
    assert measure(python(burn)).cpu >= 0.1
    assert measure(python(f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {burn!r}])")).cpu >= 0.1


def test_a_command_gets_a_users_environment_and_its_failure_is_told(monkeypatch):
    from measured import measure

    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("KEPT", "1")
    asked = (
        "import os; assert 'OPENBLAS_CORETYPE' not in os.environ and os.environ['KEPT'] + os.environ['MORE'] == '12'"
    )
    measure(python(asked), MORE="2")
    with pytest.raises(RuntimeError, match="ended with 3: too bad"):
        measure(python("import sys; sys.stderr.write('too bad'); sys.exit(3)"))


def test_the_least_of_several_runs():
    from measured import Usage, least

    assert least([Usage(3.0, 2.0, 10.0), Usage(1.0, 4.0, 30.0), Usage(2.0, 5.0, 20.0)]) == Usage(1.0, 2.0, 30.0)


def test_time_counts_for_the_innermost_stage():
    from stages import Stages

    now = 10.0
    stages = Stages(lambda: now)

    class Tower:
        @cached_property
        def weights(self) -> int:
            nonlocal now
            now += 4.0
            return 7

        def encode(self) -> int:
            nonlocal now
            now += 2.0
            return self.weights

    stages.watch(Tower, "encode", "tower")
    stages.watch(Tower, "weights", "weights")
    now += 1.0
    with stages.stage("search"):
        now += 0.5
        assert Tower().encode() == 7
        now += 0.5
    assert stages.shares() == {"other": 1 / 8, "search": 1 / 8, "tower": 2 / 8, "weights": 4 / 8}


def test_an_import_counts_as_one(tmp_path, monkeypatch):
    from stages import Stages

    now = 0.0
    stages = Stages(lambda: now)
    monkeypatch.setattr("importlib._bootstrap._find_and_load", importlib._bootstrap._find_and_load)  # put back
    stages.watch_imports("imports")
    (tmp_path / "slow_to_import_once.py").write_text("import sys; sys.modules['tick'].tick()")
    monkeypatch.syspath_prepend(str(tmp_path))

    class Tick:
        @staticmethod
        def tick() -> None:
            nonlocal now
            now += 3.0

    monkeypatch.setitem(sys.modules, "tick", Tick)  # type: ignore[arg-type]
    import slow_to_import_once  # noqa: F401

    now += 1.0
    assert stages.shares() == {"imports": 0.75, "other": 0.25}


def test_targets_are_held_at_their_bound_and_missed_beyond():
    from clip_targets import beside_targets

    cold = {"mini": {"CPU s": 0.5}, "ViT-B-32": {"CPU s": 1.0, "MB": 701.0}}
    warm = {
        "ViT-B-32": {"sentence ms": 12.0, "sentence, open_clip / vsearch": 3.9, "64 texts, open_clip / vsearch": 1.0}
    }
    rows = beside_targets({"cold sentence": cold, "warm": warm, "cosines": {"ViT-B-32": {"texts": 0.9998}}})
    assert {what: (row["wanted"], row["reached"], row["held"]) for what, row in rows.items()} == {
        "cold sentence, ViT-B/32: CPU / mini's": ("≤ 2", 2.0, "yes"),
        "cold sentence, ViT-B/32: MB": ("≤ 700", 701.0, "no"),
        "warm sentence, ViT-B/32: CPU ms": ("≤ 12", 12.0, "yes"),
        "warm sentence, ViT-B/32: open_clip's CPU / ours": ("≥ 4", 3.9, "no"),
        "64 texts, ViT-B-32: open_clip's CPU / ours": ("≥ 1", 1.0, "yes"),
        "least cosine, texts, ViT-B-32": ("≥ 0.9999", 0.9998, "no"),
    }


def test_the_least_cosine_is_that_of_a_plain_loop():
    from run_cosines import least_cosine

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 4))
    plain = [
        sum(x * y for x, y in zip(u, v, strict=True)) / (sum(x * x for x in u) * sum(y * y for y in v)) ** 0.5
        for u, v in zip(a, b, strict=True)
    ]
    assert least_cosine(a, b) == pytest.approx(min(plain))


def test_sentences_have_eight_words_and_are_all_different():
    from suites.clip import _sentences

    sentences = list(islice(_sentences(), 20_000))
    assert len(sentences) == len(set(sentences)) == 10_000
    assert {len(sentence.split()) for sentence in sentences} == {8}


def test_a_block_of_a_page_is_replaced_and_nothing_else():
    from pages import filled

    page = "a\n<!-- figures: one -->\nold\n<!-- end of figures -->\nb\n<!-- figures: two -->\n<!-- end of figures -->\n"
    once = filled(page, "one", ["x \\1", "y"])
    assert once == page.replace("old\n", "\nx \\1\ny\n")
    assert filled(once, "one", ["x \\1", "y"]) == once
    with pytest.raises(ValueError, match="0 blocks of figures named 'three'"):
        filled(page, "three", [])


def test_every_target_was_measured_and_the_pages_show_the_results_that_are_kept():
    from clip_targets import TARGETS, beside_targets
    from pages import filled
    from suites import clip

    figures = json.loads(RESULTS.read_text(encoding="utf-8"))["figures"]
    assert figures["targets"] == beside_targets(figures)
    assert {target.what for target in TARGETS} <= figures["targets"].keys()
    for name, lines in clip.pages(figures).items():
        page = (ROOT / name).read_text(encoding="utf-8")
        assert filled(page, "clip", lines) == page, f"{name}: `benchmarks/run.py report` makes it anew"
