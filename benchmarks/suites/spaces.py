"""Indexes over real joint spaces: recall for sentences and for pictures at a few bytes a vector.

The pictures of `$VSEARCH_EVAL_DATA` (Flickr8k and Caltech-101) are embedded by an encoder.  1,000 of them and 1,000 of
the captions are kept aside as queries; the rest is built into an index by each recipe, tuned with the other captions,
and asked with what was kept aside.  recall@10 is against exact search over the same vectors.  gap: the mean cosine
between pictures, and that of each caption's nearest picture.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tables import table
from venvs import CACHE

import vsearch
from vsearch.evaluate import measure

Matrix = NDArray[np.float32]

ENCODERS = ("mini", "mini:untrained")
RECIPES = ("opq-ivf-pq", "ivf-rabitq", "ivf-pq-fastscan", "hnsw")
TABLES = ("flickr8k/train.tsv", "flickr8k/dev.tsv", "caltech101/labels.tsv")
ASIDE = 1000
SHOWN = ("bytes_per_vector", "text recall@10", "image recall@10", "text p50 ms", "image p50 ms", "text_weight")


def run(quick: bool, encoder: str | None = None, recipe: str | None = None) -> dict[str, Any]:
    """Measure.  quick: 2,000 pictures.  encoder: a name or a path instead of both; recipe: one instead of all."""
    data = os.environ.get("VSEARCH_EVAL_DATA")
    if not data:
        raise SystemExit("spaces: set VSEARCH_EVAL_DATA to the folder that holds flickr8k and caltech101")
    recipes = [recipe] if recipe else RECIPES
    return {name: _space(Path(data), name, recipes, quick) for name in ([encoder] if encoder else ENCODERS)}


def _space(data: Path, encoder: str, recipes: Sequence[str], quick: bool) -> dict[str, Any]:
    pictures, texts = _vectors(data, encoder, 2000 if quick else None)
    aside, indexed = pictures[:ASIDE], pictures[ASIDE:]
    return {
        "pictures": len(indexed),
        "mean cosine of two pictures": float(np.square(pictures.mean(axis=0)).sum()),
        "mean cosine of a caption and its nearest picture": float((texts[:ASIDE] @ pictures.T).max(axis=1).mean()),
        "recipes": {name: _measured(name, indexed, texts[ASIDE:], texts[:ASIDE], aside) for name in recipes},
    }


def _vectors(data: Path, encoder: str, most: int | None) -> tuple[Matrix, Matrix]:
    """Pictures and captions, each in random order, embedded once and kept."""
    loaded = vsearch.load_encoder(encoder)
    kept = CACHE / "spaces" / f"{loaded.info.space}-{most or 'all'}.npz"
    if not kept.is_file():
        captions: dict[Path, list[str]] = {}
        for name in TABLES:
            with (data / name).open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file, delimiter="\t"):
                    captions.setdefault((data / name).parent / row["filepath"], []).append(row["title"])
        rng = np.random.default_rng(0)
        paths = [list(captions)[at] for at in rng.permutation(len(captions))][:most]
        said = [text for path in paths if "flickr8k" in path.parts for text in captions[path]]
        kept.parent.mkdir(parents=True, exist_ok=True)
        texts = [said[at] for at in rng.permutation(len(said))[: ASIDE + 5000]]
        np.savez(kept, pictures=_pictures(paths, loaded), texts=loaded.encode_texts(texts))
    with np.load(kept) as told:
        return told["pictures"], told["texts"]


def _pictures(paths: list[Path], encoder: vsearch.Encoder) -> Matrix:
    with tempfile.TemporaryDirectory(prefix="spaces-") as name:
        with vsearch.create(Path(name) / "x.vsearch", encoder=encoder) as index:
            index.add(vsearch.pictures(paths))
            with index.store.snapshot() as snapshot:
                return snapshot.vectors(snapshot.live_ids())


def _measured(recipe: str, rows: Matrix, learn: Matrix, texts: Matrix, pictures: Matrix) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="spaces-") as name:
        with vsearch.create(Path(name) / "x.vsearch", encoder=f"external:real:{rows.shape[1]}") as index:
            index.add_vectors([f"picture/{row}" for row in range(len(rows))], rows)
            report = index.build(recipe, text_queries=learn)
            told = measure(index, texts, pictures)
    figures = {"bytes_per_vector": told["bytes_per_vector"], "text_weight": report.get("text_weight")}
    for modality in ("text", "image"):
        figures |= {
            f"{modality} recall@10": told[modality]["recall@10"],
            f"{modality} p50 ms": told[modality]["p50_ms"],
        }
        figures |= {f"{modality} {key}": report[modality][key] for key in ("nprobe", "rescore") if modality in report}
    return figures


def tables(figures: dict[str, Any]) -> list[str]:
    """For each space a row for each recipe."""
    lines: list[str] = []
    for encoder, space in figures.items():
        gap = ", ".join(f"{name} {space[name]:.3f}" for name in space if name.startswith("mean"))
        lines += [f"`{encoder}`, {space['pictures']:,} pictures; {gap}:", "", *table(space["recipes"], SHOWN, "recipe")]
    return lines
