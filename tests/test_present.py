"""Presenters, against literal text and independent readers (json, csv, HTML parser, terminal protocols by hand)."""

import base64
import csv as csv_module
import io
import json
import os
import pty
import re
import threading
import tty
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vsearch.present import (
    Protocol,
    Section,
    csv,
    detect,
    html,
    json_lines,
    nul,
    paths,
    preview,
    printable,
    printable_lines,
    table,
)
from vsearch.present.grid import Grid
from vsearch.present.preview import blocks, iterm2, kitty
from vsearch.present.sheet import jpeg
from vsearch.present.sixel import sixel
from vsearch.types import Hit

APPLE = Hit(1, 7, 0.9701425, b"/photos/red apple.jpg", "A red apple.", 640, 480, confidence=0.75)
ODD = Hit(2, 9, -0.25, b"/photos/\xff\n\x1b[31m.png", None, 1, 2)
HITS = [APPLE, ODD]
HOSTILE = '<img src=x onerror="alert(1)"> & \u202egnp \x1b]0;x\x07 \ud800'


# ---------------------------------------------------------------- for programs


def test_json_lines_golden():
    assert json_lines(HITS) == (
        '{"rank": 1, "id": 7, "score": 0.970143, "confidence": 0.75, "uri": "file:///photos/red%20apple.jpg", '
        '"path": "/photos/red apple.jpg", "caption": "A red apple.", "width": 640, "height": 480}\n'
        '{"rank": 2, "id": 9, "score": -0.25, "confidence": null, "uri": "file:///photos/%FF%0A%1B%5B31m.png", '
        '"path": "/photos/\ufffd\\n\\u001b[31m.png", "path_b64": "L3Bob3Rvcy//ChtbMzFtLnBuZw==", '
        '"caption": null, "width": 1, "height": 2}\n'
    )


def test_json_is_always_utf8_and_never_nan():
    line = json_lines([Hit(1, 1, float("nan"), b"/\xed\xa0\x80", "a\ud83dz é 😀", 0, 0)])
    told = json.loads(line.encode("utf-8"), parse_constant=pytest.fail)
    assert told["score"] is None
    assert told["caption"] == "a\ufffdz é 😀"
    assert base64.b64decode(told["path_b64"]) == b"/\xed\xa0\x80"


def test_csv_reads_back():
    told = list(csv_module.DictReader(io.StringIO(csv([APPLE, Hit(2, 3, 0.5, b"/a,b", 'x "y"\nz', 3, 4)]))))
    assert list(told[0]) == ["rank", "id", "score", "confidence", "uri", "path", "caption", "width", "height"]
    assert told[0]["score"] == "0.970143"
    assert (told[1]["path"], told[1]["caption"]) == ("/a,b", 'x "y"\nz')


def test_paths_keep_their_bytes_but_on_a_terminal():
    assert nul(HITS) == b"/photos/red apple.jpg\0/photos/\xff\n\x1b[31m.png\0"
    assert paths(HITS, escape=False) == b"/photos/red apple.jpg\n/photos/\xff\n\x1b[31m.png\n"
    assert paths(HITS, escape=True) == b"/photos/red apple.jpg\n/photos/\\udcff\\n\\x1b[31m.png\n"


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("é 😀 漢 👩\u200d🚀", "é 😀 漢 👩\u200d🚀"),
        ("a\tb\r\x7f\x9b", "a\\tb\\r\\x7f\\x9b"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        (b"\xff\x1b", "\\udcff\\x1b"),
        ("\u2028", "\\u2028"),
    ],
)
def test_printable_escapes_what_a_terminal_would_obey(raw, safe):
    assert printable(raw) == safe


# ---------------------------------------------------------------- the table


def drawn(hits: list[Hit], base: bytes = b"", width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False, color_system=None).print(table(hits, base))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_table_golden():
    assert drawn(HITS, base=b"/photos") == (
        "#    score   confidence   picture                caption\n"
        "─────────────────────────────────────────────────────────────\n"
        "1    0.970         0.75   red apple.jpg          A red apple.\n"
        "2   -0.250                \\udcff\\n\\x1b[31m.png"
    )


