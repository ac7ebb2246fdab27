"""What each source yields, against trees made by hand."""

import errno
import io
import os
import socket
from pathlib import Path

import pytest
from PIL import Image

import vsearch
from vsearch.errors import SourceError
from vsearch.sources import chain, files, folder, listing, source_for, table
from vsearch.types import Failure, Item


def put(root: Path, *names: str | bytes) -> None:
    for name in names:
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(b"picture")


def seen(root: Path, **options: bool) -> list[str]:
    """Paths of the items below ``root``; any failure fails the test."""
    found = list(folder(root, **options))
    assert all(isinstance(item, Item) for item in found), found
    return [os.fsdecode(os.path.relpath(item.path, os.fsencode(root))) for item in found]


def only_failure(found: list) -> Failure:
    (failure,) = found
    assert isinstance(failure, Failure) and failure.stage == "scan"
    return failure


# ---------------------------------------------------------------- folders


def test_a_folder_gives_its_pictures_by_name_then_those_of_its_subfolders(tmp_path):
    put(tmp_path, "b.jpg", "a.PNG", "z/1.heic", "m/2.avif", "m/deep/3.gif", "notes.txt", "film.mp4", "bare")
    assert seen(tmp_path) == ["a.PNG", "b.jpg", "m/2.avif", "m/deep/3.gif", "z/1.heic"]
    assert folder(tmp_path).roots == (os.fsencode(tmp_path),)


def test_an_item_is_absolute_with_size_and_times_of_the_file(tmp_path, monkeypatch):
    put(tmp_path, "a.jpg")
    os.utime(tmp_path / "a.jpg", ns=(1, 1_234_567_891_234_567_891))
    monkeypatch.chdir(tmp_path)
    (item,) = folder(".")
    status = os.stat("a.jpg")
    assert item == Item(os.fsencode(tmp_path / "a.jpg"), 7, 1_234_567_891_234_567_891, status.st_ctime_ns, None)


def test_hidden_names_come_only_on_request(tmp_path):
    put(tmp_path, ".x.jpg", ".cache/y.jpg", "a.jpg", ".jpg")
    assert seen(tmp_path) == ["a.jpg"]
    assert seen(tmp_path, hidden=True) == [".x.jpg", "a.jpg", ".cache/y.jpg"]


def test_index_folders_are_left_out(tmp_path):
    put(tmp_path, "photos.vsearch/thumbs/1.jpg", "sub/other.vsearch/2.jpg", "a.jpg")
    assert seen(tmp_path, hidden=True) == ["a.jpg"]
    with pytest.raises(SourceError, match="is an index"):
        folder(tmp_path / "photos.vsearch")


def test_a_folder_named_like_a_picture_is_a_folder(tmp_path):
    put(tmp_path, "x.jpg/inside.png")
    assert seen(tmp_path) == ["x.jpg/inside.png"]


@pytest.mark.parametrize(
    "name",
    [b"\xff\xfe.jpg", b"new\nline.jpg", "\u202egnp.jpg".encode(), "😀.jpg".encode(), b"-n.jpg", b"a" * 251 + b".jpg"],
)
def test_names_of_any_bytes_keep_their_bytes(tmp_path, name):
    put(tmp_path, name)
    (item,) = folder(tmp_path)
    assert os.path.basename(item.path) == name


def test_links_are_left_alone_unless_followed(tmp_path):
    put(tmp_path, "in/a.jpg", "out/b.jpg", "out/c.jpg")
    (tmp_path / "in/folder").symlink_to(tmp_path / "out")
    (tmp_path / "in/file.jpg").symlink_to(tmp_path / "out/b.jpg")
    assert seen(tmp_path / "in") == ["a.jpg"]
    assert seen(tmp_path / "in", follow_links=True) == ["a.jpg", "file.jpg", "folder/b.jpg", "folder/c.jpg"]


