"""Zero-shot labels against the formula written out by hand."""

import json
import math
import shutil

import numpy as np
import pytest
from forked import run

import vsearch
from vsearch import prompts
from vsearch.embed import load_encoder
from vsearch.errors import IndexNotWritable, QueryError
from vsearch.labels import Classifier, classify, read_labels, tagging
from vsearch.labels.classifier import directions
from vsearch.types import Failure


def one_axis(texts):
    """A text encoder for tests: the number of letters a, b and c, scaled."""
    rows = np.array([[text.count(letter) for letter in "abc"] for text in texts], np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# Prompt templates


def test_every_bundled_template_has_one_gap_and_none_repeats():
    assert {"photo", "plain"} <= set(prompts.names())
    for name in prompts.names():
        templates = prompts.load(name)
        assert len(set(templates)) == len(templates) > 0
        assert all(template.count("{}") == 1 for template in templates)
    assert prompts.load("plain") == ("{}",)


def test_a_label_with_braces_or_percent_signs_is_put_in_as_it_is():
    assert prompts.fill(["a {} b"], "{} %s {0}") == ["a {} %s {0} b"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [("", "no template"), ("\n \n", "no template"), ("a photo\n", "'a photo'"), ("{} and {}\n", "one {}")],
)
def test_a_file_of_templates_that_cannot_be_used_is_refused(tmp_path, lines, message):
    file = tmp_path / "mine.txt"
    file.write_text(lines)
    with pytest.raises(QueryError, match=message.replace("{", r"\{").replace("}", r"\}")):
        prompts.load(str(file))


def test_templates_of_ones_own_and_names_that_are_none(tmp_path):
    (tmp_path / "mine.txt").write_text("a sketch of {}\n\na sketch of {}\n{}\n")
    assert prompts.load(str(tmp_path / "mine.txt")) == ("a sketch of {}", "{}")
    with pytest.raises(QueryError, match="photo, plain"):
        prompts.load("nonsense")
    with pytest.raises(QueryError, match="cannot be read"):
        prompts.load(str(tmp_path / "none.txt"))


# Labels


def test_labels_from_a_list_and_from_a_file(tmp_path):
    assert read_labels(" dog, cat ,,dog,a red car") == ("dog", "cat", "a red car")
    (tmp_path / "labels.txt").write_text("\ufeffdog\n# a comment\n\n  big, bad wolf \ndog\n", encoding="utf-8")
    assert read_labels(str(tmp_path / "labels.txt")) == ("dog", "big, bad wolf")


@pytest.mark.parametrize("told", ["dog", "dog,", ",,", "nowhere.txt", "a\0b", "dog,cat\udcff"])
def test_one_label_or_none_says_nothing(told):
    with pytest.raises(QueryError):
        read_labels(told)


# The formula


def test_a_direction_is_the_mean_of_the_sentences_scaled_to_length_one():
    found = directions(one_axis, ["b", "c"], ["a{}", "aa{}", "aaa{}"])
    for row, axis in zip(found, (1, 2), strict=True):
        wanted = np.zeros(3)
        for count in (1, 2, 3):
            wanted[0] += count / math.hypot(count, 1)
            wanted[axis] += 1 / math.hypot(count, 1)
        assert row == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-6)


def test_confidences_are_the_softmax_of_cosines_over_the_temperature():
    classifier = Classifier(("x", "y"), np.eye(2, dtype=np.float32), temperature=0.5)
    vector = np.array([[0.6, 0.8]], np.float32)
    first = math.exp(0.6 / 0.5) / (math.exp(0.6 / 0.5) + math.exp(0.8 / 0.5))
    assert classifier.confidences(vector)[0] == pytest.approx([first, 1 - first], abs=1e-6)
    cold = Classifier(("x", "y"), np.eye(2, dtype=np.float32), temperature=1e-4)
    assert cold.confidences(vector)[0] == pytest.approx([0, 1]), "no overflow at the smallest temperatures"


def test_the_best_labels_are_those_of_a_full_sort():
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(40, 8)).astype(np.float32)
    labels = rng.normal(size=(30, 8)).astype(np.float32)
    classifier = Classifier([str(n) for n in range(30)], labels, 1.0)
    told = classifier.confidences(rows)
    for top, least in ((1, 0.0), (5, 0.05), (30, 0.0), (99, 0.2)):
        chosen, shares = classifier.best(rows, top, least)
        for row, mine, share in zip(told, chosen, shares, strict=True):
            wanted = [at for at in np.argsort(-row, kind="stable")[:top] if row[at] >= least]
            assert mine[mine >= 0].tolist() == wanted
            assert share[: len(wanted)] == pytest.approx(row[wanted])
            assert not share[len(wanted) :].any()