def test_table_takes_names_as_text_and_never_as_markup():
    told = drawn([Hit(1, 1, 0.5, b"/p/[bold]x[/bold].jpg", "[red]\x07 " + "w" * 300, 1, 1)], b"/p", width=400)
    assert "[bold]x[/bold].jpg" in told and "[red]\\x07" in told and "\x07" not in told
    assert "w" * 192 + "…" in told and "w" * 193 not in told


def test_a_path_outside_the_base_stays_absolute():
    assert "/photos/red apple.jpg" in drawn([APPLE], base=b"/pho")


# ---------------------------------------------------------------- the contact sheet


class Page(HTMLParser):
    """What a browser would make of the page: tags with attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def red(paths: Sequence[bytes], side: int) -> Iterator[Image.Image | None]:
    for path in paths:
        yield None if path == ODD.raw_path else Image.new("RGB", (side, side // 2), (200, 0, 0))


def test_sheet_has_a_section_for_each_query_with_its_pictures_inside():
    page = Page(html([Section("a red apple", HITS), Section("nothing", [])], red, title="Fruit"))
    assert [text for text in page.text if text in ("a red apple", "nothing", "Nothing found.")] == [
        "a red apple",
        "nothing",
        "Nothing found.",
    ]
    assert "2 pictures for 2 queries, best first" in page.text
    assert "A red apple." in page.text and "0.970" in page.text and "-0.250" in page.text
    assert "this picture is gone or cannot be read" in page.text
    (image,) = page.all("img")
    assert (image["width"], image["height"], image["alt"]) == ("400", "200", "A red apple.")
    data = base64.b64decode(image["src"].removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (400, 200)
        assert np.allclose(np.asarray(picture).mean((0, 1)), (200, 0, 0), atol=3)


def test_sheet_shows_hostile_names_as_text():
    hit = Hit(1, 1, 0.5, b"/p/" + HOSTILE.replace("\ud800", "").encode(), HOSTILE, 1, 1)
    text = html([Section(HOSTILE, [hit])], red, title=HOSTILE)
    page = Page(text)
    assert len(page.all("img")) == 1 and page.all("img")[0]["src"].startswith("data:image/jpeg;base64,")
    assert not page.all("script")
    assert not any(key.startswith("on") or key == "style" for _, attributes in page.tags for key in attributes)
    assert '<img src=x onerror="alert(1)"> & \\u202egnp \\x1b]0;x\\x07 \\ud800' in page.text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e\ud800-\udfff]", text)
    assert page.all("a")[0]["href"] == hit.uri


def test_sheet_allows_nothing_but_its_own_style_and_pictures():
    import hashlib

    text = html([Section("q", HITS)], red)
    style = re.search("<style>(.*)</style>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [m["content"] for m in Page(text).all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert "url(" not in style and "@import" not in style


def test_sheet_takes_no_more_pictures_in_than_it_may():
    hits = [Hit(n, n, 0.5, b"/%d" % n, None, 1, 1) for n in range(1, 4)]
    one = len(jpeg(next(red([b""], 400)), 400))
    page = Page(html([Section("q", hits)], red, max_bytes=one + 1))
    assert len(page.all("img")) == 2
    assert page.text.count("left out: the page is full") == 1


def test_thumbnails_are_small_over_white_and_without_metadata():
    clear = Image.new("RGBA", (1000, 500), (255, 0, 0, 0))
    clear.info["exif"] = b"Exif\0\0secret"
    clear.info["comment"] = b"secret"
    data = jpeg(clear, 400)
    assert b"secret" not in data
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (400, 200) and not picture.getexif()
        assert np.asarray(picture).min() >= 254


# ---------------------------------------------------------------- pictures in the terminal

TILE = Image.new("RGB", (3, 3), (255, 0, 0))
TILE.putpixel((0, 1), (0, 0, 255))


def test_half_blocks_golden():
    red, blue = "2;255;0;0", "2;0;0;255"
    assert blocks(TILE) == (
        f"\x1b[38;{red};48;{blue}m▀\x1b[38;{red};48;{red}m▀\x1b[38;{red};48;{red}m▀\x1b[0m\n"
        + f"\x1b[38;{red};49m▀" * 3
        + "\x1b[0m\n"
    )


def test_kitty_pieces_join_to_the_picture():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8))
    told = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty(noise))
    assert told[0][0] == "a=T,f=100,q=2,m=1" and told[-1][0] == "m=0" and len(told) > 2
    assert all(len(piece) <= 4096 for _, piece in told)
    with Image.open(io.BytesIO(base64.b64decode("".join(piece for _, piece in told)))) as back:
        assert np.array_equal(np.asarray(back), np.asarray(noise))


def test_iterm2_carries_the_picture():
    told = re.fullmatch(r"\x1b]1337;File=inline=1;size=(\d+);width=3px;height=3px:([^\x07]*)\x07\n", iterm2(TILE))
    data = base64.b64decode(told[2])
    assert len(data) == int(told[1])
    with Image.open(io.BytesIO(data)) as back:
        assert np.array_equal(np.asarray(back), np.asarray(TILE))


def sixel_pixels(text: str) -> np.ndarray:
    """A terminal's side of sixel, written from the manual."""
    told = re.fullmatch(r'\x1bP0;1q"1;1;(\d+);(\d+)(.*)\x1b\\', text)
    width, height = int(told[1]), int(told[2])
    out = np.full((height + 6, width, 3), -1)
    palette, colour, x, y = {}, 0, 0, 0
    for number, percent, move, count, cell in re.findall(r"#(\d+)((?:;\d+){4})?|([$-])|(?:!(\d+))?([?-~])", told[3]):
        if number:
            colour = int(number)
            if percent:
                palette[colour] = [round(int(v) * 2.55) for v in percent.split(";")[2:]]
        elif move:
            x, y = 0, y + (6 if move == "-" else 0)
        else:
            for _ in range(int(count or 1)):
                for bit in range(6):
                    if (ord(cell) - 63) >> bit & 1:
                        out[y + bit, x] = palette[colour]
                x += 1
    assert (out[height:] == -1).all()
    return out[:height]


