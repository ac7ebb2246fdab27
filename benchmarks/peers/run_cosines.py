"""How near an encoder's vectors are to open_clip's.

run_cosines.py FOLDER TEXTS.json PICTURES     FOLDER: a model as open_clip saves them.  Prints one JSON object.

The vectors of a model with random weights lie near each other, whatever is asked; so the least cosine is also taken of
what is left of both when the mean of open_clip's vectors is subtracted.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from open_clip_towers import Matrix, OpenClipTowers

from vsearch.decode import Decoded, DecodePool, Job
from vsearch.embed import load_encoder

BATCH = 10


def main() -> None:
    """Run from the command line."""
    folder, texts, photos = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")), Path(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints
    encoder, towers = load_encoder(f"local-dir:{folder}"), OpenClipTowers(folder)
    paths = sorted(photos.rglob("*.jpg"))
    with DecodePool(encoder.preprocess) as pool:
        outcomes = list(pool.map(Job(bytes(path)) for path in paths))
    pixels = np.stack([outcome.pixels for outcome in outcomes if isinstance(outcome, Decoded)])
    batches = [slice(at, at + BATCH) for at in range(0, len(paths), BATCH)]
    ours = np.concatenate([encoder.encode_images(pixels[batch]) for batch in batches])
    same_pixels = np.concatenate([towers.encode_pixels(pixels[batch]) for batch in batches])
    from_files = np.concatenate([towers.encode_files(paths[batch]) for batch in batches])
    pairs = {
        "texts": (encoder.encode_texts(texts), towers.encode_texts(texts)),
        "pictures": (ours, same_pixels),
        "pictures, cut by each": (ours, from_files),
    }
    figures: dict[str, object] = {}
    for name, (mine, theirs) in pairs.items():
        figures[name] = least_cosine(mine, theirs)
        figures[f"{name}, centred"] = least_cosine(mine - theirs.mean(axis=0), theirs - theirs.mean(axis=0))
    figures["precision"] = encoder.precision.partition(" (")[0]
    print(json.dumps(figures), file=answers)


def least_cosine(a: Matrix, b: Matrix) -> float:
    """The least cosine of vectors of the same row."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / lengths).min())


if __name__ == "__main__":
    main()
