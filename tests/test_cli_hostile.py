"""Every option and argument of every command, found by walking click's tree, is given hostile values: none ends in a
traceback, and each is answered with one of the documented exit codes."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click
import numpy as np
import pytest
from PIL import Image

import vsearch
from vsearch.cli.app import app
from vsearch.cli.run import Exit, run

VALUES = ["", "-1", "nan", "9" * 30, "caf\udce9", "x" * 5000, "\x1b[5m\u202e", "."]

# What commands are given that would go on for ever, train, or ask the network, if all else were right.
NOWHERE = {
    "watch": {"folders": "nowhere"},
    "serve": {"indexes": "nowhere"},
    "fetch": {"url": "nowhere"},
    "train": {"pairs": "nowhere"},
    "train-reranker": {"pairs": "nowhere"},
}
PLAIN = {"folders": "p", "folder": "p", "images": "p/red.png", "pairs": "pairs.csv", "vectors": "one.npy"}
PLAIN |= {"id": "0", "labels": "red,blue", "by": "red,blue", "destination": "out", "out": "out", "to": "clip-retrieval"}
FOLLOWED = {"", "."}  # are the current folder, which is watched and served for good
SECONDS = 20  # of one command, which takes hundredths


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """All commands that do something, by what is typed for them."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(app))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures, an index of them, vectors and a table."""
    place = tmp_path_factory.mktemp("hostile")
    (place / "p").mkdir()
    for name in ("red", "blue"):
        Image.new("RGB", (8, 8), name).save(place / "p" / f"{name}.png")
    with vsearch.create(place / "x.vsearch", encoder="toy") as index:
        assert index.add(vsearch.folder(place / "p")).added == 2
    np.save(place / "one.npy", np.eye(64, dtype=np.float32)[:1])
    (place / "pairs.csv").write_text("filepath,title\np/red.png,red\n")
    return place


@pytest.fixture
def here(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it as current folder; a command that hangs is stopped."""
    shutil.copytree(model, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("VSEARCH_INDEX", "x.vsearch")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM)}
    signal.signal(signal.SIGALRM, hangs)
    yield tmp_path / "here"
    signal.alarm(0)
    for number, handler in before.items():
        signal.signal(number, handler)


def hangs(number: int, frame: FrameType | None) -> None:
    raise AssertionError("the command does not end")


def line(name: str, tried: click.Parameter, value: str | None) -> list[str]:
    """A command line in which one parameter has a value, None for a switch, and all that must be there is there."""
    options, arguments = name.split(), []
    for parameter in COMMANDS[name].params:
        given = NOWHERE.get(name, {}).get(str(parameter.name)) or PLAIN.get(str(parameter.name), "nowhere")
        text = value if parameter is tried else given if parameter.required else None
        if isinstance(parameter, click.Option):
            if parameter is tried or parameter.required:
                options += [parameter.opts[-1], *([] if text is None else [text])]
        elif text is not None or name in NOWHERE:
            arguments.append(given if text is None else text)
    return [*options, "--", *arguments]


def ends_well(words: list[str]) -> int:
    signal.alarm(SECONDS)
    code = run(words)
    signal.alarm(0)
    assert code in (Exit.DONE, Exit.NOTHING_FOUND, Exit.ERROR, Exit.SOME_FAILED), words
    return code


@pytest.mark.parametrize("name", COMMANDS)
def test_no_value_of_any_parameter_ends_in_a_traceback(name: str, here: Path, capfd: pytest.CaptureFixture[str]):
    for parameter in COMMANDS[name].params:
        for value in [None] if getattr(parameter, "is_flag", False) else VALUES:
            if name in ("watch", "serve") and isinstance(parameter, click.Argument) and value in FOLLOWED:
                continue
            words = line(name, parameter, value)
            code = ends_well(words)
            out, err = capfd.readouterr()
            assert "Traceback" not in out + err, words
            assert code != Exit.ERROR or err.strip(), (words, "an error that says nothing")
            assert "\x1b[5m" not in out + err and "\u202e" not in out + err, words


@pytest.mark.parametrize(
    "words",
    [
        ["watch", "p", "--settle", "nan"],
        ["watch", "p", "--settle", "-1"],
        ["watch", "p", "--workers", "0"],
        ["watch", "p", "--encoder", "caf\udce9"],
        ["index", "p", "--frames", "nan"],
        ["index", "p", "--decode-seconds", "nan"],
        ["query", "red", "--min-confidence", "nan"],
        ["dups", "--threshold", "nan"],
    ],
)
def test_hostile_options_are_refused_before_anything_is_followed(
    words: list[str], here: Path, capfd: pytest.CaptureFixture[str]
):
    assert ends_well(words) == Exit.ERROR
    assert "following" not in capfd.readouterr().err


def test_a_backup_in_a_place_whose_name_is_not_utf8_is_whole(here: Path):
    assert ends_well(["backup", "caf\udce9"]) == Exit.DONE
    with vsearch.open(here / "caf\udce9") as index:
        assert len(index) == 2 and index.check().problems == ()