def test_loops_of_links_end_and_each_folder_is_read_once(tmp_path):
    put(tmp_path, "a.jpg", "z/b.jpg")
    (tmp_path / "z/up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(".")
    (tmp_path / "early").symlink_to("z")
    (tmp_path / "ring").symlink_to("ring")
    assert seen(tmp_path, follow_links=True) == ["a.jpg", "z/b.jpg"]


def test_a_link_that_leads_nowhere_is_told_when_links_are_followed(tmp_path):
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert seen(tmp_path) == []
    gone, loop = folder(tmp_path, follow_links=True)
    assert gone == Failure(os.fsencode(tmp_path / "gone.jpg"), "scan", "No such file or directory")
    assert loop == Failure(os.fsencode(tmp_path / "loop.png"), "scan", "Too many levels of symbolic links")


def test_pipes_and_sockets_are_failures_that_are_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.png"))
        found = list(folder(tmp_path))
    assert [(os.path.basename(f.path), f.stage, f.reason) for f in found] == [
        (b"pipe.jpg", "scan", "not a regular file"),
        (b"pipe.txt", "scan", "not a regular file"),
        (b"socket.png", "scan", "not a regular file"),
    ]
    assert found[0].mtime_ns == os.lstat(tmp_path / "pipe.jpg").st_mtime_ns


def test_a_folder_that_cannot_be_read_costs_only_itself(tmp_path):
    """A path longer than the system allows is unreadable for every user, root too."""
    put(tmp_path, "zz/last.jpg")
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir(b"d" * 250, dir_fd=at)
        inner = os.open(b"d" * 250, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    failure, item = folder(tmp_path)
    assert failure.stage == "scan" and failure.reason == "File name too long"
    assert os.path.basename(item.path) == b"last.jpg"


def test_every_file_on_request_but_captions(tmp_path):
    put(tmp_path, "scan.raw", "bare", "scan.txt")
    assert seen(tmp_path, all_files=True) == ["bare", "scan.raw"]


def test_a_folder_that_is_not_there_or_is_a_file_says_what_to_type(tmp_path):
    put(tmp_path, "a.jpg")
    with pytest.raises(SourceError, match="there is no folder .*nowhere.*Check the name"):
        folder(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="not a folder"):
        folder(tmp_path / "a.jpg")


def test_a_folder_that_goes_before_the_walk_is_an_error_and_not_an_empty_folder(tmp_path):
    (tmp_path / "disk").mkdir()
    source = folder(tmp_path / "disk")
    (tmp_path / "disk").rmdir()
    with pytest.raises(SourceError, match="cannot read the folder"):
        list(source)


# ---------------------------------------------------------------- captions


@pytest.mark.parametrize(
    ("raw", "caption"),
    [
        (b"A red apple.\n", "A red apple."),
        (b"\xef\xbb\xbfwith mark\r\n", "with mark"),
        (b"caf\xe9", "café"),
        (b" \n", None),
        (b"x" * 100_000, "x" * 65_536),
    ],
)
def test_a_caption_beside_a_picture(tmp_path, raw, caption):
    put(tmp_path, "apple.v2.jpg")
    (tmp_path / "apple.v2.txt").write_bytes(raw)
    (from_folder,) = folder(tmp_path)
    (from_files,) = files([tmp_path / "apple.v2.jpg"])
    assert from_folder.caption == from_files.caption == caption


# ---------------------------------------------------------------- files and lists


def test_files_of_any_name_once_each_in_the_order_given(tmp_path):
    put(tmp_path, "b", "a.jpg")
    found = files([tmp_path / "b", str(tmp_path / "a.jpg"), os.fsencode(tmp_path / "b")])
    assert [os.path.basename(item.path) for item in found] == [b"b", b"a.jpg"]
    assert found.roots == ()


def test_a_file_that_is_not_there_is_a_failure(tmp_path):
    assert only_failure(list(files([tmp_path / "no.jpg"]))).reason == "No such file or directory"
    assert only_failure(list(files([b"nul\0inside"]))).reason == "not a possible file name"
    assert only_failure(list(files([tmp_path]))).reason == "a folder"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"a.jpg\n\nb c.jpg\r\n/x/y.jpg", [b"/base/a.jpg", b"/base/b c.jpg", b"/x/y.jpg"]),
        (b"\xef\xbb\xbfa.jpg\n", [b"/base/a.jpg"]),
        (b"new\nline\0\xff.jpg\0\0cr\r\0last", [b"/base/new\nline", b"/base/\xff.jpg", b"/base/cr\r", b"/base/last"]),
        (b"", []),
    ],
)
def test_a_list_is_lines_or_nul_separated(text, names):
    assert [found.path for found in listing(io.BytesIO(text), base="/base")] == names


