"""``vsearch import --vectors --encoder``: the truth is an index that embedded the pictures itself."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vsearch
from vsearch.cli import main
from vsearch.errors import DimensionMismatch, EncoderMismatch

COUNT = 12
QUERIES = ("red", "dark blue", "a green thing")


@pytest.fixture(scope="module", params=["toy", "mini"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, ``own.vsearch`` that embedded them, and their vectors at lengths from 0.1 to 40 with a table."""
    place: Path = tmp_path_factory.mktemp("own")
    (place / "photos").mkdir()
    for n in range(COUNT):
        noise = np.random.default_rng(n).integers(0, 90, (40, 50 + n, 3), np.uint8)
        noise[..., n % 3] += 25 * (n // 3) + 60
        Image.fromarray(noise).save(place / "photos" / f"{n:02}.png")
    with vsearch.create(place / "own.vsearch", encoder=request.param) as index:
        index.add(vsearch.folder(place / "photos"))
        with index.store.snapshot() as snapshot:
            known = [(record.path.decode(), snapshot.rows(np.array([id]))[0]) for id, record in snapshot.items()]
    lengths = np.linspace(0.1, 40, COUNT, dtype=np.float32)[:, None]
    np.save(place / "own.npy", np.stack([row for _, row in known]).astype(np.float32) * lengths)
    for table, names in {"own.csv": [p for p, _ in known], "below.csv": [Path(p).name for p, _ in known]}.items():
        with open(place / table, "w", newline="") as file:
            csv.writer(file).writerows([["path"], *([name] for name in names)])
    (place / "name").write_text(request.param)
    return place


def told(index: vsearch.Index, text: str) -> list[tuple]:
    return [(hit.path.name, round(hit.score, 3), hit.width) for hit in index.search(text, COUNT)]


@pytest.mark.parametrize("how", [("--meta", "own.csv"), ("--meta", "below.csv", "--pictures", "photos")])
def test_sentences_find_what_an_index_of_the_pictures_finds(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], how: tuple
):
    monkeypatch.chdir(place)
    encoder = (place / "name").read_text()
    words = ["import", "--vectors", "own.npy", *how, "--encoder", encoder, "--index", str(tmp_path / "in.vsearch")]
    assert main([*words, "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["added"] == COUNT and f"{COUNT} pictures embedded anew and compared" in err
    with vsearch.open("own.vsearch") as own, vsearch.open(tmp_path / "in.vsearch", write=True) as index:
        assert index.encoder_info == own.encoder_info
        for text in QUERIES:
            assert told(index, text) == told(own, text)
        report = index.add(vsearch.folder(place / "photos"))
        assert (report.added, report.unchanged) == (0, COUNT)


def test_vectors_of_another_encoder_are_refused(place: Path, tmp_path: Path):
    encoder = (place / "name").read_text()
    xb = np.load(place / "own.npy")
    np.save(tmp_path / "mixed.npy", xb[::-1])
    np.save(tmp_path / "wide.npy", np.hstack([xb, xb]))
    with vsearch.create(tmp_path / "in.vsearch", encoder=encoder) as index:
        with pytest.raises(EncoderMismatch, match="not those that"):
            index.add_embedded(vsearch.vector_file(tmp_path / "mixed.npy", meta=place / "own.csv"))
        with pytest.raises(DimensionMismatch, match=f"{2 * xb.shape[1]} dimensions"):
            index.add_embedded(vsearch.vector_file(tmp_path / "wide.npy"))
        assert len(index) == 0


def test_without_pictures_it_is_taken_on_trust(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(place)
    words = ["import", "--vectors", "own.npy", "--encoder", (place / "name").read_text()]
    assert main([*words, "--index", str(tmp_path / "in.vsearch")]) == 0
    assert "taken on trust" in capfd.readouterr().err
    with vsearch.open("own.vsearch") as own, vsearch.open(tmp_path / "in.vsearch") as index:
        for text in QUERIES:
            expected = [round(hit.score, 3) for hit in own.search(text, COUNT)]
            assert [round(hit.score, 3) for hit in index.search(text, COUNT)] == expected


def test_an_encoder_and_a_name_exclude_each_other(capsys: pytest.CaptureFixture[str]):
    assert main(["import", "--vectors", "v.npy", "--encoder", "toy", "--name", "x"]) == 2
    assert "not both" in capsys.readouterr().err
