"""An encoder beside open_clip, both in one process and on one core: CPU time of sentences.

run_clip.py FOLDER TEXTS.json ROUNDS     FOLDER: a model as open_clip saves them.  Prints one JSON object.

Both take tokens and vectors of the same texts, turn by turn; the least CPU time of all turns counts.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before any library counts the cores

import numpy as np  # noqa: E402
from open_clip_towers import OpenClipTowers  # noqa: E402

from vsearch.embed import load_encoder  # noqa: E402

Encode = Callable[[list[str]], Any]
SENTENCE = "a red apple on a small wooden table"  # eight words
CALLS = 8  # of one turn
FEWER = 3  # times as many turns with the sentence as with 64 texts


def main() -> None:
    """Run from the command line."""
    folder, texts, rounds = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")), int(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints
    encoders = [load_encoder(f"local-dir:{folder}").encode_texts, OpenClipTowers(folder).encode_texts]
    figures: dict[str, float] = {}
    for name, batch, turns, calls in (
        ("sentence", [SENTENCE], rounds, CALLS),
        ("64 texts", texts[:64], -(-rounds // FEWER), 1),
    ):
        ours, theirs = _turns(encoders, batch, turns, calls)
        figures |= {f"{name} ms": 1000 * ours, f"{name}, open_clip ms": 1000 * theirs}
        figures[f"{name}, open_clip / vsearch"] = theirs / ours
    print(json.dumps(figures), file=answers)


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
