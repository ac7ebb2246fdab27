"""Changing the encoder of an index without losing search: several spaces over the same pictures."""

import json
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from forked import run
from PIL import Image

import vsearch
from vsearch.embed.toy import Toy
from vsearch.errors import EncoderMismatch, QueryError, SourceError
from vsearch.ingest import RespaceOptions, respace
from vsearch.kernels import topk
from vsearch.search import Request
from vsearch.store import spaces
from vsearch.store.records import with_runs

COLOURS = {"blue": (0, 0, 255), "green": (0, 160, 0), "red": (255, 0, 0), "yellow": (250, 240, 0)}


class Turned(Toy):
    """Another encoder with as much meaning: the toy's vectors with their numbers in reverse order, and a few more."""

    calls = 0

    def __init__(self):
        super().__init__()
        self.info = replace(self.info, name="turned", weights="f" * 64, dim=self.info.dim + 3)

    def encode_images(self, pixels):
        self.calls += 1
        return self._turned(super().encode_images(pixels))

    def encode_texts(self, texts):
        return self._turned(super().encode_texts(texts))

    def _turned(self, rows):
        return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, 3)))[:, ::-1])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (24, 24), colour).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def index(photos, tmp_path, monkeypatch):
    """An index of the toy encoder in which ``turned`` can be loaded by name."""
    from vsearch.embed import load

    usual, by_name = load._make, load._full_name
    monkeypatch.setattr(load, "_full_name", lambda name: name if name == "turned" else by_name(name))
    monkeypatch.setattr(load.known, "check", lambda name, origin: None)
    monkeypatch.setattr(load, "_make", lambda full, *rest: Turned() if full == "turned" else usual(full, *rest))
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(photos))
        yield index


def names(index, query="green", k=10):
    return [hit.path.stem for hit in index.search(query, k=k)]


def everything(index, encoder):
    """Each picture's id and vector, made by hand from its file."""
    with index.store.snapshot() as snapshot:
        ids = snapshot.live_ids()
        paths = [snapshot.record(int(id)).path for id in ids]
        stored = snapshot.vectors(ids)
    size = encoder.preprocess.size
    pixels = [np.asarray(Image.open(path).convert("RGB").resize((size, size))) for path in paths]
    return ids, stored, encoder.encode_images(np.stack(pixels))


def test_all_pictures_are_embedded_anew_under_their_ids(index):
    before = {hit.path: hit.id for hit in index.search("green", k=10)}
    report = index.change_encoder(Turned())
    assert (report.embedded, report.failures, report.missing) == (4, (), 0)
    assert index.encoder_info.name == "turned" and names(index)[0] == "green"
    assert {hit.path: hit.id for hit in index.search("green", k=10)} == before
    _, stored, by_hand = everything(index, Turned())
    np.testing.assert_allclose(stored, by_hand, atol=1e-3)
    assert index.check().problems == ()
    told = [(s.encoder.name, s.embedded, s.live, s.complete) for s in index.spaces()]
    assert told == [("toy", 4, False, True), ("turned", 4, True, True)]


def test_the_old_space_is_gone_back_to_and_neither_loses_what_came_meanwhile(index, photos):
    index.change_encoder(Turned())
    Image.new("RGB", (24, 24), (250, 240, 10)).save(photos / "lemon.png")
    (photos / "red.png").unlink()
    index.add(vsearch.folder(photos))
    assert names(index, "yellow", 2) == ["yellow", "lemon"]
    report = index.use_space("toy")
    assert report.embedded == 1, "only the lemon is new to it"
    assert index.encoder_info.name == "toy" and set(names(index, "yellow", 2)) == {"yellow", "lemon"}
    assert "red" not in names(index)
    _, stored, by_hand = everything(index, Toy())
    np.testing.assert_allclose(stored, by_hand, atol=1e-3)
    assert index.use_space("turned").embedded == 0
    assert index.check().problems == ()


class Stop(Exception):
    """Stands for whatever ends a run."""


def test_a_run_that_was_stopped_goes_on_where_it_was(index, photos, monkeypatch):
    monkeypatch.setattr(sys.modules["vsearch.ingest.respace"], "BATCH_IMAGES", 1)

    def stop(progress):
        if progress.done == 2:
            raise Stop

    encoder = Turned()
    with pytest.raises(Stop):
        index.change_encoder(encoder, progress=stop)
    assert index.encoder_info.name == "toy" and names(index)[0] == "green", "the old one answers"
    assert [(s.embedded, s.complete) for s in index.spaces()] == [(4, True), (2, False)]
    with pytest.raises(QueryError, match="not complete"):
        spaces.switch(index.store, encoder.info.space)
    Image.new("RGB", (24, 24), (0, 150, 20)).save(photos / "leaf.png")
    (photos / "blue.png").unlink()
    index.add(vsearch.folder(photos), prune=True, yes=True)
    again = Turned()
    assert index.change_encoder(again).embedded == 3 and again.calls == 3
    assert set(names(index, "green", 2)) == {"green", "leaf"} and "blue" not in names(index)
    assert index.check().problems == ()


