"""What an index does with every family of CLIP, against open_clip's own vectors and plain loops over them."""

import io
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import imagehash
import numpy as np
import pytest
from clip_families import SIGMOID
from clip_truth import KINDS, Truth, close, no_bfloat16
from PIL import Image, ImageEnhance

import vsearch
from vsearch import phrases
from vsearch.evaluate.audit import audit
from vsearch.types import Query

WORDS = ("dog", "cat", "car", "tree", "house", "sea", "night", "hand", "bread", "snow")
LABELS = ("dog", "a sailing boat", "the sea at night", "bread")
ORIGINALS = 58  # and six changed copies: the 64 that confidences need


def caption(number: int) -> str:
    return f"{WORDS[number % 10]} {number} and a {WORDS[number // 10]}"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of pictures with captions; the last six are other pictures half as large, as JPEGs, or brighter."""
    folder = tmp_path_factory.mktemp("pictures")
    grains = np.random.default_rng(7).integers(0, 230, (ORIGINALS, 12, 12, 3), dtype=np.uint8)
    for number, grain in enumerate(grains):
        picture = Image.fromarray(grain).resize((96, 96), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(caption(number))
        if number >= 6:
            continue
        if number < 2:
            picture.resize((48, 48)).save(folder / f"copy{number}.png")
        elif number < 4:
            picture.save(folder / f"copy{number}.jpg", quality=60)
        else:
            ImageEnhance.Brightness(picture).enhance(1.2).save(folder / f"copy{number}.png")
    return folder


@pytest.fixture(scope="module", params=KINDS)
def case(request, clip_models, pictures, tmp_path_factory):
    """An index made with one family; what open_clip says; the ids of the pictures in the order of their names."""
    model = clip_models[request.param]
    place = tmp_path_factory.mktemp("index") / "x.vsearch"
    with no_bfloat16(), vsearch.create(place, encoder=str(model)) as index:
        assert index.add(vsearch.folder(pictures)).added == 64
        truth = Truth(model, sorted(pictures.glob("*.[pj]*")))
        with index.store.snapshot() as snapshot:
            by_path = {record.path: id for id, record in snapshot.items()}
        ids = np.array([by_path[str(path).encode()] for path in truth.paths])
        yield SimpleNamespace(family=request.param, index=index, truth=truth, ids=ids)


def ranked(case, scores) -> list[int]:
    return case.ids[np.argsort(-scores, kind="stable")].tolist()


def agree(case, hits, scores):
    """The hits are in the order of the scores of the pictures, and have them, but for fp16 of what is stored."""
    place = {id: row for row, id in enumerate(case.ids.tolist())}
    own = np.array([scores[place[hit.id]] for hit in hits])
    np.testing.assert_allclose([hit.score for hit in hits], own, atol=2e-3)
    best = np.sort(scores)[::-1][: len(hits)]
    np.testing.assert_allclose(own, best, atol=4e-3)


def test_vectors_are_those_of_open_clip(case):
    with case.index.store.snapshot() as snapshot:
        close(np.stack([snapshot.vectors(np.array([id]))[0] for id in case.ids]), case.truth.xi)
    texts = ["a dog", *map(caption, range(9)), "word " * 40]
    close(case.index.encoder.encode_texts(texts), case.truth.texts(texts))


def test_a_search_has_the_order_of_the_cosines_and_a_confidence(case):
    with case.index.store.snapshot() as snapshot:
        background = case.index.background(snapshot)
    mean = case.truth.xi.mean(axis=0)
    xq = case.truth.texts(["a dog in the snow"])[0]
    hits = case.index.search("a dog in the snow", k=20)
    agree(case, hits, case.truth.xi @ xq)
    for hit in hits:  # 0.1 at the mean of meaningless queries, 0.9 two standard deviations above
        lift = (hit.score - float(mean @ xq) - background.text.mean) / background.text.sd
        assert hit.confidence == pytest.approx(1 / (1 + 9 ** (1 - lift)), abs=0.02)
    least = hits[7].confidence
    assert len(case.index.search("a dog in the snow", k=64, min_confidence=least)) == 8
    alike = case.index.search(Path(case.truth.paths[9]), k=20, include_query=True)
    agree(case, alike, case.truth.xi @ case.truth.xi[9])
    for hit in alike:
        lift = (hit.score - background.image.mean) / background.image.sd
        assert hit.confidence == pytest.approx(1 / (1 + 9 ** (1 - lift)), abs=1e-3)
    both = case.index.search(Query(case.truth.paths[9], "a dog in the snow"), k=5)
    assert all(hit.confidence is not None for hit in both)


def test_the_temperature_is_that_of_the_logit_scale(case):
    assert case.index.encoder.temperature == pytest.approx(1 / case.truth.scale)
    assert (case.truth.scale > 100) == (case.family in SIGMOID)  # so it is no default of ours


def test_labels_have_the_softmax_of_the_scaled_cosines(case):
    classifier = case.index.classifier(LABELS)
    for row in (0, 9, 33):
        told = {label.name: label.confidence for label in case.index.classify(case.truth.paths[row], classifier)}
        shares = case.truth.shares(LABELS)[row]
        assert [told[label] for label in LABELS] == pytest.approx(shares.tolist(), abs=2e-3)
        assert list(told) == [LABELS[at] for at in np.argsort(-shares)]


def test_tags_are_the_labels_above_the_least_confidence(case):
    shares = case.truth.shares(LABELS)
    report = case.index.tag(LABELS, min_confidence=0.3, top=2)
    assert report.pictures == 64
    with case.index.store.snapshot() as snapshot:
        for id, row in zip(case.ids.tolist(), shares, strict=True):
            told = dict(snapshot.tags(id))
            sure = [at for at in np.argsort(-row)[:2] if row[at] > 0.31]
            maybe = {LABELS[at] for at in np.argsort(-row)[:3] if row[at] > 0.29}
            assert {LABELS[at] for at in sure if row[at] - np.sort(row)[-3] > 0.01} <= set(told) <= maybe
            assert all(told[name] == pytest.approx(row[LABELS.index(name)], abs=0.01) for name in told)
    assert case.index.clear_tags() == report.tagged > 0


def test_words_for_a_picture_are_the_nearest_captions_and_phrases(case):
    row = 9
    told = case.index.describe(case.truth.paths[row], 5)
    captions = case.truth.texts(map(caption, range(ORIGINALS))) @ case.truth.xi[row]
    every = case.truth.texts(phrases.load()) @ case.truth.xi[row]
    for found, scores, texts in (
        ([(hit.caption, hit.score) for hit in told.captions], captions, list(map(caption, range(ORIGINALS)))),
        ([(phrase.text, phrase.score) for phrase in told.phrases], every, phrases.load()),
    ):
        best = np.sort(scores)[::-1][:5]
        np.testing.assert_allclose([score for _, score in found], best, atol=2e-3)
        np.testing.assert_allclose([scores[texts.index(text)] for text, _ in found], best, atol=4e-3)


def decided(case, background, names) -> np.ndarray:
    """(pictures,) the group of each, 2 for none, -1 where fp16 may decide; certain is 0.52."""
    directions, shares = case.truth.labels(names), case.truth.shares(names)
    best = shares.argmax(axis=1)
    lifts = ((case.truth.xi - case.truth.xi.mean(axis=0)) * directions[best]).sum(axis=1)
    confidences = 1 / (1 + 9 ** (1 - (lifts - background.text.mean) / background.text.sd))
    near = (np.abs(shares.max(axis=1) - 0.52) < 0.01) | (np.abs(confidences - 0.1) < 0.02)
    return np.where(near, -1, np.where((shares.max(axis=1) >= 0.52) & (confidences >= 0.1), best, 2))


def test_an_audit_counts_what_the_softmax_and_the_confidence_decide(case):
    with case.index.store.snapshot() as snapshot:
        background = case.index.background(snapshot)
    # of random weights most words are like any other: two that say something
    truths = {names: decided(case, background, names) for names in combinations(WORDS, 2)}
    names = max(truths, key=lambda names: sum(np.isin(truths[names], (0, 1))))
    report = audit(case.index, "a dog in the snow", names, k=20, certain=0.52)
    told = [*(group.collection.count for group in report.groups), report.undecided_collection.count]
    sure, open = [int((truths[names] == n).sum()) for n in range(3)], int((truths[names] == -1).sum())
    assert sum(told) == 64 and all(s <= t <= s + open for s, t in zip(sure, told, strict=True))
    assert sure[0] + sure[1] >= 1


def test_an_explanation_has_the_rank_of_a_plain_sort(case):
    scores = case.truth.xi @ case.truth.texts(["a dog"])[0]
    order = ranked(case, scores)
    for place in (0, 20, 63):
        told = case.index.explain("a dog", order[place])
        better = np.sum(scores > np.sort(scores)[::-1][place] + 2e-3)
        worse = np.sum(scores > np.sort(scores)[::-1][place] - 2e-3)
        assert better < told.exact_rank <= worse
        assert told.score == pytest.approx(np.sort(scores)[::-1][place], abs=2e-3)


def test_feedback_moves_the_query_by_rocchios_formula(case):
    more, less = [3, 30], [50]
    hits = case.index.search("a dog", k=15, more=case.ids[more].tolist(), less=case.ids[less].tolist())
    xq, xi = case.truth.texts(["a dog"])[0], case.truth.xi
    moved = xq + 0.75 * xi[more].mean(axis=0) - 0.15 * xi[less].mean(axis=0)
    scores = xi @ (moved / np.linalg.norm(moved))
    scores[less] = -1
    agree(case, hits, scores)


def changed(picture):
    """A picture in the four ways by which the threshold for duplicates is measured."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=60)
    x, y = round(picture.width * 0.025), round(picture.height * 0.025)
    return (
        picture.resize((picture.width // 2, picture.height // 2)),
        Image.open(stream).convert("RGB"),
        picture.crop((x, y, picture.width - x, picture.height - y)),
        ImageEnhance.Brightness(picture).enhance(1.2),
    )


def test_duplicates_are_those_of_a_plain_loop_over_all_pairs(case):
    found = case.index.duplicates()
    truth, opened = case.truth, [Image.open(path).convert("RGB") for path in case.truth.paths]
    side = (truth.side, truth.side)
    pixels = [np.asarray(one.resize(side, Image.Resampling.BICUBIC)) for image in opened for one in changed(image)]
    cosines = np.sort((truth.pictures(np.stack(pixels)) * truth.xi.repeat(4, axis=0)).sum(axis=1))
    assert found.threshold == pytest.approx(min(cosines[1], 0.999), abs=0.01)  # all but 0.5 % of 256
    small = [one.resize((128, 128), Image.Resampling.BILINEAR) for one in opened]
    hashes = [imagehash.phash(one, hash_size=16) for one in small]
    pairs = {
        frozenset((truth.paths[a], truth.paths[b]))
        for a, b in combinations(range(64), 2)
        if truth.xi[a] @ truth.xi[b] >= found.threshold and hashes[a] - hashes[b] <= 32
    }
    copies = {
        frozenset((path, next(p for p in truth.paths if p.stem == f"0{path.stem[-1]}")))
        for path in truth.paths
        if path.stem.startswith("copy")
    }
    assert pairs <= copies and len(pairs) >= 4
    groups = [{group.kept, *group.others} for group in found.groups]
    assert {frozenset(Path(one.raw_path.decode()) for one in group) for group in groups} == pairs
