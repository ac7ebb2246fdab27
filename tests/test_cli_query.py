"""The real program: composed queries, confidences, feedback and audits, with what it prints where."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from forked import run
from PIL import Image

from vsearch.embed.toy import PALETTE

SIDE = 8


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 pictures of the toy encoder's colours: six of each, whose lower rows are of the next colour, more and more."""
    here = tmp_path_factory.mktemp("query")
    (here / "photos").mkdir()
    colours = list(PALETTE)
    for at, name in enumerate(colours):
        for n in range(6):
            picture = Image.new("RGB", (SIDE, SIDE), PALETTE[name])
            picture.paste(PALETTE[colours[(at + 1) % len(colours)]], (0, SIDE - n, SIDE, SIDE))
            picture.save(here / f"photos/{name}-{n}.png")
    assert run("index", "photos", "--encoder", "toy", cwd=here)[0] == 0
    Image.fromarray(np.hstack([np.full((9, 9, 3), c, np.uint8) for c in ((255, 0, 0), (0, 0, 255))])).save(
        here / "both.png"
    )
    return here


def asked(here: Path, *words: str) -> list[str]:
    code, out, _ = run("query", *words, "--paths", cwd=here)
    assert code == 0
    return [os.path.basename(line) for line in out.splitlines()]


def ids(here: Path, *words: str) -> dict[str, int]:
    lines = run("query", *words, "-k", "72", "--keep-query", "--json", cwd=here)[1].splitlines()
    return {os.path.basename(told["path"]).removesuffix(".png"): told["id"] for told in map(json.loads, lines)}


def test_a_query_with_confidences_golden(shown):
    code, out, err = run("query", "red", "-k", "2", cwd=shown)
    assert (code, err) == (0, "")
    assert re.sub(r"[01]\.\d\d(?=   photos)", "C.CC", out) == (
        "#   score   confidence   picture\n"
        "─────────────────────────────────────────\n"
        "1   1.000         C.CC   photos/red-0.png\n"
        "2   0.971         C.CC   photos/red-1.png\n"  # a quarter of the lower half orange: 1.75 / sqrt(3.25)
    )
    first, second = map(json.loads, run("query", "red", "-k", "2", "--json", cwd=shown)[1].splitlines())
    assert 0.9 < second["confidence"] <= first["confidence"] <= 1


def test_a_query_about_nothing_says_so_and_with_strict_shows_nothing(shown):
    code, out, err = run("query", "quarks", "-k", "1", "--paths", cwd=shown)
    assert code == 0 and out.count("\n") == 1
    assert re.fullmatch(
        r"vsearch: nothing here seems to match 'quarks': the best confidence is 0\.0\d; the nearest are shown\n", err
    )
    told = "vsearch: nothing found with a confidence of 0.05 or more among the 72 pictures of photos.vsearch\n"
    assert run("query", "quarks", "--strict", cwd=shown) == (1, "", told)
    assert run("query", "red", "-k", "1", "--strict", "--paths", cwd=shown)[0] == 0


def test_min_confidence_cuts_the_tail(shown):
    lines = run("query", "red", "-k", "72", "--min-confidence", "0.9", "--json", cwd=shown)[1].splitlines()
    assert 1 <= len(lines) < 72 and all(json.loads(line)["confidence"] >= 0.9 for line in lines)
    code, _, err = run("query", "red", "--min-confidence", "1.5", cwd=shown)
    assert code == 2 and "1.5 is not in the range 0<=x<=1" in err


def test_composed_queries(shown):
    assert asked(shown, "red", "--not", "orange", "-k", "1") == ["red-0.png"]
    assert asked(shown, "red", "blue", "--weight", "3:blue", "-k", "1") == ["blue-0.png"]
    assert asked(shown, "red", "blue", "--weight", "3:red", "-k", "1") == ["red-0.png"]
    assert asked(shown, "--image", "both.png", "--not", "red", "-k", "1") == ["blue-0.png"]
    assert asked(shown, "--image", "both.png", "--not-image", "photos/blue-0.png", "-k", "1") == ["red-0.png"]
    assert "photos/blue-0.png" not in asked(shown, "--image", "both.png", "--not-image", "photos/blue-0.png")


def test_a_crop_in_pixels_and_in_fractions(shown):
    for crop, best in (("0,0,9,9", "red"), ("9,0,9,9", "blue"), ("0.0,0.0,0.5,1.0", "red"), ("0.5,0.0,0.5,1", "blue")):
        assert asked(shown, "--image", "both.png", "--crop", crop, "-k", "1") == [f"{best}-0.png"]


