"""Captions and tables of other programs: encodings as Python's codecs write them, names as systems spell them."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from pathlib import Path

import pytest
from PIL import Image

import vsearch
from vsearch.sources.encodings import detected, text_of

TEXTS = {
    "cp1252": "Grüße aus München, niño pequeño, rød blomst, «garçon»",
    "latin-1": "Äpfel auf dem Tisch und ein Hündchen auf der Straße",
    "cp1251": "красное яблоко на деревянном столе, собака на траве",
    "cp932": "赤いリンゴが木のテーブルの上にある",
    "gb18030": "一只红苹果在木桌上，旁边有一只狗",
    "big5": "一隻紅蘋果在木桌上，旁邊有一隻狗",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_texts_without_a_mark_are_read_by_their_letters(encoding):
    assert text_of(TEXTS[encoding].encode(encoding)) == TEXTS[encoding]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", ["", "Grüße", "赤いリンゴ", "🐕"])
def test_marks_and_utf_8_are_taken_at_their_word(encoding, text):
    assert text_of(text.encode(encoding)) == text


@pytest.mark.parametrize("text", ["Grüße", "café", "niño"])
def test_short_texts_are_western(text):
    assert text_of(text.encode("cp1252")) == text


def test_what_nothing_can_read_is_replaced():
    assert "\ufffd" in text_of(b"\x81\x8d\x8f" * 20) or text_of(b"\x81\x8d\x8f" * 20)
    assert text_of("x".encode("utf-16") + b"\0") == "x\ufffd"
    assert detected([]) == "cp1252"
    long = ("a" + "é" * 40_000).encode()[: 1 << 16]  # ends in the middle of a letter
    assert text_of(long) == long.decode("utf-8", "replace")


def picture(path: Path) -> Path:
    Image.new("RGB", (8, 8), "red").save(path, "PNG")
    return path


NAMES = [
    ("IMG.PNG", "IMG.TXT"),
    ("a.png", "a.Txt"),
    ("b.PNG", "b.txt"),
    (unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.txt")),
    (unicodedata.normalize("NFD", "ö.png"), unicodedata.normalize("NFC", "ö.TXT")),
]


@pytest.mark.parametrize("image, text", NAMES)
def test_a_caption_is_found_however_its_name_is_spelled(tmp_path, image, text):
    picture(tmp_path / image)
    (tmp_path / text).write_bytes("Grüße".encode("utf-16"))
    (by_folder,) = vsearch.folder(tmp_path)
    (by_name,) = vsearch.pictures([tmp_path / image])
    assert by_folder.caption == by_name.caption == "Grüße"
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
        made.write(tmp_path / image, image)
        made.write(tmp_path / text, text)
    (member,) = vsearch.archive(tmp_path / "x.zip")
    assert member.caption == "Grüße"


def test_the_name_as_it_is_goes_before_other_spellings(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("small")
    (tmp_path / "a.TXT").write_text("capital")
    (item,) = vsearch.folder(tmp_path)
    assert item.caption == "small"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_a_table_loses_no_letter_and_says_how_it_was_read(tmp_path, encoding):
    picture(tmp_path / "a.png")
    told = io.StringIO("filepath,title,Größe\na.png,Grüße aus München,schön\n")
    (tmp_path / "t.csv").write_bytes(told.getvalue().encode(encoding))
    with vsearch.create(tmp_path / "i.vsearch", "toy") as index:
        report = index.add(vsearch.table(tmp_path / "t.csv"))
        (hit,) = index.search("red", where="größe = 'schön'")
        assert hit.caption == "Grüße aus München"
    remarks = [warning for warning in report.warnings if "read as" in warning]
    assert [encoding in remark for remark in remarks] == ([True] if encoding in ("cp1252", "utf-16") else [])


def test_paths_in_a_table_keep_their_bytes(tmp_path):
    name = bytes(tmp_path) + "/Grüße.png".encode("latin-1")
    picture(tmp_path / "plain.png").rename(name.decode("utf-8", "surrogateescape"))
    (tmp_path / "t.csv").write_bytes("filepath,title\nGrüße.png,schöne Grüße aus München\n".encode("latin-1"))
    (item,) = vsearch.table(tmp_path / "t.csv")
    assert (item.path, item.caption) == (name, "schöne Grüße aus München")
