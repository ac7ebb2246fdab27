"""`vsearch fetch`: copies of what a store holds, against stores that change, break, lie and attack."""

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
from forked import run
from fsspec.spec import AbstractFileSystem
from PIL import Image

from vsearch import files
from vsearch.errors import DiskFull, IndexNotWritable, SourceError
from vsearch.remote import fetch
from vsearch.remote import links as remote_links

RED = b"not really a picture, and never opened here"


class Shelf(AbstractFileSystem):
    """A store that says of its files what the test wants."""

    protocol = "shelf"
    cachable = False
    said: dict[str, dict] = {}
    held: dict[str, bytes] = {}
    opened: list[str] = []

    def find(self, path, maxdepth=None, withdirs=False, detail=False, **_):
        return dict(self.said)

    def isfile(self, path):
        return path in self.said

    def info(self, path, **_):
        return self.said[path]

    def open(self, path, mode="rb", **_):
        self.opened.append(path)
        if path not in self.held:
            raise ConnectionError(f"the store hung up over {path}")
        from io import BytesIO

        return BytesIO(self.held[path])


@pytest.fixture
def shelf():
    fsspec.register_implementation("shelf", Shelf, clobber=True)
    Shelf.said, Shelf.held, Shelf.opened = {}, {}, []

    def put(name: str, content: bytes | None, **told):
        path = f"b/{name}"
        Shelf.said[path] = {"name": path, "type": "file", "size": len(content or b""), **told}
        if content is not None:
            Shelf.held[path] = content

    return put


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def copies(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in tree(folder).items() if name != ".vsearch-fetched.json"}


def test_pictures_archives_and_captions_are_copied_and_nothing_else(shelf, tmp_path):
    held = {"a.jpg": b"1", "deep/er/b.PNG": b"22", "deep/b.txt": b"said", "00.tar": b"t" * 3_000_000, "x.csv": b"c"}
    for name, content in held.items():
        shelf(name, content)
    for name in ("run.exe", "page.html", "noname"):
        shelf(name, b"?")
    Shelf.said["b/folder.jpg"] = {"name": "b/folder.jpg", "type": "directory", "size": 0}
    Shelf.said["elsewhere/c.jpg"] = {"name": "elsewhere/c.jpg", "type": "file", "size": 1}
    told = fetch("shelf://b", tmp_path / "here")
    assert copies(tmp_path / "here") == held
    assert (told.copied, told.unchanged, told.failures) == (5, 0, ())
    assert told.bytes == sum(map(len, held.values()))


def test_what_is_here_stays_and_what_changed_there_comes_again(shelf, tmp_path):
    here = tmp_path / "here"
    for name in ("same.jpg", "grown.jpg", "new-version.jpg"):
        shelf(name, b"1234", ETag="one")
    shelf("no-version.jpg", b"1234")
    fetch("shelf://b", here)
    (here / "mine.jpg").write_bytes(b"not theirs")
    shelf("grown.jpg", b"12345", ETag="two")
    shelf("new-version.jpg", b"4321", ETag="two")
    del Shelf.said["b/same.jpg"], Shelf.opened[:]
    shelf("same.jpg", b"1234", ETag="one")
    told = fetch("shelf://b", here)
    assert sorted(Shelf.opened) == ["b/grown.jpg", "b/new-version.jpg"]
    assert (told.copied, told.unchanged) == (2, 2)
    assert copies(here) == {
        "same.jpg": b"1234",
        "grown.jpg": b"12345",
        "new-version.jpg": b"4321",
        "no-version.jpg": b"1234",
        "mine.jpg": b"not theirs",
    }
    (here / ".vsearch-fetched.json").write_text("{damaged")
    del Shelf.opened[:]
    assert fetch("shelf://b", here).unchanged == 4 and Shelf.opened == []


