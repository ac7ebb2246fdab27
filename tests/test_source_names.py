"""Which names are looked at, in folders and archives, and what is said of the others."""

import io
import json
import os
import subprocess
import tarfile
import zipfile
from collections import Counter

import pytest
from PIL import Image
from test_cli import run

import vsearch
from vsearch.errors import SourceError
from vsearch.ingest import archives
from vsearch.sources import PICTURE_SUFFIXES, archive, chain, folder, img2dataset, walk
from vsearch.sources.suffixes import count_by_suffix

TREE = [
    "a.jpg",
    "._a.jpg",
    ".hidden/b.jpg",
    "x/.c.jpg",
    "x/c.jpg",
    "__MACOSX/x/._c.jpg",
    "__MACOSX/d.jpg",
    "x/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
    "#recycle/e.jpg",
    "$Recycle.Bin/f.jpg",
    ".thumbnails/g.jpg",
    "drafts/h.jpg",
    "x/drafts/i.jpg",
    "x/j.png",
    "2019/k.png",
    "x/2019/l.png",
    "ünï/m.jpg",
]


@pytest.fixture
def places(tmp_path):
    """The same names as a folder, a zip and a tar, and the names that a source of each shows."""
    root = tmp_path / "tree"
    for name in TREE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as into, tarfile.open(tmp_path / "t.tar", "w") as tar:
        for name in TREE:
            into.write(root / name, name)
            tar.add(root / name, name)

    def shown(**options):
        inside = [archive(tmp_path / name, **options) for name in ("t.zip", "t.tar")]
        names = [sorted(os.fsdecode(i.path).partition("#")[2] for i in source) for source in inside]
        below = len(os.fsencode(root)) + 1
        return [sorted(os.fsdecode(i.path[below:]) for i in folder(root, **options)), *names]

    return shown


def test_names_are_looked_at_by_one_rule_in_folders_and_archives(places):
    plain = ["2019/k.png", "a.jpg", "drafts/h.jpg", "x/2019/l.png", "x/c.jpg", "x/drafts/i.jpg", "x/j.png", "ünï/m.jpg"]
    assert places() == [plain] * 3
    hidden = sorted([*plain, "._a.jpg", ".hidden/b.jpg", "x/.c.jpg"])
    assert places(hidden=True) == [hidden] * 3


PATTERNS = [
    ["*.png"],
    ["drafts/"],
    ["/drafts"],
    ["/2019/*.png"],
    ["x/**/i.jpg"],
    ["*", "!*/", "!c.jpg"],
    ["2019", "!x/2019"],
    ["ünï/"],
    ["[a-c].jpg"],
    ["# no pattern", ""],
]


@pytest.mark.parametrize("patterns", PATTERNS, ids=str)
def test_exclude_is_what_git_ignores(places, tmp_path, patterns):
    """The truth is git's own: what it does not ignore is taken."""
    git = ["git", "-c", "core.quotePath=off", "-C", str(tmp_path / "tree")]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "tree" / ".git" / "info").mkdir(exist_ok=True)
    (tmp_path / "tree" / ".git" / "info" / "exclude").write_text("\n".join(patterns))
    listed = subprocess.run(
        [*git, "ls-files", "--others", "--exclude-standard", "-z"], check=True, capture_output=True
    ).stdout
    expected = sorted({os.fsdecode(name) for name in listed.split(b"\0")} & set(places()[0]))
    assert places(exclude=patterns) == [expected] * 3


def test_what_is_left_out_by_default_can_be_taken(places):
    shown = places(exclude=["!@eaDir", "!__MACOSX"])
    assert shown[0] == shown[1] == shown[2]
    assert set(shown[0]) - set(places()[0]) == {"__MACOSX/d.jpg", "x/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg"}


def test_a_pattern_that_is_none_is_refused(tmp_path):
    (tmp_path / "p").mkdir()
    with pytest.raises(SourceError, match="gitignore"):
        folder(tmp_path / "p", exclude=["!"])