@pytest.mark.parametrize("size", [(3, 3), (20, 13), (40, 12)])
def test_sixel_draws_every_pixel(size):
    rows = np.random.default_rng(1).integers(0, 3, (size[1], size[0]))
    pixels = np.array([(255, 0, 0), (0, 102, 255), (255, 255, 255)], np.uint8)[np.repeat(rows, 1, 0)]
    drawn_pixels = sixel_pixels(sixel(Image.fromarray(pixels)))
    assert np.abs(drawn_pixels - pixels).max() <= 3


def test_preview_writes_each_picture_and_a_line():
    text = list(preview(HITS, red, Protocol.BLOCKS, base=b"/photos"))
    assert text[0].count("\n") == 10 and text[0].count("▀") == 400
    assert text[1:] == [
        "1  0.970  red apple.jpg  A red apple.\n\n",
        "[gone, or cannot be read]\n",
        "2  -0.250  \\udcff\\n\\x1b[31m.png\n\n",
    ]


def asked(answer: bytes | None, env: dict[str, str], timeout: float = 5) -> tuple[Protocol, bytes]:
    """What is detected on a pseudo-terminal whose other side gives that answer to the question."""
    outside, inside = pty.openpty()
    tty.setraw(outside)
    question = bytearray()

    def terminal() -> None:
        while not question.endswith(b"\x1b[c"):
            question.extend(os.read(outside, 64))
        if answer:
            os.write(outside, answer)

    thread = threading.Thread(target=terminal)
    thread.start()
    try:
        return detect(inside, env, timeout), bytes(question)
    finally:
        thread.join(10)
        os.close(outside)
        os.close(inside)


