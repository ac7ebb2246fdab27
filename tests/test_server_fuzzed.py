"""The server against its own description: generated requests, every answer checked (tools/fuzz_server.py)."""

import subprocess
import sys

import pytest
from layer_rules import ROOT

from tools import fuzz_server
from vsearch.server import answers


def test_generated_requests():
    run = [sys.executable, "tools/fuzz_server.py", "--quick"]
    told = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
    cases = int(told.stdout.rsplit("fuzz_server: ", 1)[1].split()[0].replace(",", ""))
    assert cases >= 60


def test_an_answer_that_breaks_its_schema_is_seen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(answers, "finite", lambda value: "high")
    code, _ = fuzz_server.fuzz(30, "examples,fuzzing", 0)
    assert code != 0 and "violates schema" in capsys.readouterr().out
