"""Zero-shot labels against the formula written out by hand."""

import math

import numpy as np
import pytest

from vsearch import prompts
from vsearch.embed import load_encoder
from vsearch.errors import QueryError
from vsearch.labels import Classifier, classify, read_labels
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


@pytest.mark.parametrize("told", ["dog", "dog,", ",,", "nowhere.txt", "a\0b"])
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