@pytest.mark.parametrize(
    ("answer", "env", "protocol"),
    [
        (b"\x1b_Gi=31;OK\x1b\\\x1b[?62;c", {}, Protocol.KITTY),
        (b"\x1b_Gi=31;ENOTSUPPORTED:x\x1b\\\x1b[?62;4;22c", {}, Protocol.SIXEL),
        (b"\x1bP>|iTerm2 3.5.0\x1b\\\x1b[?62;4c", {}, Protocol.ITERM2),
        (b"\x1b[?62;4c", {"LC_TERMINAL": "iTerm2"}, Protocol.ITERM2),
        (b"\x1b[?62;4c", {"LC_TERMINAL": "iTerm2", "TMUX": "/tmp/x"}, Protocol.SIXEL),
        (b"\x1b[?64;14;42c", {}, Protocol.BLOCKS),
    ],
)
def test_the_protocol_is_what_the_terminal_answers(answer, env, protocol):
    assert asked(answer, env)[0] is protocol


def test_a_terminal_that_says_nothing_gets_half_blocks_after_a_moment():
    assert asked(None, {}, timeout=0.05)[0] is Protocol.BLOCKS


def test_no_terminal_or_a_dumb_one_is_not_asked(tmp_path: Path):
    assert detect(None, {"TERM_PROGRAM": "iTerm.app"}) is Protocol.BLOCKS
    with open(tmp_path / "file", "w+") as file:
        assert detect(file.fileno(), {}) is Protocol.BLOCKS
        assert file.read() == ""


# ---------------------------------------------------------------- rows in columns

CELLS = st.text(st.sampled_from("ab é日本🍎 -/\n"), max_size=30).map(lambda text: text.strip("\n"))
TABLES = st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=5))


def by_rich(header: list[str], rows: list[list[str]]) -> list[str]:
    """What rich makes of the same, in lines of any length."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, show_header=bool(header))
    for _ in rows[0]:
        made.add_column(Text(header.pop(0)) if header else "", overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    out = io.StringIO()
    Console(file=out, width=10_000, color_system=None).print(made)
    return [line.rstrip() for line in out.getvalue().split("\n")[:-1]]


@settings(max_examples=200, deadline=None)
@given(TABLES, st.booleans())
def test_a_grid_is_laid_out_as_rich_lays_it_out(rows, headed):
    rows[0] = [f"x{cell}" for cell in rows[0]]  # rich has its own way with columns in which there is nothing
    header, *below = rows if headed and len(rows) > 1 else [[], *rows]
    header = [title.replace("\n", " ") for title in header]
    assert list(Grid(header, below).lines()) == by_rich(list(header), below)


@settings(max_examples=200, deadline=None)
@given(TABLES, st.integers(20, 60))
def test_a_grid_fits_a_terminal_and_loses_nothing_but_blanks(rows, width):
    lines = list(Grid((), rows).lines(width))
    assert all(cell_len(line) <= width for line in lines)
    letters = sorted("".join("".join(row) for row in rows).replace(" ", "").replace("\n", ""))
    assert sorted("".join(lines).replace(" ", "")) == letters


def test_a_grid_breaks_at_words_and_escapes_what_a_terminal_would_obey():
    grid = Grid(("file", "reason"), [("a\x1b[5m.jpg", "the file ends before the picture does"), ("x" * 30, "y")])
    assert list(grid.lines(34, bold=True)) == [
        "\x1b[1mfile              reason\x1b[0m",
        "─" * 33,
        "a\\u001b[5m.jpg    the file ends",
        "                  before the",
        "                  picture does",
        "xxxxxxxxxxxxxxx   y",
        "xxxxxxxxxxxxxxx",
    ]
    assert list(Grid((), []).lines()) == []


def test_lines_for_a_terminal_keep_json_what_it_is():
    values = {"path": "a\x1b\x7f\x9b\u2028\u202e\udcff\n\t日"}
    raw = json.dumps(values, ensure_ascii=False) + "\n"
    shown = printable_lines(raw)
    assert json.loads(shown) == values and "\x9b" in raw and "\x9b" not in shown
    assert shown.endswith('日"}\n') and printable_lines("a\tb\nc\r") == "a\\u0009b\nc\\u000d"
