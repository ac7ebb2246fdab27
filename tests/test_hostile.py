"""P12: one bad file never stops a run, and each is listed with a reason.  The short form of the corpus."""

import dataclasses
import os

import pytest
from hostile_corpus import judge, make

from vsearch.decode import DecodePool, Job, Limits
from vsearch.types import Failure, PixelSpec

LIMITS = Limits(max_pixels=40_000_000, max_bytes=20_000_000, seconds=3, memory_mb=96)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make(tmp_path_factory.mktemp("hostile"), 2000, seed=1)


@pytest.fixture(scope="module")
def outcomes(corpus):
    with DecodePool(PixelSpec(32), LIMITS, workers=2) as pool:
        return list(pool.map(Job(path) for path in corpus.paths))


def test_the_corpus_is_large_and_varied(corpus):
    assert len(corpus.paths) == len(set(corpus.paths)) >= 2000
    assert len(corpus.good) > 400
    assert len(corpus.bad) > 500
    assert len(corpus.either) > 600
    assert len(corpus.good) + len(corpus.bad) + len(corpus.either) == len(corpus.paths)


def test_p12_every_good_picture_is_in_and_every_bad_one_has_a_reason(corpus, outcomes):
    report = judge(corpus, outcomes)
    assert report.unexplained == []
    assert report.files == len(corpus.paths)
    assert report.decoded >= len(corpus.good)
    assert report.failed >= len(corpus.bad)
    assert len(report.reasons) > 20


def test_the_judge_sees_what_is_wrong(corpus, outcomes):
    good = next(n for n, o in enumerate(outcomes) if o.path in corpus.good)
    bad = next(n for n, o in enumerate(outcomes) if o.path in corpus.bad)
    picture, failure = outcomes[good], outcomes[bad]
    lost = Failure(picture.path, "decode", "no luck today")
    wrong = {
        "failed": {good: lost},
        "one each and in order": {good: failure, bad: picture},
        "became a picture": {bad: dataclasses.replace(picture, path=failure.path)},
        "expected": {good: dataclasses.replace(picture, width=picture.width + 1)},
        "other pixels": {good: dataclasses.replace(picture, pixels=picture.pixels ^ 1)},
        "not one line": {bad: dataclasses.replace(failure, reason="")},
    }
    for words, changes in wrong.items():
        changed = [changes.get(n, o) for n, o in enumerate(outcomes)]
        assert any(words in line for line in judge(corpus, changed).unexplained), words
    assert any("one each" in line for line in judge(corpus, outcomes[1:]).unexplained)


def test_a_corpus_is_the_same_for_the_same_seed(tmp_path):
    one, two, other = (make(tmp_path / name, 60, seed) for name, seed in (("a", 7), ("b", 7), ("c", 8)))
    names = [[os.path.basename(path) for path in corpus.paths] for corpus in (one, two, other)]
    contents = [list(corpus.good.values()) for corpus in (one, two, other)]
    assert names[0] == names[1] != names[2]
    assert contents[0] == contents[1] != contents[2]
