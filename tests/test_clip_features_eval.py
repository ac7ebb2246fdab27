"""``vsearch eval`` of every family of CLIP, against plain loops over open_clip's own vectors."""

from types import SimpleNamespace

import numpy as np
import pytest
from clip_truth import KINDS, Truth
from PIL import Image

import vsearch
from vsearch.embed import load_encoder
from vsearch.evaluate import (
    measure,
    measure_comparison,
    measure_retrieval,
    measure_swaps,
    measure_zeroshot,
    read_labelled,
    read_pairs,
    read_swaps,
)
from vsearch.prompts import load
from vsearch.sources import source_for

pytestmark = pytest.mark.usefixtures("float32")

COLOURS = {"red": (255, 0, 0), "green": (0, 160, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
TIE = 1e-6


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Twelve pictures of two colours, in a folder for the left one, with captions and swapped captions."""
    place = tmp_path_factory.mktemp("scenes")
    pairs, swaps, told = ["filepath\ttitle"], ["filepath\ttitle\tfoil"], []
    for left, right in ((a, b) for a in COLOURS for b in COLOURS if a != b):
        path = place / left / f"{right}.png"
        path.parent.mkdir(exist_ok=True)
        picture = Image.new("RGB", (40, 40), COLOURS[left])
        picture.paste(COLOURS[right], (20, 0, 40, 40))
        picture.save(path)
        pairs += [f"{path}\t{left} beside {right}", f"{path}\ton the right {right}, on the left {left}"]
        swaps.append(f"{path}\t{left} beside {right}\t{right} beside {left}")
        told.append((path, left, right))
    (place / "pairs.tsv").write_text("\n".join(pairs) + "\n")
    (place / "swaps.tsv").write_text("\n".join(swaps) + "\n")
    return SimpleNamespace(place=place, told=told)


@pytest.fixture(params=KINDS)
def case(request, clip_models, scenes):
    folder = clip_models[request.param]
    return SimpleNamespace(
        encoder=load_encoder(str(folder)), truth=Truth(folder, [path for path, _, _ in scenes.told]), scenes=scenes
    )


def pairs_of(case):
    return read_pairs(source_for(str(case.scenes.place / "pairs.tsv")))


def recalls(truth, scenes, k) -> tuple[float, float]:
    """Shares of captions whose picture, and of pictures any of whose captions, is among the first k."""
    both = [[f"{a} beside {b}", f"on the right {b}, on the left {a}"] for _, a, b in scenes.told]
    scores = truth.texts(caption for two in both for caption in two) @ truth.xi.T
    of_texts = [sum(row >= row[t // 2] - TIE) for t, row in enumerate(scores)]
    of_images = []
    for i, column in enumerate(scores.T):
        others = np.delete(column, [2 * i, 2 * i + 1])
        of_images.append(1 + sum(others >= max(column[2 * i], column[2 * i + 1]) - TIE))
    return float(np.mean(np.array(of_texts) <= k)), float(np.mean(np.array(of_images) <= k))


def test_recalls_are_those_of_plain_loops(case):
    figures = measure_retrieval(pairs_of(case), case.encoder).figures
    for k in (1, 5, 10):
        told = figures[f"image_retrieval_recall@{k}"], figures[f"text_retrieval_recall@{k}"]
        assert told == pytest.approx(recalls(case.truth, case.scenes, k), abs=1e-4)
    assert 0 < recalls(case.truth, case.scenes, 5)[0] < 1


def test_two_encoders_side_by_side_have_the_figures_of_each(case, clip_models):
    other = clip_models["CLIP of OpenAI"]
    figures = measure_comparison(pairs_of(case), load_encoder(str(other)), case.encoder).figures
    truths = {"a": Truth(other, case.truth.paths), "b": case.truth}
    for k in (1, 5, 10):
        for side, truth in truths.items():
            found = figures[side][f"image_retrieval_recall@{k}"]
            assert found == pytest.approx(recalls(truth, case.scenes, k)[0], abs=1e-4)


def test_zero_shot_accuracy_is_that_of_a_plain_loop(case):
    labelled = read_labelled(case.scenes.place)
    figures = measure_zeroshot(labelled, case.encoder, load()).figures
    scores = case.truth.xi @ case.truth.labels(list(COLOURS)).T
    right = [
        list(COLOURS)[int(np.argmax(row))] == left for row, (_, left, _) in zip(scores, case.scenes.told, strict=True)
    ]
    assert figures["top_1"] == pytest.approx(np.mean(right), abs=1e-4)


def test_swaps_are_told_apart_as_in_a_plain_loop(case):
    figures = measure_swaps(read_swaps(case.scenes.place / "swaps.tsv"), case.encoder).figures["kinds"]["all"]
    xi, score = case.truth.xi, {}
    texts = {f"{a} beside {b}" for _, a, b in case.scenes.told}
    for text, vector in zip(texts, case.truth.texts(texts), strict=True):
        score[text] = xi @ vector
    place = {(a, b): row for row, (_, a, b) in enumerate(case.scenes.told)}
    by_text = {
        pair: score["{} beside {}".format(*pair)][row] > score["{1} beside {0}".format(*pair)][row] + TIE
        for pair, row in place.items()
    }
    by_image = {
        (a, b): score[f"{a} beside {b}"][row] > score[f"{a} beside {b}"][place[b, a]] + TIE
        for (a, b), row in place.items()
    }
    group = [by_text[a, b] and by_image[a, b] and by_text[b, a] and by_image[b, a] for a, b in place]
    told = figures["text"], figures["image"], figures["group"]
    assert told == pytest.approx(
        (np.mean(list(by_text.values())), np.mean(list(by_image.values())), np.mean(group)), abs=1e-4
    )


def test_an_index_is_measured_with_captions_and_pictures(case, tmp_path):
    with vsearch.create(tmp_path / "x.vsearch", encoder=case.encoder) as index:
        index.add(source_for(str(case.scenes.place / "pairs.tsv")))
        figures = measure(index, k=3)
    assert figures["dim"] == case.truth.xi.shape[1] and figures["count"] == 12
    assert figures["text"]["recall@3"] == figures["image"]["recall@3"] == 1.0  # all is compared