def test_faults_of_members_that_are_left_out_are_not_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as into:
        into.writestr("a.jpg", b"a")
        with pytest.warns(UserWarning, match="Duplicate"):
            for _ in range(2):
                into.writestr("__MACOSX/._a.jpg", b"\0\5\x16\7")
    assert [os.path.basename(one.path) for one in archive(tmp_path / "m.zip")] == [b"m.zip#a.jpg"]


def test_a_known_archive_is_opened_again_by_another_rule(tmp_path, monkeypatch):
    """Its bytes did not change, but what is wanted of it did."""
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as into:
        for n, name in enumerate(("a.png", "b.png", ".c.png")):
            picture = io.BytesIO()
            Image.new("RGB", (9, 9), (n * 99, 0, 0)).save(picture, "PNG")
            into.writestr(name, picture.getvalue())
    monkeypatch.setattr(archives, "RACY_NS", 0)  # as if it had been written long ago
    with vsearch.create(tmp_path / "i.vsearch", encoder="toy") as index:
        for options, expected in (({}, 2), ({"hidden": True}, 3), ({"exclude": ["a.png"]}, 1), ({}, 2)):
            index.add(archive(tmp_path / "m.zip", **options))
            assert len(index) == expected


SUFFIXES = b".hif .heics .heifs .avifs .jps .pjpeg .jif .HIF .JPG".split()


@pytest.mark.parametrize("ending", SUFFIXES)
def test_pictures_by_their_suffix(ending, tmp_path):
    (tmp_path / os.fsdecode(b"a" + ending)).write_bytes(b"x")
    assert len(list(folder(tmp_path))) == 1


def test_both_lists_of_suffixes_are_the_same():
    from vsearch.decode import SUPPORTED_SUFFIXES

    assert SUPPORTED_SUFFIXES == PICTURE_SUFFIXES


PASSED = {".psd": 3, ".xmp": 2, "": 2, ".json": 1}


@pytest.fixture
def mixed(tmp_path):
    root = tmp_path / "mixed"
    names = ["1.psd", "x/2.PSD", "x/3.psd", "a.xmp", "b.xmp", "README", "v1.a name with no suffix", "r.CR2", "m.mp4"]
    names += ["t.zip", "a.json", "a.jpg", "a.txt", ".hidden.psd", "@eaDir/x.psd", "i.vsearch/data.mdb"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def test_files_that_are_passed_by_are_counted_by_suffix(mixed):
    source = folder(mixed)
    for _ in range(2):  # a second walk counts anew
        list(source)
        assert count_by_suffix(source.passed_by) == PASSED
    assert list(count_by_suffix(source.passed_by))[:1] == [".psd"]
    with_archives = chain(folder(mixed, archives=True, every=1.0), folder(mixed / "x"))
    list(walk(with_archives))
    counted = count_by_suffix(with_archives.passed_by)
    assert counted == PASSED | {".psd": 5}


def test_what_img2dataset_wrote_beside_pictures_is_not_passed_by(mixed):
    source = img2dataset(mixed)
    list(source)
    assert ".json" not in count_by_suffix(source.passed_by)


def test_a_hundred_suffixes_are_told_one_by_one():
    counts = Counter({b".%d" % n: n + 1 for n in range(1000)})
    told = count_by_suffix(counts)
    assert len(told) == 101 and sum(told.values()) == counts.total()
    assert told[".999"] == 1000


def test_index_ends_with_what_was_passed_by(mixed, tmp_path):
    (mixed / "a.jpg").unlink()
    words = "--encoder toy --json --exclude x/ --exclude *.xmp --exclude *.[mc]*".split()
    code, out, err = run("index", "mixed", *words, cwd=tmp_path)
    assert code == 0
    told = {".psd": 1, "": 2, ".json": 1}
    assert json.loads(out)["passed_by"] == told
    parts = err.strip().splitlines()[-2].partition("of pictures: ")[2].split(", ")
    assert sorted(parts) == ["1 .json", "1 .psd", "2 without a suffix"]
