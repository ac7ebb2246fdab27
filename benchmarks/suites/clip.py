"""What pretrained CLIPs cost: a cold command, a warm sentence, beside `mini`, rclip and open_clip.

Models of real size with random weights, made in .bench: what they cost does not depend on what the weights are.  CPU
seconds are user and system time of a command with all that it starts, the least of several turns that the models take;
its files are in the page cache.  MB are the most resident memory of one process, mapped weights included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import random_clip
from captioned import flickr8k
from measured import Usage, least, measure, user_environment
from peer import PEERS
from pictures import collect
from tables import table

MODELS = ("ViT-B-32", "ViT-B-32-SigLIP2-256", "ViT-L-14", "RN50")
QUICK_MODELS = ("ViT-B-32",)
SENTENCE = "a red apple on a wooden table"
Figures = dict[str, Any]


def run(quick: bool) -> Figures:
    """Measure; quick takes ViT-B-32 only."""
    encoders = {"mini": "mini"} | {
        name: f"local-dir:{random_clip.model_folder(name)}" for name in (QUICK_MODELS if quick else MODELS)
    }
    rounds = 3 if quick else 7
    with tempfile.TemporaryDirectory(prefix="vsearch-clip-") as name:
        scratch = Path(name)
        few = scratch / "few"
        figures: Figures = {"origin": collect(few, 32)}
        figures["cold sentence"] = _cold_sentences(encoders, few, scratch, rounds)
        figures["warm"] = {
            model: _warm(name.partition(":")[2], scratch, rounds) for model, name in encoders.items() if model != "mini"
        }
    return figures


def _vsearch(scratch: Path, *words: str) -> Usage:
    own = {"VSEARCH_CACHE": str(scratch / "cache"), "VSEARCH_DATA": str(scratch / "data"), "HF_HUB_OFFLINE": "1"}
    return measure([sys.executable, "-m", "vsearch", *words], **own)


def _cold_sentences(encoders: dict[str, str], photos: Path, scratch: Path, rounds: int) -> dict[str, Figures]:
    usages: dict[str, list[Usage]] = {model: [] for model in encoders}
    for model, name in encoders.items():
        _vsearch(scratch, "index", str(photos), "--index", str(scratch / f"{model}.vsearch"), "--encoder", name)
    for number in range(rounds + 1):
        for model in encoders:
            usage = _vsearch(scratch, "query", "--index", str(scratch / f"{model}.vsearch"), SENTENCE)
            if number:  # the first one may write caches
                usages[model].append(usage)
    return {model: _figures(least(several)) for model, several in usages.items()}


def _figures(usage: Usage) -> Figures:
    return {"CPU s": usage.cpu, "MB": usage.peak_mb}


def _warm(folder: str, scratch: Path, rounds: int) -> Figures:
    """CPU milliseconds of texts in a process that has the model, beside open_clip on the same core."""
    captions = [text for texts in flickr8k().values() for text in texts]
    texts = scratch / "texts.json"
    texts.write_text(json.dumps(captions[:200]), encoding="utf-8")
    command = [sys.executable, str(PEERS / "run_clip.py"), folder, str(texts), str(rounds)]
    told = subprocess.run(command, env=user_environment(HF_HUB_OFFLINE="1"), stdout=subprocess.PIPE, check=True)
    figures: Figures = json.loads(told.stdout)
    return figures


def tables(figures: Figures) -> list[str]:
    """A table of each part."""
    lines: list[str] = []
    for part in ("cold sentence", "warm"):
        lines += [f"{part}:", "", *table(figures[part])]
    return lines
