"""S15: an encoder that only a file names is loaded after the user has named it, and not before."""

import json
import os
import pty
import subprocess
import sys

import numpy as np
import pytest

import vsearch
from tests.small_clip import save_model
from vsearch.embed import known, load_encoder, load_pinned, name_encoder
from vsearch.errors import EncoderError, EncoderMismatch, EncoderUnknown
from vsearch.index import open_index
from vsearch.rerank.model import Matcher, MatcherConfig
from vsearch.rerank.saved import save_matcher
from vsearch.store import Store
from vsearch.types import EncoderInfo, PixelSpec


@pytest.fixture(autouse=True)
def newcomer(tmp_path, monkeypatch):
    """A user who has agreed to nothing yet."""
    monkeypatch.setenv("VSEARCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def info(name, dim=24):
    return EncoderInfo(name, "0" * 64, dim, PixelSpec(32))


def index_of(path, encoder_info):
    """An index as a stranger sends it."""
    Store.create(path, encoder_info).close()
    return path


HARMLESS = ["mini", "mini:untrained", "toy", "external:clip:24", "openclip:ViT-B-32/laion2b_s34b_b79k"]
FOREIGN = ["local-dir:/tmp/model", "hf-hub:someone/model"]
NONSENSE = [
    *("local-dir:model", "local-dir:./model", "local-dir:../model", "local-dir:~/model", "local-dir:/a/../b"),
    *(
        "local-dir:/a\0b",
        "model",
        "./model",
        "/tmp/model",
        "ViT-B-32/laion2b",
        "hf-hub:../x",
        "hf-hub:x",
        "hf-hub:a/b/c",
    ),
    *("hf-hub:a/../b", "openclip:../x", "openclip:a/b/c", "openclip:local-dir:/x/y", "openclip:hf-hub:a/b"),
    *("", "auto", "file:///x", "mini/../x", "toy\n"),
]


@pytest.mark.parametrize("name", HARMLESS)
def test_what_comes_from_where_it_always_comes_from_is_known(name):
    known.check(name, "x")


@pytest.mark.parametrize("name", FOREIGN)
def test_a_model_from_elsewhere_is_known_once_it_was_named(name):
    with pytest.raises(EncoderUnknown, match=rf"--encoder {name}"):
        known.check(name, "their.vsearch")
    name_encoder(name)
    known.check(name, "their.vsearch")
    with pytest.raises(EncoderUnknown):
        known.check(name + "2", "their.vsearch")


@pytest.mark.parametrize("name", NONSENSE)
def test_a_name_that_is_not_absolute_is_refused_whatever_was_named(name):
    known.note(name)
    with pytest.raises(EncoderError, match="no name that vsearch writes") as refused:
        known.check(name, "their.vsearch")
    assert not isinstance(refused.value, EncoderUnknown)


def test_nobody_else_can_agree_for_the_user(newcomer):
    name_encoder(FOREIGN[0])
    known.check(FOREIGN[0], "x")
    os.chmod(newcomer / known.KIND, 0o777)
    with pytest.raises(EncoderUnknown):
        known.check(FOREIGN[0], "x")
    os.chmod(newcomer / known.KIND, 0o700)
    (entry,) = (newcomer / known.KIND).iterdir()
    entry.write_text(entry.read_text().replace("model", "other"))
    with pytest.raises(EncoderUnknown):
        known.check(FOREIGN[0], "x")


@pytest.fixture
def theirs(tmp_path):
    """A model in a folder, and an index that was made with it elsewhere."""
    folder = save_model(tmp_path / "model")
    made = load_encoder(str(folder)).info
    known.DATA.forget()
    return index_of(tmp_path / "their.vsearch", made), made.name


def test_an_index_does_not_load_the_model_that_it_names(theirs, monkeypatch):
    place, name = theirs
    with open_index(place) as index, pytest.raises(EncoderUnknown, match=r"their\.vsearch was made with the encoder"):
        index.search("red")
    with vsearch.open(place, encoder=name) as index:
        assert index.search("red") == []
    with open_index(place) as index:
        assert index.search("red") == [], "named once is enough"


def test_naming_another_encoder_does_not_help(theirs):
    place, name = theirs
    with pytest.raises(EncoderMismatch):
        vsearch.open(place, encoder="toy")
    with open_index(place) as index, pytest.raises(EncoderUnknown):
        index.search("red")


def test_the_fingerprint_still_has_to_fit(theirs, tmp_path):
    place, name = theirs
    save_model(tmp_path / "model", seed=5)
    with open_index(place) as index:
        name_encoder(name)
        with pytest.raises(EncoderMismatch):
            index.search("red")


def test_a_reranker_does_not_load_the_towers_that_it_names(theirs, tmp_path):
    from vsearch.rerank import Reranker

    _, name = theirs
    save_matcher(Matcher(MatcherConfig(name, 4, 8, 8, 8, 2)), tmp_path / "reranker")
    with pytest.raises(EncoderUnknown, match="reranker"):
        Reranker.load(tmp_path / "reranker")
    name_encoder(name)
    assert Reranker.load(tmp_path / "reranker").towers.name == name


def vsearch_says(*words, cwd, newcomer, answer=None):
    """Exit code and standard error of the command, on a terminal where there is somebody to answer."""
    env = {**os.environ, "VSEARCH_DATA": str(newcomer), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-m", "vsearch", *words]
    if answer is None:
        done = subprocess.run(program, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return done.returncode, done.stderr
    ours, terminal = pty.openpty()
    os.write(ours, answer.encode())
    with subprocess.Popen(program, cwd=cwd, env=env, stdin=terminal, stdout=subprocess.PIPE, stderr=terminal) as child:
        os.close(terminal)
        told = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # nobody has the other end any more
                break
            told += piece
        child.communicate()
    os.close(ours)
    return child.returncode, told.decode()


def test_the_command_asks_on_a_terminal_and_names_the_option_elsewhere(theirs, tmp_path, newcomer):
    place, name = theirs
    words = ("query", "red", "--index", str(place))
    code, said = vsearch_says(*words, cwd=tmp_path, newcomer=newcomer)
    assert code == 2 and f"--encoder {name}" in said
    code, said = vsearch_says(*words, cwd=tmp_path, newcomer=newcomer, answer="n\n")
    assert code == 130 and "[y/N]" in said
    code, said = vsearch_says(*words, cwd=tmp_path, newcomer=newcomer)
    assert code == 2, "no is not remembered as yes"
    code, said = vsearch_says(*words, cwd=tmp_path, newcomer=newcomer, answer="y\n")
    assert code == 1 and "nothing found" in said
    code, said = vsearch_says(*words, cwd=tmp_path, newcomer=newcomer)
    assert code == 1 and "nothing found" in said


def test_the_option_names_it(theirs, tmp_path, newcomer):
    place, name = theirs
    code, said = vsearch_says("query", "red", "--index", str(place), "--encoder", name, cwd=tmp_path, newcomer=newcomer)
    assert code == 1 and "nothing found" in said


def test_pinned_names_are_checked_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "model")
    with pytest.raises(EncoderError, match="no name that vsearch writes"):
        load_pinned(info("local-dir:model"), "their.vsearch")
    with pytest.raises(EncoderError, match="no name that vsearch writes"):
        load_pinned(info("model"), "their.vsearch")


def test_an_index_of_vectors_alone_needs_nobody(tmp_path):
    place = index_of(tmp_path / "x.vsearch", load_encoder("external:theirs:24").info)
    with open_index(place, write=True) as index:
        index.add_vectors(["a"], np.ones((1, 24), np.float32))
        assert len(index.search_vectors(np.ones((1, 24), np.float32) / np.sqrt(24), 1)[1]) == 1


def test_the_entry_is_plain_json(newcomer):
    name_encoder(FOREIGN[1])
    (entry,) = (newcomer / known.KIND).iterdir()
    assert json.loads(entry.read_text())["key"] == FOREIGN[1]
    assert entry.stat().st_mode & 0o777 == 0o600