def test_a_long_list_is_read_in_pieces_that_cut_no_name():
    names = [b"/%08d.jpg" % number for number in range(200_000)]
    assert list(listing(io.BytesIO(b"\n".join(names))).paths()) == names


def test_a_list_file_is_relative_to_the_current_directory(tmp_path, monkeypatch):
    put(tmp_path, "a.jpg")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/l").write_text("a.jpg\n")
    monkeypatch.chdir(tmp_path)
    source = listing("lists/l")
    assert [item.path for item in source] == [item.path for item in source] == [os.fsencode(tmp_path / "a.jpg")]
    with pytest.raises(SourceError, match="cannot read the list .*nolist.*No such file"):
        listing("nolist")


# ---------------------------------------------------------------- tables


def rows(path: Path, content: bytes | str, **options: str) -> list[tuple[str, str | None]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(os.path.basename(os.fsdecode(item.path)), item.caption) for item in table(path, **options)]


@pytest.mark.parametrize(
    "content",
    [
        "filepath\ttitle\na.jpg\tA red apple, sliced\n",
        'filepath,title\na.jpg,"A red apple, sliced"\n',
        '\ufefffilepath;title\r\na.jpg;"A red apple, sliced"\r\n\r\n',
        'id,title,filepath\n1,"A red apple, sliced",a.jpg\n',
    ],
)
def test_a_table_with_any_usual_separator(tmp_path, content):
    put(tmp_path, "a.jpg")
    assert rows(tmp_path / "t.csv", content) == [("a.jpg", "A red apple, sliced")]


def test_captions_of_several_rows_are_joined_once_each(tmp_path):
    put(tmp_path, "a.jpg", "b.jpg")
    content = "filepath,title\na.jpg,one\nb.jpg,\na.jpg,two\na.jpg,one\n"
    assert rows(tmp_path / "t.csv", content) == [("a.jpg", "one\ntwo"), ("b.jpg", None)]


def test_columns_by_other_names_and_without_captions(tmp_path):
    put(tmp_path, "a.jpg")
    content = "file,text\na.jpg,hello\n"
    assert rows(tmp_path / "t.csv", content, path_column="file", caption_column="text") == [("a.jpg", "hello")]
    assert rows(tmp_path / "t.csv", content, path_column="file", caption_column="") == [("a.jpg", None)]
    with pytest.raises(SourceError, match=r"no column 'filepath'; it has: 'file', 'text'\. .*--path-column"):
        table(tmp_path / "t.csv")


def test_table_paths_are_beside_the_table_then_in_the_current_directory(tmp_path, monkeypatch):
    put(tmp_path, "data/both.jpg", "here/both.jpg", "here/only.jpg")
    (tmp_path / "data/t.tsv").write_text("filepath\ttitle\nboth.jpg\tx\nonly.jpg\ty\n")
    monkeypatch.chdir(tmp_path / "here")
    assert [item.path for item in table("../data/t.tsv")] == [
        os.fsencode(tmp_path / "data/both.jpg"),
        os.fsencode(tmp_path / "here/only.jpg"),
    ]


def test_names_and_captions_that_are_not_utf8(tmp_path):
    put(tmp_path, b"\xff.jpg")
    (tmp_path / "t.csv").write_bytes(b"filepath,title\n\xff.jpg,caf\xe9\n")
    (item,) = table(tmp_path / "t.csv")
    assert (os.path.basename(item.path), item.caption) == (b"\xff.jpg", "café")


def test_a_bad_row_costs_itself(tmp_path):
    put(tmp_path, "a.jpg", "b.jpg")
    content = f"filepath,title\na.jpg,{'x' * 200_000}\n,nothing\nb.jpg\ngone.jpg,x\na.jpg,red, and green\na.jpg,,,\n"
    (tmp_path / "t.csv").write_text(content)
    huge, empty, split, item, gone, known = table(tmp_path / "t.csv")
    told = [(os.path.basename(failure.path), failure.reason) for failure in (huge, empty, split)]
    assert told == [
        (b"t.csv#line 2", "field larger than field limit (131072)"),
        (b"t.csv#line 3", "no filepath"),
        (
            b"t.csv#line 6",
            "3 fields for 2 columns: texts with ',' need quotes; the rest, from ' and green' on, is left out",
        ),
    ]
    assert os.path.basename(known.path) == b"a.jpg" and known.caption == "red"
    assert os.path.basename(item.path) == b"b.jpg" and item.caption is None
    assert gone.reason == "No such file or directory"


