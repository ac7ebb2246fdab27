"""How fast stored vectors are tagged, and how good zero-shot labels of the bundled encoder are.

Throughput: `Index.tag` over random unit vectors of 512 dimensions in a store of their own, with random labels, on one
thread: pictures times labels for each CPU second, tags written and made durable, and beside it without writing.
caltech101: pictures of `$VSEARCH_EVAL_DATA/caltech101`, ten of each of 100 classes; the class names are the labels.
accuracy is the share whose likeliest label is right; nll the mean of -log of the confidence of the right label; ece the
expected calibration error in ten bins.  temperature_of_least_nll is what `mini` uses by default.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vsearch
from vsearch import prompts
from vsearch.decode import Decoded, DecodePool, Job
from vsearch.embed import load_encoder
from vsearch.labels import Classifier
from vsearch.labels.tagging import labelled

DIM = 512
LABELS = (10, 100, 1000)
TEMPERATURES = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15)
Matrix = NDArray[np.float32]


def run(quick: bool) -> dict[str, Any]:
    """Measure; quick takes 20,000 vectors and two pictures of each class, else 200,000 and ten."""
    # A process of its own: the number of threads is settled when numpy is loaded.
    command = [sys.executable, __file__, str(20_000 if quick else 200_000)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    return {**json.loads(told.stdout), **_accuracy(2 if quick else 10)}


def throughput(count: int) -> dict[str, Any]:
    """Pictures times labels for each CPU second."""
    rng = np.random.default_rng(0)
    figures: dict[str, Any] = {"vectors": count, "dimensions": DIM}
    with tempfile.TemporaryDirectory(prefix="vsearch-labels-") as name:
        with vsearch.create(Path(name) / "x.vsearch", encoder=f"external:random:{DIM}") as index:
            for first in range(0, count, 10_000):
                names = [f"v{n}" for n in range(first, first + 10_000)]
                index.add_vectors(names, rng.standard_normal((10_000, DIM), np.float32))
            for labels in LABELS:
                directions = rng.standard_normal((labels, DIM), np.float32)
                directions /= np.linalg.norm(directions, axis=1, keepdims=True)
                classifier = Classifier([f"label {n}" for n in range(labels)], directions)
                pairs = count * labels
                started = time.process_time()
                with index.store.snapshot() as snapshot:
                    sum(1 for _ in labelled(snapshot, snapshot.kept_ids(), classifier, 3, 0.2))
                figures[f"scored_per_cpu_second_{labels}_labels"] = pairs / (time.process_time() - started)
                started = time.process_time()
                report = index.tag(classifier, min_confidence=0.2, top=3)
                figures[f"tagged_per_cpu_second_{labels}_labels"] = pairs / (time.process_time() - started)
                figures[f"share_with_tags_{labels}_labels"] = report.tagged / report.pictures
    return figures


def _accuracy(each: int) -> dict[str, Any]:
    table = Path(os.environ.get("VSEARCH_EVAL_DATA") or "/nonexistent") / "caltech101" / "labels.tsv"
    if not table.is_file():
        return {}
    classes: dict[str, list[Path]] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            folder = row["filepath"].split("/")[0]
            classes.setdefault(folder.replace("_", " ").lower(), []).append(table.parent / row["filepath"])
    paths = [path for mine in classes.values() for path in mine[:each]]
    truth = np.repeat(np.arange(len(classes)), [len(mine[:each]) for mine in classes.values()])
    encoder = load_encoder("mini")
    with DecodePool(encoder.preprocess) as pool:
        pixels = [d.pixels for d in pool.map(Job(os.fsencode(path)) for path in paths) if isinstance(d, Decoded)]
    assert len(pixels) == len(paths)
    vectors = np.concatenate(
        [encoder.encode_images(np.stack(pixels[at : at + 50])) for at in range(0, len(pixels), 50)]
    )
    figures: dict[str, Any] = {"caltech101_pictures": len(paths), "caltech101_labels": len(classes)}
    for templates in ("photo", "plain"):
        classifier = Classifier.of(encoder, list(classes), templates=prompts.load(templates))
        figures |= {f"caltech101_{templates}_{k}": v for k, v in _figures(classifier, vectors, truth).items()}
    return figures


def _figures(classifier: Classifier, vectors: Matrix, truth: NDArray[np.int64]) -> dict[str, float]:
    told = classifier.confidences(vectors)
    right = told.argmax(axis=1) == truth
    sure = told.max(axis=1)
    bins = np.minimum((sure * 10).astype(int), 9)
    gaps = [abs(sure[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    losses = {t: _nll(Classifier(classifier.labels, classifier.directions, t), vectors, truth) for t in TEMPERATURES}
    return {
        "accuracy": float(right.mean()),
        "nll": _nll(classifier, vectors, truth),
        "ece": float(sum(gaps)),
        "temperature_of_least_nll": min(losses, key=lambda t: losses[t]),
    }


def _nll(classifier: Classifier, vectors: Matrix, truth: NDArray[np.int64]) -> float:
    own = classifier.confidences(vectors)[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(own, 1e-12)).mean())


if __name__ == "__main__":
    print(json.dumps(throughput(int(sys.argv[1]))))
