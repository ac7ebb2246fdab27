"""Files with the same bytes: embedded once, found once, with all of their paths."""

import json
import shutil
from contextlib import closing

import numpy as np
import pytest
from forked import run

import vsearch
from vsearch.embed import load_encoder
from vsearch.search.ranking import page, ranked
from vsearch.store import Addition, Batch, Record, Store


class Counting:
    """The toy encoder, which tells how many pictures it was given."""

    def __init__(self):
        self._toy = load_encoder("toy")
        self.info, self.preprocess, self.temperature = self._toy.info, self._toy.preprocess, None
        self.seen = 0

    def encode_images(self, pixels):
        self.seen += len(pixels)
        return self._toy.encode_images(pixels)

    def encode_texts(self, texts):
        return self._toy.encode_texts(texts)


@pytest.fixture
def copied(photos):
    """Six pictures, two of them three times and once more."""
    shutil.copy(photos / "red.png", photos / "again.png")
    shutil.copy(photos / "red.png", photos / "light/z.png")
    shutil.copy(photos / "blue.png", photos / "light/a.png")
    return photos


def test_the_same_bytes_are_embedded_once_also_within_a_batch(tmp_path, copied):
    encoder = Counting()
    with vsearch.create(tmp_path / "x.vsearch", encoder=encoder) as index:
        assert index.add(vsearch.folder(copied)).added == 9
        assert encoder.seen == 6
        with index.store.snapshot() as snapshot:
            ids = [snapshot.at_path(bytes(copied / name)) for name in ("red.png", "again.png", "light/z.png")]
            rows = snapshot.vectors(np.array(sorted(ids)))
        assert (rows == rows[0]).all()
        shutil.copy(copied / "green.png", copied / "late.png")
        assert index.add(vsearch.folder(copied)).added == 1
        assert encoder.seen == 6


def test_k_means_distinct_pictures_and_each_names_its_copies(tmp_path, copied):
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(copied))
        hits = index.search("red", k=3)
        assert len({hit.path.stem for hit in hits}) == 3
        assert {hits[0].path, *hits[0].copies} == {copied / n for n in ("red.png", "again.png", "light/z.png")}
        assert list(hits[0].copies) == sorted(hits[0].copies)
        assert len(index.search("red", k=99)) == 6
        assert [hit.rank for hit in index.search("red", k=99)] == [1, 2, 3, 4, 5, 6]
        (copied / hits[0].path).unlink()
        index.add(vsearch.folder(copied))
        assert len(index.search("red", k=1)[0].copies) == 1, "what is gone is no copy"


def test_a_query_picture_is_left_out_with_its_copies(tmp_path, copied):
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(copied))
        red = index.search("red", k=1)[0]
        others = index.search(vsearch.Query.like(red.id), k=99)
        assert len(others) == 5
        assert not {red.path, *red.copies} & {hit.path for hit in others}


@pytest.mark.parametrize("k", [1, 3, 7, 40, 500])
def test_folding_gives_what_a_plain_loop_over_all_rows_gives(tmp_path, k):
    rng = np.random.default_rng(k)
    contents = rng.integers(0, 60, 400)  # 400 files, at most 60 pictures; number 0 has 200 of them
    contents[:200] = 0
    vectors = rng.normal(size=(60, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with closing(Store.create(tmp_path / "x", load_encoder("toy").info)) as store:
        store.commit(Batch([_row(n, int(c), vectors[c]) for n, c in enumerate(contents)]))
        store.commit(Batch(dropped=[0, 5, 399]))
        with store.snapshot() as snapshot:
            alive = snapshot.live_ids()
            scores = snapshot.vectors(alive) @ vectors[0]

            def find(count, exclude):
                kept = [(-s, i) for s, i in zip(scores.tolist(), alive.tolist(), strict=True) if i not in exclude]
                best = sorted(kept)[:count] + [(np.inf, -1)] * (count - len(kept))
                return -np.array([s for s, _ in best]), np.array([i for _, i in best])

            hits = page(ranked(snapshot, k, find), k)
    groups = {}
    for score, id in sorted(zip(-scores, alive.tolist(), strict=True)):
        groups.setdefault(contents[id], (id, -score, []))[2].append(id)
    wanted = list(groups.values())[:k]
    assert [(hit.id, len(hit.copies)) for hit in hits] == [(id, len(ids) - 1) for id, _, ids in wanted]
    assert [hit.score for hit in hits] == pytest.approx([min(1, score) for _, score, _ in wanted])


def _row(number, content, vector):
    record = Record(b"/p/%05d" % number, content.to_bytes(16, "big"), 1, 1, 1, 1, 1, 1)
    return Addition(record, vector)


def test_copies_are_shown_by_the_program(tmp_path, copied):
    assert run("index", "photos", "--encoder", "toy", cwd=tmp_path)[0] == 0
    assert run("query", "blue", "-k", "1", cwd=tmp_path)[1] == (
        "#   score   picture\n"
        "────────────────────────────────\n"
        "1   1.000   photos/blue.png\n"
        "            = photos/light/a.png\n"
    )
    told = json.loads(run("query", "blue", "-k", "1", "--json", cwd=tmp_path)[1])
    assert [copy["path"] for copy in told["copies"]] == ["HERE/photos/light/a.png"]
