"""An encoder beside open_clip, both in one process and on one core: CPU time of sentences.

run_clip.py FOLDER TEXTS.json ROUNDS     FOLDER: a model as open_clip saves them.  Prints one JSON object.

Both take tokens and vectors of the same texts, turn by turn; the least CPU time of all turns counts.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before any library counts the cores

import numpy as np  # noqa: E402

from vsearch.embed import load_encoder  # noqa: E402

Encode = Callable[[list[str]], Any]
SENTENCE = "a red apple on a small wooden table"  # eight words
CALLS = 8  # of one turn


def main() -> None:
    """Run from the command line."""
    folder, texts, rounds = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")), int(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints
    ours, theirs = load_encoder(f"local-dir:{folder}").encode_texts, _open_clip(folder)
    figures: dict[str, float] = {}
    for name, batch, calls in (("sentence", [SENTENCE], CALLS), ("batch of 64", texts[:64], 1)):
        times = _turns([ours, theirs], batch, rounds, calls)
        figures |= {f"{name} ms": 1000 * times[0], f"{name}, open_clip ms": 1000 * times[1]}
    print(json.dumps(figures), file=answers)


def _open_clip(folder: str) -> Encode:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import open_clip
        import torch

        model = open_clip.create_model(f"local-dir:{folder}").eval()
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")

    def encode(texts: list[str]) -> Any:
        with torch.inference_mode():
            return model.encode_text(tokenizer(texts), normalize=True).numpy()

    return encode


def _turns(encoders: list[Encode], texts: list[str], rounds: int, calls: int) -> list[float]:
    """CPU seconds of one call of each encoder, the least of all turns."""
    seconds = np.full((rounds, len(encoders)), np.inf)
    for encode in encoders:
        encode(texts)  # what is loaded by a first call
    for turn in seconds:
        for column, encode in enumerate(encoders):
            began = time.process_time()
            for _ in range(calls):
                encode(texts)
            turn[column] = (time.process_time() - began) / calls
    return [float(one) for one in seconds.min(axis=0)]


if __name__ == "__main__":
    main()
