"""Figures of encoders against hand-made matrices and plain loops, and the commands that print them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from forked import run
from PIL import Image

from vsearch.errors import DimensionMismatch, QueryError, SourceError
from vsearch.evaluate.bootstrap import interval, resampled_means
from vsearch.evaluate.compositional import Swap, read_swaps, swap_scores
from vsearch.evaluate.report import comparison, retrieval_report
from vsearch.evaluate.retrieval import Ranks
from vsearch.evaluate.zeroshot import Labelled, accuracy, read_labelled

COLOURS = {"red": (255, 0, 0), "green": (0, 160, 0), "blue": (0, 0, 255), "yellow": (250, 240, 0)}


def ranks_of(texts, owner):
    texts = np.array(texts)
    return Ranks(texts, np.full(int(np.max(owner)) + 1, 1), np.array(owner))


# ---------------------------------------------------------------- bootstrap


def test_an_interval_agrees_with_the_normal_approximation():
    hits = np.arange(400) % 4 == 0  # a quarter
    low, high = interval(resampled_means(hits[:, None], np.arange(400), 4000))[0]
    spread = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert (low, high) == (pytest.approx(0.25 - spread, abs=0.006), pytest.approx(0.25 + spread, abs=0.006))


def test_values_of_one_group_are_drawn_together():
    # Five equal values for each of 80 groups say no more than one does.
    one = np.arange(80) % 2
    alone = resampled_means(one[:, None], np.arange(80), 500, seed=3)
    fivefold = resampled_means(np.repeat(one, 5)[:, None], np.repeat(np.arange(80), 5), 500, seed=3)
    np.testing.assert_allclose(alone, fivefold)


def test_resampled_means_are_those_of_the_rows_drawn():
    values, group = np.array([[1.0, 10], [2, 20], [5, 50]]), np.array([7, 7, 9])
    # Two groups drawn twice: both the first (mean 1.5), one of each (8/3), or both the second (5).
    means = resampled_means(values, group, 64)
    assert {round(m, 4) for m in means[:, 0]} == {1.5, 2.6667, 5.0}
    np.testing.assert_allclose(means[:, 1], 10 * means[:, 0])


# ---------------------------------------------------------------- retrieval, two encoders


def test_the_report_has_bounds_around_each_recall():
    told = retrieval_report(ranks_of([1, 1, 7, 40] * 25, np.repeat(np.arange(50), 2)))
    assert told["image_retrieval_recall@1"] == 0.5 and told["image_retrieval_recall@10"] == 0.75
    assert told["captions"] == 100 and told["pictures"] == 50
    low, high = told["interval_95"]["image_retrieval_recall@1"]
    assert low < 0.5 < high
    assert told["interval_95"]["text_retrieval_recall@1"] == [1.0, 1.0]


def test_an_encoder_is_not_better_than_itself_and_a_small_steady_gain_is_certain():
    owner = np.arange(200)
    a = ranks_of(np.where(owner % 2, 1, 9), owner)
    told = comparison(a, a)["image_retrieval_recall@1"]
    assert told == {"a": 0.5, "b": 0.5, "difference": 0.0, "interval_95": [0.0, 0.0], "certain": False}
    better = ranks_of(np.where((owner % 2 == 1) | (owner % 20 == 0), 1, 9), owner)
    told = comparison(a, better)["image_retrieval_recall@1"]
    # Unpaired, 0.50 and 0.55 of 200 could not be told apart: each is known to 0.07.
    assert told["difference"] == 0.05 and told["certain"] and 0 < told["interval_95"][0]
    assert comparison(better, a)["image_retrieval_recall@1"]["difference"] == -0.05
    with pytest.raises(DimensionMismatch, match="same pairs"):
        comparison(a, ranks_of([1, 1], [0, 1]))


# ---------------------------------------------------------------- swapped captions


def test_twins_are_scored_as_winoground_does():
    swaps = [Swap(b"0", "x", "y", "side"), Swap(b"1", "y", "x", "side"), Swap(b"2", "p", "q", "colour")]
    #            x    y    p    q
    scores = [[0.9, 0.1, 0.0, 0.0], [0.95, 0.96, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]

    def score(rows, texts):
        return np.array([scores[row]["xypq".index(text)] for row, text in zip(rows, texts, strict=True)])

    told = swap_scores(swaps, score)
    # Picture 0 and 1 know their captions; but caption x fits picture 1 better than picture 0.
    assert {k: told["side"][k] for k in ("pictures", "text", "image", "group")} == {
        "pictures": 2,
        "text": 1.0,
        "image": 0.5,
        "group": 0.0,
    }
    # A tie is wrong, and there is no twin.
    assert (told["colour"]["text"], told["colour"]["image"], told["colour"]["group"]) == (0.0, None, None)
    assert told["all"]["text"] == pytest.approx(2 / 3, abs=1e-4)
    with pytest.raises(QueryError, match="nothing to compare"):
        swap_scores([], score)


def test_a_foil_that_is_the_caption_is_refused(tmp_path):
    table = tmp_path / "s.tsv"
    table.write_text("filepath\ttitle\tfoil\na.png\ta cat\ta dog\nb.png\ta cat\ta cat\n")
    with pytest.raises(SourceError, match="row 2"):
        read_swaps(table)
    table.write_text("filepath\ttitle\na.png\ta cat\n")
    with pytest.raises(SourceError, match="column foil"):
        read_swaps(table)


# ---------------------------------------------------------------- zero-shot


def test_accuracy_against_a_loop():
    rng = np.random.default_rng(1)
    xi, classes = rng.normal(size=(60, 5)).astype(np.float32), rng.normal(size=(7, 5)).astype(np.float32)
    truth = rng.integers(0, 6, 60)  # the last class has no picture
    told = accuracy(xi, classes, Labelled((b"",) * 60, tuple("abcdefg"), truth))
    best = [sorted(range(7), key=lambda c: -float(x @ classes[c])) for x in xi]
    assert told["top_1"] == round(np.mean([b[0] == t for b, t in zip(best, truth, strict=True)]), 4)
    assert told["top_5"] == round(np.mean([t in b[:5] for b, t in zip(best, truth, strict=True)]), 4)
    recalls = [np.mean([b[0] == c for b, t in zip(best, truth, strict=True) if t == c]) for c in range(6)]
    assert told["mean_per_class_recall"] == pytest.approx(np.mean(recalls), abs=1e-4)
    assert list(told["per_class_recall"]) == list("abcdef")


def test_labels_are_the_folders_and_equal_scores_are_wrong(tmp_path):
    for name in ("sea_lion", "dog"):
        (tmp_path / name / "deeper").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name / "deeper" / "x.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "loose.png")
    found = read_labelled(tmp_path)
    assert found.labels == ("dog", "sea lion") and found.truth.tolist() == [0, 1]
    same = np.ones((2, 3), np.float32)
    assert accuracy(same, same, found)["top_1"] == 0.0
    with pytest.raises(QueryError, match="two are the least"):
        read_labelled(tmp_path / "dog")


# ---------------------------------------------------------------- the commands


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain pictures with captions that the toy encoder understands, a table of swaps, and a folder of labels."""
    here = tmp_path_factory.mktemp("measured")
    rows, swaps = [], []
    for number, (name, colour) in enumerate(COLOURS.items()):
        place = here / name
        place.mkdir()
        Image.new("RGB", (40, 40), colour).save(place / "plain.png")
        others = [other for other in COLOURS if other != name]
        rows += [(f"{name}/plain.png", f"a {name} square"), (f"{name}/plain.png", name)]
        swaps.append((f"{name}/plain.png", f"{name} and not", f"{others[number % 3]} and not", "colour"))
    with (here / "pairs.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([("filepath", "title"), *rows])
    with (here / "swaps.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([("filepath", "title", "foil", "kind"), *swaps])
    return here


def test_retrieval_prints_a_table_and_the_same_as_json(measured):
    code, out, err = run("eval", "retrieval", "pairs.tsv", "--encoder", "toy", cwd=measured)
    assert (code, err) == (0, "")
    assert out == (
        "toy                                    95 % interval\n"
        "───────────────────────────────────────────────────────\n"
        "image_retrieval_recall@1      1.0000   1.0000 to 1.0000\n"
        "image_retrieval_recall@5      1.0000   1.0000 to 1.0000\n"
        "image_retrieval_recall@10     1.0000   1.0000 to 1.0000\n"
        "image_retrieval_median_rank   1.0000\n"
        "text_retrieval_recall@1       1.0000   1.0000 to 1.0000\n"
        "text_retrieval_recall@5       1.0000   1.0000 to 1.0000\n"
        "text_retrieval_recall@10      1.0000   1.0000 to 1.0000\n"
        "text_retrieval_median_rank    1.0000\n"
        "4 pictures, 8 captions\n"
    )
    code, out, _ = run("eval", "retrieval", "pairs.tsv", "--encoder", "toy", "--json", cwd=measured)
    told = json.loads(out)
    assert code == 0 and told["encoder"] == "toy" and told["captions"] == 8 and told["failed"] == 0
    assert told["interval_95"]["image_retrieval_recall@1"] == [1.0, 1.0]


def test_a_picture_that_cannot_be_read_is_told_and_takes_no_part(measured, tmp_path):
    table = tmp_path / "with_lost.tsv"
    rows = (measured / "pairs.tsv").read_text().replace("\r", "").replace("\t", "\t", 1).splitlines()
    lines = [
        rows[0],
        *(f"{measured}/{row}" for row in rows[1:]),
        "lost.png\ta lost thing",
        "broken.png\ta broken thing",
    ]
    (tmp_path / "broken.png").write_text("no picture")
    table.write_text("\n".join(lines))
    code, out, err = run("eval", "retrieval", table, "--encoder", "toy", "--json", cwd=tmp_path)
    told = json.loads(out)
    assert (code, told["failed"], told["pictures"], told["captions"]) == (3, 2, 4, 8)
    assert "lost.png: No such file" in err and "broken.png" in err and "2 pictures could not be read" in err


def test_zeroshot_and_compositional_and_compare(measured):
    code, out, _ = run("eval", "zeroshot", ".", "--encoder", "toy", "--templates", "plain", "--json", cwd=measured)
    told = json.loads(out)
    assert (code, told["classes"], told["templates"], told["top_1"]) == (0, 4, 1, 1.0)
    assert told["per_class_recall"] == {"blue": 1.0, "green": 1.0, "red": 1.0, "yellow": 1.0}
    code, out, _ = run("eval", "compositional", "swaps.tsv", "--encoder", "toy", cwd=measured)
    assert code == 0 and "colour   4          1.0000   1.0000 to 1.0000\n" in out
    code, out, _ = run("eval", "compare", "pairs.tsv", "toy", "toy", "--json", cwd=measured)
    told = json.loads(out)["difference"]["text_retrieval_recall@5"]
    assert code == 0 and told == {"a": 1.0, "b": 1.0, "difference": 0.0, "interval_95": [0.0, 0.0], "certain": False}


def test_a_plot_is_drawn(measured, tmp_path):
    pytest.importorskip("matplotlib")
    words = ("eval", "retrieval", measured / "pairs.tsv", "--encoder", "toy", "--plot")
    assert run(*words, "x.png", cwd=tmp_path)[0] == 0
    with Image.open(tmp_path / "x.png") as drawn:
        assert drawn.size == (900, 600) and len(set(drawn.convert("L").tobytes())) > 20
    code, _, err = run(*words, "x.nonsense", cwd=tmp_path)
    assert code == 2 and "cannot be written" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("retrieval", "none.tsv"), "cannot read the table"),
        (("retrieval", "swaps.tsv/x"), "there is no folder or file"),
        (("compositional", "pairs.tsv"), "no rows with a column foil"),
        (("zeroshot", "pairs.tsv"), "no rows with a column label"),
        (("zeroshot", "red"), "two are the least"),
        (("zeroshot", ".", "--templates", "none"), "no prompt templates 'none'"),
    ],
)
def test_bad_input_is_told(measured, words, message):
    code, out, err = run("eval", *words, "--encoder", "toy", cwd=measured)
    assert code == 2 and out == "" and message in err