def test_a_store_that_lies_breaks_or_attacks_costs_its_files_only(shelf, tmp_path):
    shelf("good.jpg", b"good", ETag="one")
    shelf("hung-up.jpg", None)
    shelf("short.jpg", b"123", size=4)
    shelf("long.jpg", b"12345", size=4)
    shelf("../outside.jpg", b"evil")
    shelf("a/../../outside.jpg", b"evil")
    shelf("/etc/outside.jpg", b"evil")
    shelf("zero\0.jpg", b"evil")
    shelf("x" * 4000 + ".jpg", b"long name")
    shelf("y" * 300 + ".jpg", b"longer than a disk takes")
    shelf(".vsearch-fetched.json", b'{"good.jpg": "ETag of another folder"}', ETag="theirs")
    (tmp_path / "here" / "taken.jpg").mkdir(parents=True)
    (tmp_path / "here" / "file").write_bytes(b"a file, no folder")
    shelf("taken.jpg", b"1")
    shelf("file/in.jpg", b"1")
    told = fetch("shelf://b", tmp_path / "here")
    why = dict(told.failures)
    assert copies(tmp_path) == {"here/good.jpg": b"good", "here/file": b"a file, no folder"} | {
        name: content for name, content in tree(tmp_path).items() if name.endswith("fetched.json")
    }
    assert told.copied == 1 and len(why) == 11
    assert why["y" * 300 + ".jpg"] == "cannot be written here (File name too long)"
    assert b"another folder" not in (tmp_path / "here" / ".vsearch-fetched.json").read_bytes()
    assert "hung up" in why["hung-up.jpg"] and why["short.jpg"] == "3 bytes came, and 4 were told"
    assert why["long.jpg"] == "5 bytes came, and 4 were told"
    assert all("leads out" in why[name] for name in ("../outside.jpg", "a/../../outside.jpg", "/etc/outside.jpg"))
    assert "in its way" in why["taken.jpg"] and "in its way" in why["file/in.jpg"]


def test_a_link_that_lies_here_is_not_written_through(shelf, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "precious.jpg").write_bytes(b"precious")
    (tmp_path / "here" / "a.jpg").symlink_to(tmp_path / "precious.jpg")
    shelf("a.jpg", b"theirs")
    fetch("shelf://b", tmp_path / "here")
    assert (tmp_path / "precious.jpg").read_bytes() == b"precious"
    assert (tmp_path / "here" / "a.jpg").read_bytes() == b"theirs"


def test_a_full_disk_is_told_and_leaves_whole_files(shelf, tmp_path, monkeypatch):
    usual, written = files.write_all, []

    def full(fd, data, offset):
        if len(written) >= 2:
            raise OSError(28, "No space left on device")
        written.append(len(data))
        return usual(fd, data, offset)

    for number in range(6):
        shelf(f"{number}.jpg", b"x" * 10, ETag="one")
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_all", full)
        with pytest.raises(DiskFull, match="disk is full .*type the same again"):
            fetch("shelf://b", tmp_path / "here", connections=1)
    assert [len(content) for content in copies(tmp_path / "here").values()] == [10, 10]
    told = fetch("shelf://b", tmp_path / "here")
    assert (told.copied, told.unchanged) == (4, 2)