def test_query_pictures_are_left_out_unless_asked_for(shown):
    query = ("--image", "photos/red-0.png", "-k", "1")
    assert asked(shown, *query) == ["red-1.png"]
    assert asked(shown, *query, "--keep-query") == ["red-0.png"]


def test_feedback_moves_a_query(shown):
    known = ids(shown, "red")
    assert asked(shown, "red", "blue", "-k", "1", "--more", f"{known['blue-0']},{known['blue-1']}") == ["blue-0.png"]
    found = asked(shown, "red", "blue", "-k", "72", "--less", str(known["red-0"]))
    assert "red-0.png" not in found and len(found) == 71 and found[0].startswith("blue")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--not", "red"], "Nothing to search for"),
        (["red", "--weight", "2:blue"], "--weight names 'blue', which is no term of this query; its terms are 'red'."),
        (["red", "--weight", "red"], "'red' is not a number above 0, a colon and a term, as in 2:beach."),
        (["red", "--weight", "-1:red"], "is not a number above 0"),
        (["red", "--weight", "nan:red"], "is not a number above 0"),
        (["red", "--crop", "0,0,1,1"], "--crop is the part of one picture: give one --image with it."),
        (["--image", "both.png", "--crop", "1,2,3"], "'1,2,3' is not x,y,width,height"),
        (
            ["--image", "both.png", "--crop", "0,0,19,9"],
            "(x, y, width, height in pixels) is not inside a picture of 18",
        ),
        (
            ["--image", "both.png", "--crop", "0.6,0.0,0.5,1.0"],
            "in fractions) is not inside a picture of 18 x 9 pixels",
        ),
        (["red", "--more", "1,x"], "'x' is no id; give ids as in 7,12"),
        (["red", "--more", "9999"], "no picture has the id 9999; ids are shown by: vsearch query --json"),
        (["red", "--more", "1", "--less", "1"], "the picture 1 is marked as both more and less"),
        (["red", "--not", "red"], "the parts of this query cancel each other out; change their weights"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_queries_say_what_to_type_and_end_with_2(shown, words, message):
    code, out, err = run("query", *words, cwd=shown)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())


def test_confidences_need_pictures_enough(tmp_path):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (9, 9), (255, 0, 0)).save(tmp_path / "photos/red.png")
    assert run("index", "photos", "--encoder", "toy", cwd=tmp_path)[0] == 0
    assert json.loads(run("query", "red", "--json", cwd=tmp_path)[1])["confidence"] is None
    told = "vsearch: confidences need a collection of 64 pictures or more, and this one has 1\n"
    assert run("query", "red", "--strict", cwd=tmp_path) == (2, "", told)


def test_audit_golden(shown):
    code, out, err = run("audit", "red orange", "--by", "red,blue", "-k", "8", cwd=shown)
    assert (code, err) == (0, "")
    assert out == (
        "group       top 8      95 %          collection   95 %         skew\n"
        "───────────────────────────────────────────────────────────────────────\n"
        "red         100% (6)   61% to 100%   50% (9)      29% to 71%   +0.69\n"
        "blue        0% (0)     0% to 39%     50% (9)      29% to 71%   none\n"
        "undecided   25% (2)                  75% (54)\n"
        "\n"
        "Shares of groups are of the pictures that are decided.\n"
        "Skew is ln(share in the top / share in the collection): 0 is equal, +0.69 twice as many, -0.69 half.\n"
        "NDKL is 0.693; random rankings of this length have 0.332.\n"
        "The encoder that ranked the pictures also assigned the groups: where it errs for one, both figures err.\n"
        "A group is what a picture looks like to an encoder, not who anybody is; look at some before you conclude.\n"
        "The yardstick is this collection, whose own make-up may be skewed.\n"
        "Intervals cover the chance of few pictures only, not wrong assignments.\n"
    )


def test_audit_json_and_bad_usage(shown):
    told = json.loads(run("audit", "red", "--by", "red,blue", "-k", "6", "--json", cwd=shown)[1])
    assert (told["k"], told["sampled"], [group["name"] for group in told["groups"]]) == (6, False, ["red", "blue"])
    assert set(told["groups"][0]) == {"name", "top", "collection", "skew", "differs"} and len(told["limits"]) == 4
    assert "give two or more to choose among" in run("audit", "red", "--by", "red,", cwd=shown)[2]
    assert "Missing option '--by'" in run("audit", "red", cwd=shown)[2]
