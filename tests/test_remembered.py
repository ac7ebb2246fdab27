"""Findings that are kept: believed when whole and the user's own, lost without harm."""

import json
import os
import subprocess
import sys

import pytest

from vsearch.remembered import Remembered

KIND, KEY = "precision", "a model, a machine"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("VSEARCH_TEST_FINDINGS", str(tmp_path / "findings"))
    return Remembered("VSEARCH_TEST_FINDINGS", "cache")


def entry(kept):
    (path,) = kept.folder.glob("*/*.json")
    return path


@pytest.mark.parametrize("value", ["float32", ["bfloat16", "faster"], {"dim": 512}, True, 1.5])
def test_what_was_found_is_known_again(kept, value):
    assert kept.recall(KIND, KEY) is None
    assert kept.remember(KIND, KEY, value)
    assert kept.recall(KIND, KEY) == value
    assert kept.recall(KIND, KEY + "!") is None and kept.recall("other", KEY) is None


def changed(path, raw):
    told = json.loads(raw)
    return json.dumps({**told, "value": "bfloat16"}).encode()


HARM = {
    "cut": lambda path, raw: raw[: len(raw) // 2],
    "empty": lambda path, raw: b"",
    "rubbish": lambda path, raw: os.urandom(200),
    "other JSON": lambda path, raw: b"[1, 2]",
    "changed": changed,
    "of another key": lambda path, raw: raw.replace(b"machine", b"mashine"),
    "huge": lambda path, raw: b" " * (1 << 17) + raw,
}


@pytest.mark.parametrize("harm", HARM)
def test_what_is_not_whole_is_not_believed(kept, harm):
    kept.remember(KIND, KEY, "float32")
    path = entry(kept)
    path.write_bytes(HARM[harm](path, path.read_bytes()))
    assert kept.recall(KIND, KEY) is None
    assert kept.remember(KIND, KEY, "float32") and kept.recall(KIND, KEY) == "float32"


def test_a_link_or_a_folder_that_others_may_write_is_not_believed(kept, tmp_path):
    kept.remember(KIND, KEY, "float32")
    path = entry(kept)
    path.parent.chmod(0o777)
    assert kept.recall(KIND, KEY) is None
    path.parent.chmod(0o700)
    os.rename(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert kept.recall(KIND, KEY) is None


def test_a_folder_that_cannot_be_made_changes_nothing(kept):
    kept.folder.write_text("a file where the folder should be")
    assert kept.remember(KIND, KEY, "float32") is False
    assert kept.recall(KIND, KEY) is None
    assert kept.forget() == 0


def test_what_is_forgotten_leaves_everything_else_in_the_folder(kept):
    kept.remember(KIND, KEY, "float32")
    kept.remember("fingerprint", KEY, "ff")
    others = [kept.folder / KIND / "mine.json", kept.folder / "notes" / "a.json", kept.folder / KIND / "b.txt"]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.write_text("{}")
    assert kept.forget() == 2
    assert kept.recall(KIND, KEY) is None
    assert all(other.exists() for other in others)


def test_the_doctor_forgets(tmp_path):
    cache = Remembered("VSEARCH_CACHE", "cache")
    environment = {**os.environ, "VSEARCH_CACHE": str(tmp_path)}
    code = "from vsearch.remembered import CACHE; CACHE.remember('kind', 'key', 1)"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    command = [sys.executable, "-m", "vsearch", "doctor", "--forget"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stderr == f"vsearch: 1 findings dropped from {tmp_path}\n" and done.stdout == ""
    assert cache.variable == "VSEARCH_CACHE" and not list(tmp_path.glob("*/*.json"))
