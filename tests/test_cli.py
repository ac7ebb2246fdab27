"""The real program in a process of its own: what it prints, where, and with which exit code."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from forked import environment, golden
from PIL import Image

PROGRAM = [sys.executable, "-m", "vsearch"]
ODD = b"odd \xff\n\x1b[31m.png"  # a name that is not UTF-8 and would colour a terminal


def run(*words: str | bytes | Path, cwd: Path, stdin: bytes = b"", **env: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error; the folder shows as HERE, and times as T."""
    done = subprocess.run(
        [*PROGRAM, *words], cwd=cwd, input=stdin, capture_output=True, env=environment(**env), timeout=120
    )
    return done.returncode, golden(done.stdout, cwd), golden(done.stderr, cwd)


def pictures(folder: Path) -> None:
    folder.mkdir()
    for number, name in enumerate(("blue", "green", "red")):
        colour = {"red": (255, 0, 0), "green": (0, 160, 0), "blue": (0, 0, 255)}[name]
        Image.new("RGB", (40 + number, 30), colour).save(folder / f"{name}.png")
    (folder / "red.txt").write_text("A red square.\n")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index that tests only read: three colours, a red picture of an odd name, a broken file."""
    here = tmp_path_factory.mktemp("shown")
    pictures(here / "photos")
    with open(os.path.join(os.fsencode(here / "photos"), ODD), "wb") as file:
        Image.new("RGB", (10, 20), (255, 0, 0)).save(file, "PNG")
    (here / "photos/broken.jpg").write_text("no picture")
    assert run("index", "photos", "--encoder", "toy", cwd=here)[0] == 3
    return here


@pytest.fixture
def here(tmp_path: Path) -> Path:
    pictures(tmp_path / "photos")
    return tmp_path


# ---------------------------------------------------------------- index


def test_index_tells_what_it_did_each_time(here):
    assert run("index", "./photos", "--encoder", "toy", cwd=here) == (
        0,
        "3 added in T s (R/s) → photos.vsearch\n",
        "vsearch: encoder toy: as asked for\n",
    )
    (here / "photos/green.png").rename(here / "photos/leaf.png")
    (here / "photos/blue.png").unlink()
    (here / "photos/broken.jpg").write_text("no picture")
    assert run("index", "photos", cwd=here) == (
        3,
        "0 added, 1 unchanged, 1 moved, 1 removed, 1 failed in T s → photos.vsearch\n",
        "vsearch: 1 file failed; see why with: vsearch errors photos.vsearch\n",
    )
    code, _, told = run("index", "photos", cwd=here)
    assert code == 0
    assert "1 file failed before, not read again without --retry-failed" in told


def test_index_json_is_one_object(here):
    code, out, _ = run("index", "photos", "--encoder", "toy", "--json", cwd=here)
    told = json.loads(out)
    assert code == 0 and out.count("\n") == 1
    stages = told.pop("stages")
    assert set(stages) == {"scan", "decode", "embed", "store"} and min(stages.values()) > 0
    assert sum(stages.values()) <= told.pop("seconds") + 0.01 and told.pop("images_per_second") > 0
    assert told == {
        "added": 3,
        "changed": 0,
        "unchanged": 0,
        "moved": 0,
        "removed": 0,
        "failed": 0,
        "known_failures": 0,
        "left_out": {},
        "index": "photos.vsearch",
        "warnings": [],
        "passed_by": {},
    }


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["../photos"], "photos.vsearch"),
        (["../photos/"], "photos.vsearch"),
        (["."], "sub/sub.vsearch"),
        (["../photos/red.png"], "sub/images.vsearch"),
        (["../photos", "."], "sub/images.vsearch"),
        (["../photos", "--index", "mine"], "sub/mine"),
    ],
)
def test_where_the_index_goes(here, words, place):
    (here / "sub").mkdir()
    assert run("index", *words, "--encoder", "toy", cwd=here / "sub")[0] == 0
    assert (here / place / "FORMAT").is_file()
    assert run("index", *words, "--encoder", "toy", cwd=here / "sub")[0] == 0, "the index itself is not scanned"


def test_index_from_a_list_on_standard_input_and_from_a_table(here):
    names = b"photos/red.png\0photos/none.png\0"
    code, out, _ = run("index", "--files-from", "-", "--encoder", "toy", cwd=here, stdin=names)
    assert (code, out) == (3, "1 added, 1 failed in T s (R/s) → images.vsearch\n")
    (here / "t.csv").write_text("file,words\nphotos/blue.png,The sea.\n")
    table = ("index", "t.csv", "--index", "images.vsearch", "--path-column", "file")
    assert run(*table, "--caption-column", "words", cwd=here)[1] == "1 added in T s (R/s) → images.vsearch\n"
    assert "The sea." in run("query", "blue", "-k", "1", cwd=here)[1]
    code, out, err = run("index", "t.csv", "--index", "images.vsearch", cwd=here)
    assert (code, out) == (2, "") and "no column 'filepath'; it has: 'file', 'words'" in err


def test_limits_reach_the_decoder(here):
    code, out, _ = run("index", "photos", "--encoder", "toy", "--max-pixels", "1250", cwd=here)
    assert (code, out) == (3, "2 added, 1 failed in T s (R/s) → photos.vsearch\n")
    assert re.search(r"red\.png +decode +.*--max-pixels", run("errors", cwd=here)[1])
    assert run("index", "photos", "--retry-failed", cwd=here)[0] == 0
    assert run("errors", cwd=here)[1] == ""
    code, out, _ = run("index", "photos", "--index", "x", "--encoder", "toy", "--max-bytes", "10", cwd=here)
    assert (code, out) == (3, "0 added, 3 failed in T s → x\n")
    assert run("errors", "x", cwd=here)[1].count("--max-bytes") == 3


def test_an_encoder_that_is_not_the_pinned_one_is_refused(here):
    assert run("index", "photos", "--encoder", "toy", cwd=here)[0] == 0
    code, out, err = run("index", "photos", "--encoder", "mini", cwd=here)
    assert (code, out) == (2, "") and "made with encoder toy" in err and "--encoder toy" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["index", "nowhere"],
            "vsearch: there is no folder or file 'nowhere'. Check the name, and that the disk is there.\n",
        ),
        (["index", "--files-from", "nolist"], "vsearch: cannot read the list of files 'HERE/nolist': No such file"),
        (["index"], "Nothing to index: name a folder"),
        (["index", "photos", "--yes"], "--yes confirms --prune"),
        (["index", "photos", "--encoder", "nonsense"], "There is no encoder named 'nonsense'"),
        (["index", "photos", "--index", "photos", "--encoder", "toy"], "this is not a vsearch index"),
        (["index", "photos", "--index", "no/such/folder.vsearch", "--encoder", "toy"], "no/such"),
        (["index", "photos", "--workers", "0"], "0 is not in the range"),
        (["query"], "Nothing to search for"),
        (["query", " ", "--index", "x"], "no such index; make one with: vsearch index FOLDER"),
        (["query", "red", "-k", "0"], "0 is not in the range"),
        (["query", "red", "-k", "-3"], "-3 is not in the range"),
        (["query", "red", "--json", "--csv"], "--json and --csv exclude each other"),
        (["query", "red"], "there is no *.vsearch in HERE; make one with: vsearch index FOLDER"),
        (["info", "a", "--index", "b"], "The index is named twice"),
        (["nonsense"], "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_usage_says_what_to_type_and_ends_with_2(here, words, message):
    code, out, err = run(*words, cwd=here)
    assert (code, out) == (2, "")
    assert message in err


def test_an_interrupted_run_says_what_was_kept(here):
    assert run("index", "photos", "--encoder", "toy", cwd=here)[0] == 0
    words = ["index", "--files-from", "-", "--index", "photos.vsearch"]
    child = subprocess.Popen(
        [*PROGRAM, *words], cwd=here, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    # More than a pipe holds: once it is written, the child is reading the list.
    child.stdin.write(b"\n" * 900_000)
    child.stdin.flush()
    child.send_signal(signal.SIGINT)
    child.stdin.close()  # a signal that falls between two reads is seen when the next one ends
    assert child.wait(60) == 130
    assert (
        child.stderr.read()
        .decode()
        .endswith(
            "vsearch: interrupted; 3 pictures are in photos.vsearch and stay there. Type the same again to go on.\n"
        )
    )
    child.stderr.close()


# ---------------------------------------------------------------- query


def test_query_table_golden(shown):
    assert run("query", "red", "-k", "3", cwd=shown) == (
        0,
        "#   score   picture                           caption\n"
        "───────────────────────────────────────────────────────────\n"
        "1   1.000   photos/odd \\udcff\\n\\x1b[31m.png\n"
        "2   1.000   photos/red.png                    A red square.\n"
        "3   0.000   photos/blue.png\n",
        "",
    )


def test_query_json_golden(shown):
    code, out, err = run("query", "red apple", "-k", "2", "--json", cwd=shown)
    assert out.encode("utf-8")  # no lone surrogate: what was printed is valid UTF-8
    odd, red = map(json.loads, out.splitlines())
    assert (code, err) == (0, "")
    assert odd["path"] == "HERE/photos/odd \ufffd\n\x1b[31m.png" and odd["path_b64"]
    assert list(red) == ["rank", "id", "score", "confidence", "uri", "path", "caption", "width", "height"]
    del red["id"]
    assert red.pop("score") == pytest.approx(2 / 4.25**0.5, abs=1e-3)
    assert red == {
        "rank": 2,
        "confidence": None,
        "uri": "file://HERE/photos/red.png",
        "path": "HERE/photos/red.png",
        "caption": "A red square.",
        "width": 42,
        "height": 30,
    }


def test_query_csv_paths_and_nul(shown):
    assert run("query", "green", "-k", "1", "--paths", cwd=shown)[1] == "HERE/photos/green.png\n"
    header, row = run("query", "green", "-k", "1", "--csv", cwd=shown)[1].splitlines()
    assert header == "rank,id,score,confidence,uri,path,caption,width,height"
    assert re.fullmatch(r"1,\d+,1\.0,,file://HERE/photos/green\.png,HERE/photos/green\.png,,41,30", row)
    raw = subprocess.run([*PROGRAM, "query", "red", "-k", "2", "-0"], cwd=shown, capture_output=True, env=environment())
    first, second, end = raw.stdout.split(b"\0")
    assert (os.path.basename(first), os.path.basename(second), end) == (ODD, b"red.png", b"")


def test_query_by_picture_by_id_and_by_several_texts(shown):
    asked = ("query", "--image", "photos/blue.png", "-k", "1", "--paths")
    assert run(*asked, cwd=shown)[1] != "HERE/photos/blue.png\n", "the query itself is left out"
    assert run(*asked, "--keep-query", cwd=shown)[1] == "HERE/photos/blue.png\n"
    ids = [json.loads(line)["id"] for line in run("query", "red", "-k", "2", "--json", cwd=shown)[1].splitlines()]
    assert run("query", "--like", str(ids[0]), "-k", "1", "--paths", cwd=shown)[1] == "HERE/photos/red.png\n"
    mixed = run("query", "green", "blue", "-k", "2", "--json", cwd=shown)[1].splitlines()
    found = {os.path.basename(told["path"]): told["score"] for told in map(json.loads, mixed)}
    assert found == pytest.approx({"blue.png": 0.5**0.5, "green.png": 0.5**0.5}, abs=1e-3)


def test_a_query_picture_that_cannot_be_read_is_an_error(shown):
    for name in ("nowhere.png", "photos/broken.jpg", "photos"):
        code, out, err = run("query", "--image", name, cwd=shown)
        assert (code, out) == (2, "") and name in err
    assert run("query", "--like", "99", cwd=shown)[0] == 2


def test_nothing_found_is_exit_1(tmp_path):
    (tmp_path / "photos").mkdir()
    assert run("index", "photos", "--encoder", "toy", cwd=tmp_path)[0] == 0
    assert run("query", "red", "--json", cwd=tmp_path) == (
        1,
        "",
        "vsearch: nothing found among the 0 pictures of photos.vsearch\n",
    )


def test_html_is_written_beside_the_usual_output(shown, tmp_path):
    code, out, _ = run("query", "red", "-k", "2", "--paths", "--html", tmp_path / "page.html", cwd=shown)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert code == 0 and "red.png" in out
    assert page.count('src="data:image/jpeg;base64,') == 2 and "A red square." in page
    code, _, err = run("query", "red", "--html", tmp_path / "no" / "page.html", cwd=shown)
    assert code == 2 and "cannot be written: No such file or directory" in err


def test_preview_into_a_file_is_half_blocks(shown):
    _, out, _ = run("query", "green", "-k", "1", "--preview", cwd=shown)
    first, *_, line, empty = out.split("\n")[:-1]
    assert first == "\x1b[38;2;0;160;0;48;2;0;160;0m▀" * 40 + "\x1b[0m"
    assert (line, empty) == ("1  1.000  photos/green.png", "")


def test_the_index_is_found_by_option_then_variable_then_folder(shown, here):
    assert run("index", "photos", "--index", "b.vsearch", "--encoder", "toy", cwd=here)[0] == 0
    query = ("query", "red", "-k", "1", "--paths")
    ours, theirs = "HERE/photos/red.png\n", f"{shown}/photos/odd"
    assert run(*query, cwd=here)[1] == ours
    assert run(*query, cwd=here, VSEARCH_INDEX=str(shown / "photos.vsearch"))[1].startswith(theirs)
    assert run(*query, "--index", "b.vsearch", cwd=here, VSEARCH_INDEX=str(shown / "photos.vsearch"))[1] == ours
    (here / "a.vsearch").mkdir()
    assert run(*query, cwd=here) == (
        2,
        "",
        "vsearch: there are several indexes here: a.vsearch, b.vsearch; name one with --index, or set $VSEARCH_INDEX\n",
    )


# ---------------------------------------------------------------- the other commands


def test_errors_lists_each_file_with_its_reason(shown, here):
    code, out, _ = run("errors", cwd=shown)
    assert code == 0
    assert re.search(r"^photos/broken\.jpg +decode +not a picture", out, re.MULTILINE)
    told = json.loads(run("errors", "--json", "photos.vsearch", cwd=shown)[1])
    assert list(told) == ["uri", "path", "stage", "reason"] and told["path"] == "HERE/photos/broken.jpg"
    run("index", "photos", "--encoder", "toy", cwd=here)
    assert run("errors", cwd=here) == (0, "", "vsearch: no file has failed in photos.vsearch\n")


def test_info_in_words_and_as_json(shown):
    told = json.loads(run("info", "--json", cwd=shown)[1])
    assert (told["images"], told["failed"], told["encoder"], told["dim"]) == (4, 1, "toy", 64)
    assert re.search(r"^encoder +toy$", run("info", "--index", "photos.vsearch", cwd=shown)[1], re.MULTILINE)


def test_check_finds_a_changed_byte_and_repair_mends_it(here):
    run("index", "photos", "--encoder", "toy", cwd=here)
    code, out, err = run("check", cwd=here)
    assert (code, err) == (0, "") and out.startswith("no problems\ncompared 3 pictures, ")
    (rows,) = here.glob("photos.vsearch/spaces/*/vectors/*.f16")
    raw = bytearray(rows.read_bytes())
    raw[-1] ^= 1
    rows.write_bytes(raw)
    code, out, err = run("check", cwd=here)
    assert code == 2 and rows.name in out
    assert err == "vsearch: mend it with: vsearch repair photos.vsearch\n"
    assert json.loads(run("check", "--json", cwd=here)[1])["problems"]
    assert "again" in run("repair", cwd=here)[1]
    assert run("check", cwd=here)[0] == 0
    assert run("repair", cwd=here) == (0, "nothing to repair\n", "")
    assert run("query", "red", "-k", "1", "--paths", cwd=here)[1] == "HERE/photos/red.png\n"


def test_backup_compact_and_build(here):
    run("index", "photos", "--encoder", "toy", cwd=here)
    (here / "photos/blue.png").unlink()
    assert run("index", "photos", "--prune", "--yes", cwd=here)[0] == 0
    assert run("compact", cwd=here)[:2] == (0, "1 forgotten vectors removed\n")
    assert run("backup", "copy", cwd=here)[:2] == (0, "photos.vsearch copied to copy\n")
    assert run("query", "green", "-k", "1", "--paths", "--index", "copy", cwd=here)[1] == "HERE/photos/green.png\n"
    code, _, err = run("backup", "copy", "photos.vsearch", cwd=here)
    assert code == 2 and "name a new place" in err
    assert "too few" in run("build", "--recipe", "ivf-pq", cwd=here)[2]
    assert run("build", "--json", cwd=here)[:2] == (0, '{"recipe": "flat"}\n')
    assert run("build", "--recipe", "flat", "--json", cwd=here)[:2] == (0, '{"recipe": "flat"}\n')


def test_models_lists_what_is_here(shown):
    known = {told["name"]: told for told in map(json.loads, run("models", "--json", cwd=shown)[1].splitlines())}
    assert known["mini"]["licence"] == "Apache-2.0" and known["toy"]["on_this_machine"] is True
    assert re.search(r"^mini +yes +141 +384 +1.7 ", run("models", cwd=shown)[1], re.MULTILINE)


# ---------------------------------------------------------------- streams and terminals


@pytest.mark.parametrize("words", [["query", "red", "--json"], ["errors"]])
def test_a_reader_that_goes_away_is_no_error(shown, words):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([*PROGRAM, *words], cwd=shown, stdout=writer, stderr=subprocess.PIPE, env=environment())
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_an_error(shown):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROGRAM, "query", "red", "--json"], cwd=shown, stdout=full, stderr=subprocess.PIPE, env=environment()
        )
    told = b"vsearch: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, told)


def test_a_terminal_that_knows_only_ascii_gets_escapes(shown):
    code, out, _ = run("query", "green", "-k", "1", cwd=shown, PYTHONIOENCODING="ascii")
    assert code == 0 and out.isascii() and "photos/green.png" in out
    assert run("query", "red", "-k", "1", "--json", cwd=shown, PYTHONIOENCODING="ascii")[0] == 0


def on_terminal(*words: str, cwd: Path) -> tuple[int, str]:
    """Exit code and all that the program writes to a terminal 80 columns wide that answers no question."""
    outside, inside = pty.openpty()
    env = environment(COLUMNS="80", LINES="24")
    child = subprocess.Popen(
        [*PROGRAM, *words], cwd=cwd, stdin=inside, stdout=inside, stderr=inside, env=env, start_new_session=True
    )
    os.close(inside)
    told = b""
    try:
        while piece := os.read(outside, 4096):
            told += piece
    except OSError:  # the terminal closes with its last writer
        pass
    os.close(outside)
    return child.wait(60), told.decode()


def test_on_a_terminal_the_table_is_coloured_and_names_are_harmless(shown):
    code, told = on_terminal("query", "red", "-k", "2", cwd=shown)
    assert code == 0 and "\x1b[36m" in told
    assert "\\x1b[31m" in told and "\x1b[31m" not in told
    code, told = on_terminal("query", "red", "-k", "2", "--paths", cwd=shown)
    assert told == f"{shown}/photos/odd \\udcff\\n\\x1b[31m.png\r\n{shown}/photos/red.png\r\n"


def test_on_a_terminal_indexing_shows_how_far_it_is(here):
    code, told = on_terminal("index", "photos", "--encoder", "toy", cwd=here)
    assert code == 0
    assert "3 of 3 pictures" in told and "left" in told
    assert re.search(r"3 added in [0-9.]+ s \(\d+/s\) → photos\.vsearch\r\n$", told)


def test_help_of_every_command_is_there_and_names_its_options(tmp_path):
    code, out, err = run("--help", cwd=tmp_path)
    listed = re.findall(r"^  ([a-z][a-z-]*)  ", out, re.MULTILINE)
    assert (code, err) == (0, "")
    finding = "index watch fetch import query serve explain audit describe classify tag dups"
    finding += " info roots forget errors"
    keeping = "check repair build compact backup restore merge export spaces"
    assert listed == f"{finding} {keeping} eval train train-reranker store-patches models doctor".split()
    for command in ("index", "query", "errors"):
        told = run(command, "--help", cwd=tmp_path)[1]
        assert f"Usage: vsearch {command}" in told and "--json" in told
    assert run("--version", cwd=tmp_path)[1] == "vsearch, version 0.1.0\n"


def test_help_loads_nothing_heavy():
    """Starting takes under 0.3 s only without these; rich is left for when something is shown."""
    code = (
        "import sys; from vsearch.cli import main; code = main(['--help']); "
        "heavy = {'numpy', 'torch', 'faiss', 'PIL', 'lmdb', 'rich', 'open_clip'} & set(sys.modules); "
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment())
    assert (done.returncode, done.stderr) == (0, b"")