def test_equal_labels_come_in_the_order_given():
    classifier = Classifier(("b", "a", "c"), np.array([[1, 0], [1, 0], [0, 1]], np.float32), 0.1)
    found = classifier.names(np.array([[1, 0]], np.float32), top=2)[0]
    assert [label.name for label in found] == ["b", "a"]
    assert found[0].confidence == found[1].confidence == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_without_meaning_is_refused(temperature):
    with pytest.raises(QueryError, match="temperature"):
        Classifier(("a", "b"), np.eye(2, dtype=np.float32), temperature)


# Pictures in files


def test_pictures_are_classified_in_order_and_a_bad_file_costs_only_itself(tmp_path, photos):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    encoder = load_encoder("toy")
    classifier = Classifier.of(encoder, ("blue", "red", "green"))
    assert classifier.temperature == 0.01, "the toy learned none, so CLIP's"
    paths = [bytes(photos / "red.png"), bytes(tmp_path / "bad.png"), bytes(photos / "blue.png")]
    told = list(classify(encoder, classifier, paths, top=2))
    assert [path for path, _ in told] == paths
    assert isinstance(told[1][1], Failure) and told[1][1].stage == "decode"
    assert [told[at][1][0].name for at in (0, 2)] == ["red", "blue"]
    assert told[0][1][0].confidence > 0.99


# The whole index


@pytest.fixture
def labels():
    return ("red", "green", "blue", "white", "black", "yellow")


def tags_of(index):
    with index.store.snapshot() as snapshot:
        return {record.path.split(b"/")[-1][:-4].decode(): dict(snapshot.tags(id)) for id, record in snapshot.items()}


def test_tags_are_what_classifying_each_vector_gives(index, labels):
    report = index.tag(labels, min_confidence=0.0, top=2)
    assert (report.pictures, report.tagged, report.labels) == (6, 6, 6)
    for name, told in tags_of(index).items():
        (hit,) = index.search(name, k=1)
        alone = index.classify(vsearch.Query.like(hit.id), labels, top=2)
        assert told == pytest.approx({label.name: label.confidence for label in alone}, abs=1e-6)
        assert next(iter(told)) == name


def test_tags_in_blocks_are_tags_at_once(index, labels, monkeypatch):
    classifier = index.classifier(labels)
    with index.store.snapshot() as snapshot:
        ids = snapshot.kept_ids()
        whole = dict(tagging.labelled(snapshot, ids, classifier, 3, 0.0))
        monkeypatch.setattr(tagging, "_CELLS", 2 * len(labels))
        assert dict(tagging.labelled(snapshot, ids, classifier, 3, 0.0)) == whole
        some = dict(tagging.labelled(snapshot, ids[2:4], classifier, 3, 0.0))
        assert some == {id: whole[id] for id in ids[2:4].tolist()}
    monkeypatch.setattr(tagging, "COMMIT_PICTURES", 4)
    assert index.tag(classifier, min_confidence=0, top=3).tagged == 6
    assert sorted(tags_of(index)) == sorted(labels)


def test_tagging_again_replaces_and_clearing_takes_all_away(index, labels):
    index.tag(labels)
    assert all(list(told) == [name] for name, told in tags_of(index).items())
    index.tag(("purple", "orange"), min_confidence=0.9)
    assert not any("red" in told for told in tags_of(index).values())
    index.tag(labels)
    assert index.clear_tags() == 6
    assert not any(tags_of(index).values())
    assert index.clear_tags() == 0


def test_a_confidence_below_the_least_is_no_tag(index):
    assert index.tag(("red", "purple"), min_confidence=0.9, top=1).tagged == 1
    assert {name for name, told in tags_of(index).items() if told} == {"red"}


def test_missing_pictures_are_tagged_and_deleted_ones_lose_their_tags(index, photos, labels):
    (photos / "red.png").unlink()
    index.add(vsearch.folder(photos))
    assert index.tag(labels).pictures == 6
    (blue,) = index.search("blue", k=1)
    index.remove([blue.id])
    with index.store.snapshot() as snapshot:
        assert snapshot.tags(blue.id) == ()
    assert "red" in tags_of(index)["red"]
    assert index.check().problems == ()