def test_what_cannot_be_read_again_is_told_and_comes_back_with_the_next_look(index, photos):
    whole = (photos / "blue.png").read_bytes()
    (photos / "blue.png").write_bytes(b"no picture")
    Image.new("RGB", (24, 24), (1, 1, 1)).save(photos / "red.png")
    report = index.change_encoder(Turned())
    told = sorted((Path(f.path.decode()).stem, f.stage) for f in report.failures)
    assert told == [("blue", "decode"), ("red", "read")]
    assert report.embedded == 2 and len(index) == 2 and sorted(names(index)) == ["green", "yellow"]
    assert index.check().problems == ()
    assert index.info()["images"] == 2
    lost = next(id for id in range(4) if index.store.snapshot().__enter__().is_absent(id))
    with pytest.raises(QueryError, match="could not be read when the encoder was changed"):
        index.search(vsearch.Query.like(lost))
    (photos / "blue.png").write_bytes(whole)
    report = index.add(vsearch.folder(photos))
    assert report.added == 2 and report.failed == 0 and len(index) == 4
    assert names(index, "blue")[0] == "blue"
    assert index.check().problems == ()
    assert index.use_space("toy").embedded == 2
    assert names(index, "blue")[0] == "blue" and index.check().problems == ()


def test_a_picture_absent_with_unchanged_bytes_is_read_again(index, photos, tmp_path):
    # Away while the encoder changed, back afterwards with the same times: only its absence tells that it is needed.
    (photos / "blue.png").rename(tmp_path / "away.png")
    report = index.change_encoder(Turned(), yes=True)
    assert [f.path for f in report.failures] == [bytes(photos / "blue.png")]
    (tmp_path / "away.png").rename(photos / "blue.png")
    assert index.add(vsearch.folder(photos)).added == 1
    assert names(index, "blue")[0] == "blue"


def test_a_missing_disk_is_not_taken_for_lost_pictures(index, photos):
    photos.rename(photos.with_name("elsewhere"))
    with pytest.raises(SourceError, match="4 of 4 pictures are not there.*disk not mounted"):
        index.change_encoder(Turned())
    assert len(index.spaces()) == 1 and names(index, "green")[0] == "green"


def test_a_dropped_picture_leaves_a_row_that_is_never_found(index):
    second = index.search("red", k=1)[0].id
    index.remove([second])
    index.change_encoder(Turned())
    assert "red" not in names(index) and len(names(index)) == 3
    index.compact()
    assert index.check().problems == () and len(names(index)) == 3
    assert index.use_space("toy").embedded == 0 and len(names(index)) == 3


def test_a_wide_gap_of_dropped_ids_costs_no_rows(index, monkeypatch):
    monkeypatch.setattr(spaces, "WIDEST_GAP", 1)
    index.remove([1, 2])
    index.change_encoder(Turned())
    with index.store.snapshot() as snapshot:
        assert [(s.first_id, s.rows) for s in snapshot.space.segments] == [(0, 1), (3, 1)]
    assert len(names(index)) == 2 and index.check().problems == ()


def test_a_reader_that_is_open_changes_its_encoder_with_the_index(index):
    with vsearch.open(index.path) as reader:
        assert names(reader)[0] == "green" and reader.encoder_info.name == "toy"
        index.change_encoder(Turned())
        assert names(reader)[0] == "green" and reader.encoder.info.name == "turned"
        index.use_space("toy")
        assert names(reader)[0] == "green" and reader.encoder.info.name == "toy"


def test_queries_during_changes_are_never_answered_from_the_wrong_space(index):
    index.change_encoder(Turned())
    wrong, done = [], threading.Event()

    def ask():
        with vsearch.open(index.path) as reader:
            while not done.is_set():
                try:
                    told = reader.search("green", k=1)[0]
                    if told.path.stem != "green" or told.score < 0.5:
                        wrong.append(told)
                except Exception as error:
                    wrong.append(error)

    with vsearch.open(index.path) as before:
        usual = before.search("green", k=1)[0].score
    assert usual > 0.5
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(40):
        index.use_space(("toy", "turned")[turn % 2])
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_query_that_was_embedded_before_the_change_is_answered_in_its_own_space(index):
    query, space = index._searcher.embed(Request("green"))
    index.change_encoder(Turned())
    assert space.name != index.info()["space"]
    with index.store.snapshot(space.name) as snapshot:
        _, ids = topk(query.vector, snapshot.blocks(), 1, snapshot.live)
        assert snapshot.record(int(ids[0, 0])).path.endswith(b"green.png")


