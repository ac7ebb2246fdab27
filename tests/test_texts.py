"""Captions and phrases as a second set of vectors, against a plain loop; their files are believed only when whole."""

import json
import shutil

import numpy as np
import pytest
from forked import run

import vsearch
from vsearch import phrases
from vsearch.embed import load_encoder
from vsearch.errors import EncoderUnavailable, QueryError
from vsearch.files import Sink, create
from vsearch.store import Store
from vsearch.texts.sets import captions_of
from vsearch.texts.textset import TextSet, read


class Counting:
    """The toy encoder, which tells which texts it was given, and fails when told to."""

    def __init__(self):
        self._toy = load_encoder("toy")
        self.info, self.preprocess, self.temperature = self._toy.info, self._toy.preprocess, None
        self.seen = []
        self.stop_after = None

    def encode_images(self, pixels):
        return self._toy.encode_images(pixels)

    def encode_texts(self, texts):
        if self.stop_after is not None and len(self.seen) >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += texts
        return self._toy.encode_texts(texts)


@pytest.fixture
def captioned(photos):
    """Six pictures of one colour each; three have captions, one of two lines, one the same as another's."""
    (photos / "red.txt").write_text("a red square\nsomething scarlet\n")
    (photos / "blue.txt").write_text("the blue sea\n")
    (photos / "green.txt").write_text("a red square\n\n  \n")
    return photos


@pytest.fixture
def made(tmp_path, captioned):
    encoder = Counting()
    with vsearch.create(tmp_path / "x.vsearch", encoder=encoder) as index:
        index.add(vsearch.folder(captioned))
        yield index, encoder, captioned


def derived_files(index):
    return sorted(path.name for path in index.path.glob("spaces/*/derived/*"))


# What is found


def test_captions_for_a_picture_and_pictures_for_a_caption_are_one_call(made):
    index, _, photos = made
    blue = index.search("the blue sea", k=1)
    assert blue[0].path.name == "blue.png" and blue[0].ids == ()
    told = index.search(photos / "blue.png", k=1, target="captions")
    assert (told[0].caption, told[0].path.name, told[0].ids) == ("the blue sea", "blue.png", (blue[0].id,))
    assert told[0].score == pytest.approx(blue[0].score, abs=1e-3), "fp16 on both sides"


def test_every_line_is_a_caption_and_equal_ones_are_one_with_all_their_pictures(made):
    index, encoder, photos = made
    hits = index.search("a red square", k=9, target="captions")
    assert sorted(hit.caption for hit in hits) == ["a red square", "something scarlet", "the blue sea"]
    assert [hit.rank for hit in hits] == [1, 2, 3]
    with index.store.snapshot() as snapshot:
        both = sorted(snapshot.at_path(bytes(photos / name)) for name in ("red.png", "green.png"))
    assert hits[0].ids == tuple(both) and hits[0].score == pytest.approx(1, abs=1e-3)
    assert encoder.seen[0] == "a red square" and sorted(encoder.seen[1:]) == [
        "a red square",
        "something scarlet",
        "the blue sea",
    ]


def test_scores_are_those_of_a_plain_loop(made):
    index, encoder, photos = made
    query = encoder.encode_texts(["red sea"])[0]
    with index.store.snapshot() as snapshot:
        wanted = {text: float(query @ encoder.encode_texts([text])[0]) for text in captions_of(snapshot)}
    found = {hit.caption: hit.score for hit in index.search("red sea", k=9, target="captions")}
    assert found == pytest.approx(wanted, abs=1e-3)


def test_describe_gives_captions_and_phrases_in_order(made):
    index, encoder, photos = made
    told = index.describe(photos / "red.png", k=4)
    assert [hit.caption for hit in told.captions][0] == "a red square"
    red = encoder.encode_images(_pixels(photos / "red.png"))[0]
    scores = encoder.encode_texts(list(phrases.load())) @ red
    assert [p.score for p in told.phrases] == pytest.approx(sorted(scores, reverse=True)[:4], abs=1e-3)
    assert all("red" in phrase.text for phrase in told.phrases)


def _pixels(path):
    from vsearch.decode import decode_one

    return decode_one(bytes(path), load_encoder("toy").preprocess).pixels[None]