def test_addresses_that_lead_nowhere(shelf, tmp_path):
    with pytest.raises(SourceError, match="no address as s3://bucket/photos"):
        fetch("./photos", tmp_path / "x")
    with pytest.raises(SourceError, match="cannot be listed"):
        fetch("nosuch://b/x", tmp_path / "x")
    with pytest.raises(SourceError, match="no picture, archive or caption"):
        fetch("shelf://b", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    shelf("a.jpg", b"1")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(IndexNotWritable, match="Name a folder"):
        fetch("shelf://b", tmp_path / "file")


@pytest.fixture
def site(tmp_path):
    """A web server of this machine with a folder of pictures."""
    root = tmp_path / "site"
    (root / "photos").mkdir(parents=True)
    for name in ("red", "green", "blue"):
        Image.new("RGB", (32, 24), name).save(root / "photos" / f"{name}.png")
    (root / "photos" / "red.txt").write_text("A red square.\n")
    (root / "photos" / "two words é.png").write_bytes((root / "photos" / "red.png").read_bytes())
    handler = partial(SimpleHTTPRequestHandler, directory=os.fspath(root))
    handler.func.log_message = lambda *_: None  # type: ignore[attr-defined]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_from_a_web_server_to_an_answer(site, tmp_path):
    code, out, err = run("fetch", f"{site}/photos/", "photos", cwd=tmp_path)
    assert code == 0, err
    assert out == "5 files copied (0.0 MB), 0 here already in T s → photos\n"
    assert "search them: vsearch index photos" in err
    code, out, _ = run("fetch", f"{site}/photos/", "photos", "--json", cwd=tmp_path)
    told = json.loads(out)
    assert code == 0 and (told["copied"], told["unchanged"], told["failures"]) == (0, 5, [])
    assert (tmp_path / "photos" / "two words é.png").is_file()
    assert run("index", "photos", "--encoder", "toy", cwd=tmp_path)[0] == 0
    _, out, _ = run("query", "green", "-k", "1", "--paths", cwd=tmp_path)
    assert out.strip().endswith("photos/green.png")
    code, out, _ = run("fetch", f"{site}/photos/blue.png", "one", cwd=tmp_path)
    assert code == 0 and [path.name for path in (tmp_path / "one").glob("*.png")] == ["blue.png"]
    code, _, err = run("fetch", f"{site}/nothing/", "no", cwd=tmp_path)
    assert code == 2 and "there is no picture, archive or caption at" in err


# ---------------------------------------------------------------- pages that link in circles


class Pages(ThreadingHTTPServer):
    """A web server of pages by path: a text is a page, bytes are a file, a number is a refusal; asked: in order."""

    def __init__(self, pages):
        self.pages, self.asked = pages, []
        super().__init__(("127.0.0.1", 0), Answer)
        self.thread = threading.Thread(target=self.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        found = self.server.pages(self.path) if callable(self.server.pages) else self.server.pages.get(self.path, 404)
        if isinstance(found, int):
            self.send_error(found)
            return
        body = found if isinstance(found, bytes) else found.encode()
        self.send_response(200)
        self.send_header("Content-Type", "image/png" if isinstance(found, bytes) else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def links(*targets: str) -> str:
    return "".join(f'<a href="{target}">x</a>\n' for target in targets)


def test_links_to_the_page_itself_above_it_and_elsewhere_are_not_followed(tmp_path):
    with Pages({}) as other, Pages({}) as server:
        ways = ["./", ".", "../", "..", "/", "?C=N;O=D", "./?C=M", "#top", "%2e/", "%2E%2E/", "sub/../", "/photos/"]
        ways += ["../above.png", "/above.png", "..%2fabove.png", "sub/../../above.png", "a.png?size=large", "//[/x.png"]
        ways += [f"{other.address}/photos/other.png", f"//127.0.0.1:{other.server_port}/photos/other.png"]
        ways += [f"{server.address}/photos/", f"{server.address}/photos/whole.png", "mailto:x@y.png", "a.png#part"]
        server.pages = {
            "/photos/": links("a.png", "./b.png", "sub/", "./sub/", "sub/./", "%73ub/", "gone/", "broken/", *ways),
            "/photos/sub/": links("c.png", "../a.png", "../", "./", "../sub/", "x/../c.png"),
            "/photos/broken/": 500,
        } | {f"/photos/{name}.png": b"1" for name in ("a", "b", "sub/c", "whole")}
        server.pages["/above.png"] = other.pages["/photos/other.png"] = b"never"
        told = fetch(f"{server.address}/photos/", tmp_path / "here")
    assert set(copies(tmp_path / "here")) == {"a.png", "b.png", "sub/c.png", "whole.png"}
    assert other.asked == [] and "/above.png" not in server.asked
    pages = [path for path in server.asked if path.endswith("/")]
    assert sorted(pages) == ["/photos/", "/photos/broken/", "/photos/gone/", "/photos/sub/"], "each once"
    assert {name for name, _ in told.failures} >= {"gone/", "broken/"}
    assert all(".." in name or name in ("gone/", "broken/", "mailto:x@y.png") for name, _ in told.failures)


def test_a_server_whose_every_folder_has_folders_comes_to_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(remote_links, "MOST_FOLDERS", 20)
    with Pages(lambda path: b"1" if path.endswith(".png") else links("a/", "b/", "x.png")) as server:
        told = fetch(server.address, tmp_path / "wide")
    assert told.copied == 20 and len(told.failures) == 21
    assert all("behind the first 20 folders" in why for _, why in told.failures)
    monkeypatch.undo()
    with Pages(lambda path: b"1" if path.endswith(".png") else links("deeper/", "x.png")) as server:
        told = fetch(server.address, tmp_path / "deep")
    assert told.copied == 33 and len(told.failures) == 1 and "more than 32 folders deep" in told.failures[0][1]
    monkeypatch.setattr(remote_links, "MOST_LINKS", 5)
    with Pages(lambda path: b"1" if path.endswith(".png") else links(*(f"{n}.png" for n in range(9)))) as server:
        told = fetch(server.address, tmp_path / "many")
    assert told.copied == 5 and "more than 5 links" in told.failures[0][1]


def test_names_of_any_bytes_from_a_web_server(tmp_path):
    pages = {"/": links("%ff.png", "%fe.png", "a%2Fb.png", "%00.png", "x" * 300 + ".png")}
    with Pages(lambda path: pages.get(path, b"1")) as server:
        told = fetch(server.address, tmp_path / "here")
    names = {os.fsencode(path.name) for path in (tmp_path / "here").rglob("*.png")}
    assert names == {b"\xff.png", b"\xfe.png", b"b.png"}
    assert len(told.failures) == 2


def test_what_a_store_says_of_a_file_may_be_anything(shelf, tmp_path):
    shelf("good.jpg", b"1234", size="four", ETag=7)
    shelf("bad\ud800.jpg", b"1")
    shelf("huge.jpg", b"1", size=2**70)
    told = fetch("shelf://b", tmp_path / "here")
    assert set(copies(tmp_path / "here")) == {"good.jpg"}
    assert {name: why.split(",")[0] for name, why in told.failures} == {
        "bad\ud800.jpg": "its name is no text that UTF-8 can hold",
        "huge.jpg": "1 bytes came",
    }
    (tmp_path / "here/.vsearch-fetched.json").write_text("[1]")
    assert fetch("shelf://b", tmp_path / "here").unchanged == 1


class Stalling(BaseHTTPRequestHandler):
    """A picture whose second half comes when the test lets it."""

    go = threading.Event()

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(RED)))
        self.send_header("Accept-Ranges", "none")
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        self.wfile.write(RED[:20])
        self.wfile.flush()
        self.go.wait(60)
        with suppress(ConnectionError):
            self.wfile.write(RED[20:])

    def log_message(self, *_):
        pass


STALLED = """
import sys
from vsearch import files
from vsearch.remote import fetch

class Told(files.Sink):
    def __init__(self, fd):
        super().__init__(fd)
        print("at work", flush=True)

files.Sink = Told
fetch(sys.argv[1], sys.argv[2])
"""


def stalled(url: str, folder: Path) -> subprocess.Popen[str]:
    """A process that has begun a file, and waits for the server."""
    process = subprocess.Popen([sys.executable, "-c", STALLED, url, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "at work\n"
    return process


def temporary(folder: Path) -> set[str]:
    return {path.name for path in folder.glob(f"{files.TEMPORARY}*")}


def test_what_a_killed_fetch_left_is_cleared_and_what_another_is_at_work_on_is_not(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stalling)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    Stalling.go.clear()
    url = f"http://127.0.0.1:{server.server_address[1]}/red.png"
    try:
        killed = stalled(url, tmp_path)
        killed.kill()
        killed.communicate()
        left = temporary(tmp_path)
        assert len(left) == 1
        (tmp_path / ".tmp-mine").write_text("not of a fetch")
        first = stalled(url, tmp_path)
        own = temporary(tmp_path)
        assert len(own) == 2 and not own & left  # its own, and the file of somebody
        second = stalled(url, tmp_path)
        assert len(temporary(tmp_path)) == 3 and own < temporary(tmp_path)
        Stalling.go.set()
        for process in (first, second):
            process.communicate(timeout=60)
            assert process.returncode == 0
    finally:
        Stalling.go.set()
        server.shutdown()
        thread.join()
        server.server_close()
    assert temporary(tmp_path) == {".tmp-mine"} and copies(tmp_path) == {"red.png": RED, ".tmp-mine": b"not of a fetch"}


def test_leftovers_are_removed_unless_they_are_locked(tmp_path):
    (tmp_path / f".tmp-{'0' * 32}").write_bytes(b"left")

    def fill(sink):
        (own,) = temporary(tmp_path) - {f".tmp-{'0' * 32}"}
        files.remove_leftovers(tmp_path)
        assert temporary(tmp_path) == {own}
        sink.put(RED)

    files.publish(tmp_path / "red.png", fill)
    assert tree(tmp_path) == {"red.png": RED}


def test_a_temporary_file_that_is_cleared_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    create, made = files.create, []

    def cleared(path):
        fd = create(path)
        if not made:
            files.remove_leftovers(tmp_path)
        made.append(path)
        return fd

    monkeypatch.setattr(files, "create", cleared)
    files.publish(tmp_path / "red.png", lambda sink: sink.put(RED))
    assert len(made) == 2 and tree(tmp_path) == {"red.png": RED}