@pytest.mark.parametrize("content", [b"", b"\0\1\2", b"\n\n"])
def test_a_file_that_is_no_table_says_so(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(SourceError, match="has no column 'filepath'"):
        table(tmp_path / "t.csv")


# ---------------------------------------------------------------- choosing and joining


def test_the_source_for_a_path_is_chosen_by_what_is_there(tmp_path):
    put(tmp_path, "album.csv/a.jpg", "b.jpg")
    (tmp_path / "t.TSV").write_text("filepath\ttitle\nb.jpg\tB\n")
    assert [os.path.basename(i.path) for i in source_for(tmp_path / "album.csv")] == [b"a.jpg"]
    assert [i.caption for i in source_for(tmp_path / "t.TSV")] == ["B"]
    assert [os.path.basename(i.path) for i in source_for(tmp_path / "b.jpg")] == [b"b.jpg"]
    with pytest.raises(SourceError, match="there is no folder or file"):
        source_for(tmp_path / "none")


def test_a_chain_yields_what_two_sources_name_once(tmp_path):
    put(tmp_path, "a/1.jpg", "a/in/2.jpg", "b/3.jpg")
    both = chain(folder(tmp_path / "a/in"), folder(tmp_path / "a"), files([tmp_path / "b/3.jpg"]))
    assert [os.path.basename(item.path) for item in both] == [b"2.jpg", b"1.jpg", b"3.jpg"]
    assert both.roots == (os.fsencode(tmp_path / "a/in"), os.fsencode(tmp_path / "a"))


# ---------------------------------------------------------------- nothing vanishes in silence, nothing ends a run


def told_of(found) -> dict[str, str]:
    return {os.path.basename(os.fsdecode(one.path)): one.reason for one in found if isinstance(one, Failure)}


def test_a_caption_that_cannot_be_read_is_told_and_its_picture_is_there(tmp_path):
    put(tmp_path, "gone.jpg", "loop.jpg", "loop.png", "pipe.jpg", "folder.jpg", "none.jpg")
    (tmp_path / "gone.txt").symlink_to("nowhere")
    (tmp_path / "loop.txt").symlink_to("loop.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "folder.txt").mkdir()
    expected = {
        "gone.txt": "No such file or directory",
        "loop.txt": "Too many levels of symbolic links",
        "pipe.txt": "not a regular file",
    }
    for source in (folder(tmp_path), files(sorted(tmp_path.glob("*.[jp]*g")))):
        found = list(source)
        assert told_of(found) == expected
        assert sum(isinstance(one, Item) for one in found) == 6
    assert len(list(folder(tmp_path))) == 6 + 3, "two pictures share a caption, which is told once"


def test_archives_in_a_folder_that_cannot_be_opened_are_told(tmp_path):
    put(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "pipe.tar")
    (tmp_path / "nowhere.zip").symlink_to("none")
    (tmp_path / "album.zip").mkdir()
    assert told_of(folder(tmp_path, archives=True)) == {"pipe.tar": "not a regular file"}
    told = told_of(folder(tmp_path, archives=True, follow_links=True))
    assert told == {"pipe.tar": "not a regular file", "nowhere.zip": "No such file or directory"}


def test_an_entry_whose_kind_the_disk_does_not_tell_costs_itself(tmp_path, monkeypatch):
    """On some disks the kind of an entry takes a look at it, which may fail (``d_type`` is unknown)."""
    put(tmp_path, "a.jpg", "bad.jpg", "z.jpg")

    class Entry:
        def __init__(self, entry):
            self.name, self.path, self._entry = entry.name, entry.path, entry

        def _ask(self, what, **options):
            if self.name == b"bad.jpg":
                raise OSError(errno.EIO, "Input/output error")
            return getattr(self._entry, what)(**options)

        def is_symlink(self):
            return self._ask("is_symlink")

        def is_dir(self, *, follow_symlinks=True):
            return self._ask("is_dir", follow_symlinks=follow_symlinks)

        def stat(self, *, follow_symlinks=True):
            return self._ask("stat", follow_symlinks=follow_symlinks)

    class Listing:
        def __init__(self, path):
            self.close, self._entries = lambda: None, [Entry(entry) for entry in scandir(path)]

        def __enter__(self):
            return iter(self._entries)

        def __exit__(self, *_):
            pass

    scandir, source = os.scandir, folder(tmp_path)
    monkeypatch.setattr(os, "scandir", Listing)
    found = list(source)
    assert told_of(found) == {"bad.jpg": "Input/output error"}
    assert [os.path.basename(one.path) for one in found if isinstance(one, Item)] == [b"a.jpg", b"z.jpg"]


def test_a_table_in_latin_1(tmp_path):
    put(tmp_path, "a.jpg", b"\xe4.jpg")
    (tmp_path / "t.csv").write_bytes(
        b"filepath,title,Gr\xf6\xdfe,Gr\xe4\xdfe,title\na.jpg,L\xf6we,1,2,x\n\xe4.jpg,,3,4,y\n"
    )
    one, two = table(tmp_path / "t.csv")
    assert (one.caption, one.columns) == ("Löwe", {"Größe": 1, "Gräße": 2, "title_": "x"})
    assert os.path.basename(two.path) == b"\xe4.jpg"
    assert list(table(tmp_path / "t.csv", caption_column="Größe"))[0].caption == "1"
    with pytest.raises(SourceError, match="no column 'Höhe'; it has: .*'Größe'"):
        table(tmp_path / "t.csv", caption_column="Höhe")
    (tmp_path / "u.csv").write_bytes("filepath,title\na.jpg,x\n".encode("utf-16-le"))
    with pytest.raises(SourceError, match="-f UTF-16"):
        table(tmp_path / "u.csv")
    (tmp_path / "w.csv").write_bytes(b"filepath,title" + b"x" * 200_000 + b"\n")
    with pytest.raises(SourceError, match="first line cannot be read"):
        table(tmp_path / "w.csv")


def test_a_source_that_cannot_be_read_costs_itself_among_others(tmp_path):
    put(tmp_path, "a/1.jpg", "b/2.jpg", "3.jpg")
    (tmp_path / "t.csv").write_text("filepath,title\n3.jpg,three\n")
    both = chain(folder(tmp_path / "b"), table(tmp_path / "t.csv"), folder(tmp_path / "a"))
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:

        def add():
            report = index.add(both, workers=1)
            return {os.path.basename(os.fsdecode(f.path)) for f in report.failures}, report.removed, len(index.errors())

        pictures(tmp_path)
        assert add() == (set(), 0, 0)
        (tmp_path / "b").rename(tmp_path / "elsewhere")
        (tmp_path / "t.csv").rename(tmp_path / "t.old")
        pictures(tmp_path / "a")
        assert add() == ({"b", "t.csv"}, 0, 2)
        with index.store.snapshot() as snapshot:
            assert snapshot.head.missing == 0, "a folder that is not there is not an empty one"
        (tmp_path / "elsewhere").rename(tmp_path / "b")
        (tmp_path / "t.old").rename(tmp_path / "t.csv")
        assert add() == (set(), 0, 0)


def test_lines_of_a_table_are_told_each_and_forgotten_when_they_are_mended(tmp_path):
    put(tmp_path, "a.jpg")
    pictures(tmp_path)
    (tmp_path / "t.csv").write_text("filepath,title\na.jpg,red, green\n,x\n")
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        assert index.add(table(tmp_path / "t.csv"), workers=1).added == 1
        assert sorted(os.path.basename(failure.path) for failure in index.errors()) == [
            b"t.csv#line 2",
            b"t.csv#line 3",
        ]
        (tmp_path / "t.csv").write_text('filepath,title\na.jpg,"red, green"\n')
        index.add(table(tmp_path / "t.csv"), workers=1)
        assert index.errors() == []


def pictures(folder: Path) -> None:
    """Turn the files below a folder that are called pictures into some."""
    for path in folder.rglob("*.jpg"):
        Image.new("RGB", (8, 8 + len(path.name)), "red").save(path)