def test_a_collection_without_captions_has_none(tmp_path, photos):
    (photos / "red.txt").unlink()
    with vsearch.create(tmp_path / "y.vsearch", encoder="toy") as index:
        assert index.search("red", target="captions") == []
        index.add(vsearch.folder(photos))
        assert index.search("red", target="captions") == []


def test_what_cannot_be_asked_is_refused(made, tmp_path):
    index, _, photos = made
    with pytest.raises(QueryError, match="k is 0"):
        index.search("red", k=0, target="captions")
    with vsearch.create(tmp_path / "e.vsearch", encoder="external:mine:8") as bare:
        bare.add_vectors(["a"], np.ones((1, 8)), {"caption": ["words"]})
        with pytest.raises(EncoderUnavailable, match="texts cannot be embedded"):
            bare.search(np.ones(8), target="captions")


# Kept, and kept up to date


def test_only_new_captions_are_embedded_also_by_another_process(made):
    index, encoder, photos = made
    index.search("red", target="captions")
    (photos / "white.txt").write_text("snow\n")  # not beside a picture
    (photos / "light/white.txt").write_text("white snow\n")
    (photos / "blue.txt").unlink()
    index.add(vsearch.folder(photos))
    encoder.seen.clear()
    assert {hit.caption for hit in index.search("red", target="captions")} == {
        "a red square",
        "something scarlet",
        "white snow",
    }
    assert encoder.seen == ["red", "white snow"]
    other = Counting()
    with vsearch.open(index.path, encoder=other) as again:
        assert len(again.search("red", target="captions")) == 3
    assert other.seen == ["red"]
    assert len(derived_files(index)) == 1, "what was superseded is gone"


def test_an_index_open_for_reading_keeps_what_it_embedded(made):
    index, _, photos = made
    index.close()
    for embedded in (3, 0):
        encoder = Counting()
        with vsearch.open(index.path, encoder=encoder) as reading:
            reading.search(photos / "red.png", target="captions")
        assert len(encoder.seen) == embedded


def test_while_another_writes_captions_are_found_and_nothing_is_kept(made):
    index, _, photos = made
    encoder = Counting()
    with vsearch.open(index.path, encoder=encoder) as reading:  # `index` holds the writer's lock
        for _ in range(2):
            assert len(reading.search(photos / "red.png", target="captions")) == 3
    assert len(encoder.seen) == 3
    assert derived_files(index) == []


def test_a_deleted_picture_takes_its_captions_with_it(made):
    index, encoder, photos = made
    index.search("red", target="captions")
    (blue,) = index.search("blue", k=1)
    index.remove([blue.id])
    encoder.seen.clear()
    assert {h.caption for h in index.search("blue", target="captions")} == {"a red square", "something scarlet"}
    (photos / "red.png").unlink()  # only marked as missing
    index.add(vsearch.folder(photos))
    (hit,) = index.search("red square", k=1, target="captions")
    assert hit.path.name == "green.png" and len(hit.ids) == 1


def test_an_interrupted_run_keeps_what_it_embedded(made):
    index, encoder, photos = made
    encoder.stop_after = 1028  # the query, three captions, four batches of phrases
    with pytest.raises(KeyboardInterrupt):
        index.describe(vsearch.Query("red"))
    encoder.stop_after = None
    before = len(encoder.seen)
    index.describe(vsearch.Query("red"))
    assert len(encoder.seen) - before == 1 + len(phrases.load()) - 1024


def test_a_damaged_file_is_named_by_check_dropped_by_repair_and_never_believed(made):
    index, encoder, photos = made
    wanted = [(h.caption, h.score) for h in index.search("red", target="captions")]
    (path,) = index.path.glob("spaces/*/derived/*")
    raw = bytearray(path.read_bytes())
    raw[70] ^= 0x40
    path.write_bytes(raw)
    assert [p for p in index.check().problems if path.name in p]
    told = []
    other = Counting()
    index.close()
    with vsearch.open(index.path, encoder=other, on_notice=told.append) as again:
        assert [(h.caption, h.score) for h in again.search("red", target="captions")] == wanted
    assert any("does not match its checksum" in line for line in told) and len(other.seen) == 4
    with vsearch.open(index.path, write=True) as again:
        (path,) = index.path.glob("spaces/*/derived/*")
        path.write_bytes(b"")
        assert "dropped damaged vectors of texts" in again.repair().actions[0]
        assert again.check().problems == ()
        assert not path.exists()


