"""S15: a model is tensors and JSON: nothing that comes with it runs, and nothing is believed before it fits."""

import os
import shutil

import pytest
from hostile_models import CASES, HEADS, MARK, write, write_heads

from tests.durability.escapes import escapes, programs, strace
from tests.durability.trace import find_strace
from tests.durability.zygote import Zygote

MODULES = (
    "torch",
    "open_clip.factory",
    "timm",
    "transformers.models.auto",
    "vsearch.embed.openclip",
    "vsearch.embed.heads",
)
MOST_MEGABYTES = 400
LOOKS_FOR_LIBRARIES = {"ldconfig"}  # torch, when it is imported
LOADED = {"whole numbers for weights"}  # torch makes floats of them


class Trial:
    """A process to fork from, watched."""

    def __init__(self, folder):
        self._own = folder / "data"
        (folder / "trace").touch()
        self._zygote = Zygote(modules=MODULES, under=strace(folder / "trace"))
        self._log = open(folder / "trace", encoding="ascii")

    def close(self):
        self._zygote.__exit__()
        self._log.close()

    def __call__(self, name, place):
        """How it ended, and what it touched outside its folder or started."""
        self._log.readlines()
        ended = self._zygote.call("tests.hostile_models:try_model", name=name, cwd=str(place))
        lines = self._log.readlines()
        started = [name for name in programs(lines) if os.path.basename(name) not in LOOKS_FOR_LIBRARIES]
        return ended, [*escapes(lines, [place, self._own], {}), *started]


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    if find_strace() is None:
        pytest.skip("strace is not installed")
    folder = tmp_path_factory.mktemp("watched")
    data = folder / "data"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("VSEARCH_DATA", "VSEARCH_CACHE", "TMPDIR", "HF_HOME"):
            data.joinpath(name).mkdir(parents=True)
            patch.setenv(name, str(data / name))
        patch.setenv("HF_HUB_OFFLINE", "1")
        made = Trial(folder)
        yield made
        made.close()


def test_the_sound_model_is_loaded(trial, tmp_path):
    from tests.small_clip import save_model

    save_model(tmp_path / "model")
    ended, touched = trial("", tmp_path)
    assert ended.ok and ended.value["told"] == "loaded" and touched == []


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_model_runs_nothing_and_is_told_apart(trial, tmp_path, name):
    write(name, tmp_path)
    ended, touched = trial(name, tmp_path)
    assert ended.ok, ended
    assert not (tmp_path / MARK).exists()
    assert touched == []
    assert ended.value["told"].startswith("loaded" if name in LOADED else "Encoder"), ended.value
    assert ended.value["megabytes"] < MOST_MEGABYTES


@pytest.mark.parametrize("name", HEADS)
def test_heads_that_do_not_fit_are_refused(trial, tmp_path, name):
    write_heads(name, tmp_path / "model")
    ended, touched = trial(name, tmp_path)
    assert ended.ok, ended
    assert touched == [] and ended.value["told"].startswith("Encoder"), ended.value


def test_there_are_enough_of_them():
    assert len(CASES) >= 40


def test_the_payload_would_run(tmp_path, monkeypatch):
    """Read as the libraries read it when they are not told otherwise, each kind of code does make its mark."""
    import pickle

    write("a pickle", tmp_path)
    monkeypatch.chdir(tmp_path)
    pickle.loads((tmp_path / "model" / "open_clip_pytorch_model.bin").read_bytes())
    assert (tmp_path / MARK).is_dir()
    os.rmdir(tmp_path / MARK)
    shutil.rmtree(tmp_path / "model")
    write("remote code asked for", tmp_path)
    exec((tmp_path / "model" / "evil.py").read_text())
    assert (tmp_path / MARK).is_dir()
