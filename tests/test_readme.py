"""What the README tells people to type is typed here: its Python block and its commands, on three pictures."""

import re
import shlex
from pathlib import Path

import pytest
from drawn_pictures import draw_three
from forked import run

README = Path(__file__).parent.parent / "README.md"
TESTED = re.compile(r"<!-- tested -->\n```(\w+)\n(.*?)```", re.DOTALL)


def blocks(language: str) -> list[str]:
    """The blocks that are marked as tested, of one language."""
    return [body for found, body in TESTED.findall(README.read_text(encoding="utf-8")) if found == language]


def commands() -> list[list[str]]:
    """Every command of the tested console blocks, as words."""
    lines = (line for block in blocks("console") for line in block.splitlines())
    return [shlex.split(line.removeprefix("$ "), comments=True) for line in lines if line.startswith("$ ")]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with three pictures in ``photos``, no network and no model in any cache."""
    draw_three(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-cache"))
    monkeypatch.delenv("VSEARCH_INDEX", raising=False)
    return tmp_path


def test_the_ten_lines_of_python_do_what_they_say(here: Path, capsys: pytest.CaptureFixture[str]):
    (block,) = blocks("python")
    assert len(block.strip().splitlines()) <= 11  # ten lines and a blank one
    names: dict = {}
    exec(compile(block, str(README), "exec"), names)
    first, *hits = capsys.readouterr().out.splitlines()
    assert first == "3 pictures indexed, 0 could not be read"
    assert sorted(line.split("/")[-1] for line in hits) == ["apple.jpg", "meadow.jpg", "sky.jpg"]
    others = {here / "photos" / "meadow.jpg", here / "photos" / "sky.jpg"}
    assert {hit.path for hit in names["alike"]} == {hit.path for hit in names["mixed"]} == others


def test_the_commands_do_what_they_say(here: Path):
    typed = commands()
    assert {words[1] for words in typed} >= {"index", "query", "info", "errors", "check"}
    for program, *words in typed:
        assert program == "vsearch"
        code, _, err = run(*words, cwd=here)
        expected = 1 if words[0] in ("errors", "dups") else 0  # there is nothing to find
        assert code in (0, expected), f"{words}: {err}"
    assert (here / "photos.vsearch" / "FORMAT").is_file()
    assert "apple.jpg" in (here / "found.html").read_text(encoding="utf-8")


def test_blocks_are_found():
    assert [len(blocks(language)) for language in ("python", "console")] == [1, 1]