def test_no_picture_is_read_to_tag(index, photos, labels):
    shutil.rmtree(photos)
    assert index.tag(labels).tagged == 6


def test_an_index_open_for_reading_and_values_out_of_range_are_refused(index, labels):
    with vsearch.open(index.path) as reading, pytest.raises(IndexNotWritable):
        reading.tag(labels)
    for wrong in ({"min_confidence": 1.5}, {"min_confidence": -0.1}, {"top": 0}):
        with pytest.raises(QueryError):
            index.tag(labels, **wrong)


# The program


def test_classify_golden(tmp_path, photos):
    (photos / "bad.png").write_bytes(b"no picture")
    words = ("classify", "photos/red.png", "photos/bad.png", "photos/blue.png", "--labels", "red,blue,dog")
    told = run(*words, "--top", "2", "--encoder", "toy", "--templates", "plain", "--temperature", "0.5", cwd=tmp_path)
    # The cosines are 1, 0 and 0: e^2 / (e^2 + 2) = 0.787 and 1 / (e^2 + 2) = 0.107.
    assert told[:2] == (
        3,
        "picture           confidence   label\n"
        "────────────────────────────────────\n"
        "photos/red.png    0.787        red\n"
        "                  0.107        blue\n"
        "photos/blue.png   0.787        blue\n"
        "                  0.107        red\n",
    )
    assert told[2].startswith("vsearch: encoder toy: as asked for\nvsearch: HERE/photos/bad.png: not a picture")
    code, out, _ = run(*words, "--json", "--encoder", "toy", "--templates", "plain", cwd=tmp_path)
    red, blue = map(json.loads, out.splitlines())
    assert code == 3
    assert list(red) == ["uri", "path", "labels"] and red["path"] == "HERE/photos/red.png"
    assert [label["label"] for label in blue["labels"]] == ["blue", "red", "dog"]


def test_classify_uses_the_encoder_of_the_index_here(tmp_path, photos):
    assert run("index", "photos", "--encoder", "toy", cwd=tmp_path)[0] == 0
    code, out, err = run("classify", "photos/red.png", "--labels", "red,blue", "--top", "1", cwd=tmp_path)
    assert (code, err) == (0, "") and out.splitlines()[-1] == "photos/red.png   1.000        red"


def test_tag_golden(tmp_path, photos):
    (tmp_path / "labels.txt").write_text("red\nblue\nwhite\n")
    assert run("index", "photos", "--encoder", "toy", cwd=tmp_path)[0] == 0
    told = run("tag", "--labels", "labels.txt", "--min-confidence", "0.9", cwd=tmp_path)
    assert told == (0, "3 of 6 pictures tagged in T s\n", "")
    told = run("tag", "--labels", "red,blue", "--min-confidence", "0.9", "--json", cwd=tmp_path)
    assert told == (0, '{"pictures": 6, "tagged": 2, "labels": 2}\n', "")
    assert run("tag", "--clear", cwd=tmp_path) == (0, "tags taken from 2 pictures\n", "")
    assert run("tag", "--clear", "--json", cwd=tmp_path) == (0, '{"cleared": 0}\n', "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tag"], "Give either --labels"),
        (["tag", "--labels", "a,b", "--clear"], "Give either --labels"),
        (["tag", "--labels", "a,b", "--min-confidence", "2"], "--min-confidence"),
        (["tag", "--labels", "dog"], "no file of labels 'dog' can be read"),
        (["tag", "--labels", "a,b", "--templates", "x"], "there are no prompt templates 'x'"),
        (["tag", "--labels", "a,b", "--temperature", "0"], "a temperature of 0.0"),
        (["classify", "x.png"], "Missing option '--labels'"),
        (["classify", "--labels", "a,b"], "Missing argument"),
        (["classify", "x.png", "--labels", "a,b", "--index", "none.vsearch"], "no such index"),
    ],
)
def test_bad_use_of_labels(tmp_path, photos, words, message):
    assert run("index", "photos", "--encoder", "toy", cwd=tmp_path)[0] == 0
    code, out, err = run(*words, cwd=tmp_path)
    assert (code, out) == (2, "") and message in err