def test_a_file_that_is_gone_and_a_backup_without_it_are_no_problem(made, tmp_path):
    index, encoder, photos = made
    index.search("red", target="captions")
    shutil.rmtree(next(index.path.glob("spaces/*/derived")))
    assert index.check().problems == ()
    index.backup(tmp_path / "copy.vsearch")
    other = Counting()
    with vsearch.open(tmp_path / "copy.vsearch", encoder=other) as copy:
        assert copy.check().problems == ()
        assert len(copy.search("red", target="captions")) == 3
    assert len(other.seen) == 4


# On disk


def test_a_set_comes_back_as_it_was_written(tmp_path):
    rows = np.random.default_rng(2).normal(size=(3, 5)).astype(np.float16)
    told = TextSet.of({"": [7], "ünï 中": [1, 2, 9], "x" * 5000: []}, rows)
    with open(create(tmp_path / "s"), "wb") as file:
        told.write(Sink(file.fileno()))
    back = read(tmp_path / "s", 5)
    assert list(back.texts()) == ["", "ünï 中", "x" * 5000] == [back.text(n) for n in range(3)]
    assert [back.owners_of(n).tolist() for n in range(3)] == [[7], [1, 2, 9], []]
    assert (back.rows == rows).all()
    assert back.owned(np.array([False, False, True, False])).tolist() == [False, True, False]


def test_what_is_derived_is_as_old_as_what_it_was_made_from(tmp_path):
    from vsearch.store import Batch, publishing

    store = Store.create(tmp_path / "s", load_encoder("toy").info)
    with store.snapshot() as snapshot:
        read_at = snapshot.txn_id
    publishing.publish(store, "words", lambda sink: sink.put(b"one"), read_at)
    with store.snapshot() as snapshot:
        assert snapshot.derived("words").as_of == snapshot.txn_id
        assert snapshot.derived("others") is None
    store.commit(Batch(healed=[b"/x"]))
    publishing.publish(store, "words", lambda sink: sink.put(b"two"), read_at)
    with store.snapshot() as snapshot:
        named = snapshot.derived("words")
        assert named.as_of == 0, "something was committed since it was read"
    store.close()
    assert (store.layout.derived(load_encoder("toy").info.space) / named.name).read_bytes() == b"two"


# The program


def test_describe_and_query_for_captions_golden(tmp_path, captioned):
    assert run("index", "photos", "--encoder", "toy", cwd=tmp_path)[0] == 0
    code, out, err = run("describe", "photos/blue.png", "-k", "1", cwd=tmp_path)
    assert (code, err) == (0, "vsearch: embedding 3,334 phrases; they are kept for the next time\n")
    first, rule, caption, phrase = out.splitlines()
    assert first.split() == ["score", "caption", "of"]
    assert caption == "0.943   the blue sea   photos/blue.png"
    assert phrase.split()[-1] == "phrase" and "blue" in phrase
    told = json.loads(run("describe", "--id", "0", "-k", "2", "--json", cwd=tmp_path)[1])
    assert list(told) == ["captions", "phrases"] and len(told["captions"]) == len(told["phrases"]) == 2
    assert list(told["captions"][0]) == ["caption", "score", "ids", "uri", "path"]
    code, out, err = run("query", "--target", "captions", "the sea", "-k", "1", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "1   0.333   photos/blue.png   the blue sea"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Name one picture"),
        (["a.png", "--id", "3"], "Name one picture"),
        (["--id", "99"], "no picture has the id 99"),
        (["nowhere.png"], "nowhere.png"),
    ],
)
def test_bad_use_of_describe(tmp_path, captioned, words, message):
    assert run("index", "photos", "--encoder", "toy", cwd=tmp_path)[0] == 0
    code, out, err = run("describe", *words, cwd=tmp_path)
    assert (code, out) == (2, "") and message in err