def test_a_backup_holds_all_spaces(index, tmp_path):
    index.change_encoder(Turned())
    index.backup(tmp_path / "copy.vsearch")
    with vsearch.open(tmp_path / "copy.vsearch", write=True) as copy:
        assert copy.check().problems == () and names(copy)[0] == "green"
        assert copy.use_space("toy").embedded == 0 and names(copy)[0] == "green"


def test_the_live_space_is_not_removed_and_another_leaves_nothing(index):
    with pytest.raises(QueryError, match="answers the queries"):
        index.remove_space("toy")
    with pytest.raises(QueryError, match="no space named 'mini'"):
        index.use_space("mini")
    index.change_encoder(Turned())
    gone = index.remove_space("toy")
    assert [s.encoder.name for s in index.spaces()] == ["turned"]
    assert not (index.path / "spaces" / gone).exists()
    assert index.check().problems == () and names(index)[0] == "green"
    assert index.change_encoder(Toy()).embedded == 4, "embedded anew"


def test_damage_to_a_space_that_is_not_in_use_is_told_and_costs_nothing(index):
    index.change_encoder(Turned())
    with index.store.snapshot(index.spaces()[0].name) as snapshot:
        place = snapshot.readers[0].path
    raw = bytearray(place.read_bytes())
    raw[70] ^= 1
    place.write_bytes(raw)
    problems = index.check().problems
    assert len(problems) == 1 and "not in use" in problems[0] and "vsearch spaces remove toy" in problems[0]
    assert names(index)[0] == "green"
    index.remove_space("toy")
    assert index.check().problems == ()


def test_vectors_from_elsewhere_cannot_be_embedded(index):
    from vsearch.embed.external import External
    from vsearch.errors import EncoderError

    with pytest.raises(EncoderError, match="can embed no picture"):
        respace(index.store, External("external:other:8", None), RespaceOptions())


def test_runs_of_ids():
    assert with_runs((), [3, 4, 9]) == ((3, 5), (9, 10))
    assert with_runs(((3, 5),), [5, 6]) == ((3, 7),)


# ---------------------------------------------------------------- the commands


def test_the_commands_from_one_encoder_to_another_and_back(photos, tmp_path):
    assert run("index", "photos", "--encoder", "toy", cwd=tmp_path)[0] == 0
    code, out, err = run("index", "photos", "--encoder", "mini", cwd=tmp_path)
    assert code == 2 and "change the index: `vsearch index --encoder mini`" in err
    code, out, err = run("index", "--encoder", "mini", "--no-build", cwd=tmp_path)
    assert code == 0 and out.startswith("4 embedded in T s") and out.endswith(" answers now\n")
    assert "embedding 4 pictures anew; toy answers until that is done" in err
    code, out, _ = run("spaces", "--json", cwd=tmp_path)
    told = [json.loads(line) for line in out.splitlines()]
    assert [(s["encoder"], s["embedded"], s["live"]) for s in told] == [("toy", 4, False), ("mini", 4, True)]
    code, out, _ = run("spaces", cwd=tmp_path)
    rows = [line.split() for line in out.splitlines()]
    assert rows[2][1:] == ["toy", "4", "of", "4", "complete"] and rows[3][1:] == ["mini", "4", "of", "4", "answers"]
    assert run("spaces", "remove", "mini", cwd=tmp_path)[0] == 2
    code, out, _ = run("spaces", "use", "toy", cwd=tmp_path)
    assert code == 0 and out.startswith("0 embedded in T s; toy-")
    code, out, _ = run("spaces", "remove", "mini", cwd=tmp_path)
    assert code == 0 and out.startswith("removed mini-")
    assert run("query", "green", "--paths", "-k", "1", cwd=tmp_path)[1] == "HERE/photos/green.png\n"


def test_bad_input_is_told(photos, tmp_path):
    assert run("index", "photos", "--encoder", "toy", cwd=tmp_path)[0] == 0
    code, _, err = run("spaces", "use", "none", cwd=tmp_path)
    assert code == 2 and "has no space named 'none'; it has: toy-" in err
    code, _, err = run("index", "--encoder", "nonsense", cwd=tmp_path)
    assert code == 2 and "There is no encoder named 'nonsense'" in err
    photos.rename(tmp_path / "gone")
    code, _, err = run("index", "--encoder", "mini", cwd=tmp_path)
    assert code == 2 and "is a disk not mounted?" in err


def test_a_mismatch_names_the_way_out():
    from vsearch.embed.load import check_same

    with pytest.raises(EncoderMismatch, match="vsearch index --encoder turned"):
        check_same(Turned().info, Toy().info)
