"""A domain of one's own from the gallery: composed scenes, before and after training, and swapped captions.

20,000 scenes of two tinted things with captions that are exactly true (tools/compose.py) train heads over `mini` with
`vsearch train`, and the first 6,000 of them a re-ranker with `vsearch train-reranker`, every setting at its default.
retrieval: 1,000 other scenes, each to be found by its caption.  swaps: 1,000 more, half of them the twins of the rest,
true caption against the one with colours, sides or counts swapped; 0.5 is guessing.  unseen: the same of things that
training never showed together.  gallery_captions and flickr8k_dev: what training cost elsewhere, on the gallery's own
captioned pictures and on the development pictures in `$VSEARCH_EVAL_DATA/flickr8k`.  The last one there is goes
to WiSE-FT as `--general`, which keeps the loss there within two points of mean recall; nothing is chosen by the other.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vsearch.train import read_pairs

ROOT = Path(__file__).resolve().parents[2]
SWAPS = ("swaps", "unseen")
RECALLS = ("image_retrieval_recall@1", "image_retrieval_recall@5", "image_retrieval_recall@10")
RECALLS += ("text_retrieval_recall@1", "image_retrieval_median_rank")
Figures = dict[str, Any]


def run(quick: bool) -> Figures:
    """Measure in `.bench`; gallery, scenes and features of frozen towers are kept there for a next run.

    quick: 600 scenes to train with for 20 epochs, 100 to measure with, and nothing of Flickr8k.
    """
    place = ROOT / ".bench" / ("compositions-quick" if quick else "compositions")
    pairs, measured, matched = (600, 100, 600) if quick else (20_000, 1_000, 6_000)
    scenes, gallery, seconds = place / "composed", place / "gallery", Figures()
    place.mkdir(parents=True, exist_ok=True)
    with timed(seconds, "compose"):
        _tool("gallery.py", "--out", gallery)
        if not scenes.is_dir():
            half = place / "half"
            _tool("compose.py", "--gallery", gallery, "--out", half, "--pairs", pairs, "--val", measured)
            half.rename(scenes)
    elsewhere = _general(place, gallery, None if quick else os.environ.get("VSEARCH_EVAL_DATA"))
    for old in ("run/checkpoints", "run/best", "matcher"):
        shutil.rmtree(place / old, ignore_errors=True)
    encoder, matcher = place / "run" / "best", place / "matcher"
    made = json.loads((gallery / ".gallery.json").read_text(encoding="utf-8"))["made"]
    figures: Figures = {"gallery": made, "pairs": pairs, "reranker_pairs": matched}
    figures |= _swapped(scenes, "before", "--encoder", "mini:untrained")
    with timed(seconds, "train"):
        told = _vsearch(
            *(
                "train",
                scenes / "train.tsv",
                "--val",
                scenes / "val.tsv",
                "--encoder",
                "mini:untrained",
                "--out",
                place / "run",
            ),
            *("--general", list(elsewhere.values())[-1], "--json"),
        )
    figures |= {f"{name}_{when}": round(told[when][name], 4) for name in RECALLS for when in ("before", "after")}
    figures |= {"steps": told["steps"], "alpha": told["alpha"], "mixes": told["mixes"]}
    figures |= {f"general_{when}": round(told[f"general_{when}"]["mean_recall"], 4) for when in ("before", "after")}
    figures |= _swapped(scenes, "after", "--encoder", encoder)
    for name, table in elsewhere.items():
        figures[name] = _vsearch("eval", "compare", table, "mini:untrained", encoder, "--json")["difference"]
        change = [row["difference"] for metric, row in figures[name].items() if "recall@" in metric]
        figures[f"{name}_points_of_mean_recall"] = round(100 * sum(change) / len(change), 2)
    first = _first(scenes / "train.tsv", matched)
    with timed(seconds, "train_reranker"):
        _vsearch("train-reranker", first, "--out", matcher, *(("--epochs", 20) if quick else ()))
    figures |= _swapped(scenes, "reranked", "--rerank", matcher)
    return {**figures, **{f"seconds_{name}": taken for name, taken in seconds.items()}}


def tables(figures: Figures) -> list[str]:
    """Swap accuracy by kind; recall elsewhere; what each share of the new weights gives."""
    kinds = list(figures["swaps_by_kind_before"])
    lines = ["", "| swap accuracy | mini | trained | re-ranker |", "|---|---:|---:|---:|"]
    for name in SWAPS:
        of = [figures[f"{name}_by_kind_{when}"] for when in ("before", "after", "reranked")]
        lines += [f"| {name}: {kind} | " + " | ".join(f"{row[kind]:.3f}" for row in of) + " |" for kind in kinds]
    lines += ["", "| elsewhere | mini | trained | 95 % interval of the difference |", "|---|---:|---:|---|"]
    for name in ("gallery_captions", "flickr8k_dev"):
        for metric, row in figures.get(name, {}).items():
            low, high = row["interval_95"]
            lines.append(f"| {name} {metric} | {row['a']:.4f} | {row['b']:.4f} | {low:+.4f} to {high:+.4f} |")
    lines += ["", "| share of the new weights | mean recall here | elsewhere |", "|---:|---:|---:|"]
    return lines + [f"| {m['alpha']:.0%} | {m['domain']:.4f} | {m['general']:.4f} |" for m in figures["mixes"]]


def _swapped(scenes: Path, when: str, *by: Any) -> Figures:
    found: Figures = {}
    for name in SWAPS:
        told = _vsearch("eval", "compositional", scenes / f"{name}.tsv", *by, "--json")["kinds"]
        found[f"{name}_{when}"] = told["all"]["text"]
        found[f"{name}_{when}_interval_95"] = told["all"]["interval_95"]
        found[f"{name}_group_{when}"] = told["all"]["group"]
        found[f"{name}_by_kind_{when}"] = {kind: row["text"] for kind, row in told.items()}
    return found


def _general(place: Path, gallery: Path, data: str | None) -> dict[str, Path]:
    """Tables of captioned pictures of other kinds."""
    sources: dict[str, Path] = {"gallery_captions": gallery}
    if data:
        sources["flickr8k_dev"] = Path(data) / "flickr8k" / "dev.tsv"
    found = {}
    for name, source in sources.items():
        pairs = read_pairs(source)
        rows = [
            (os.fsdecode(item.path), caption)
            for item, captions in zip(pairs.items, pairs.captions, strict=True)
            for caption in captions
        ]
        found[name] = _table(place / f"{name}.tsv", rows)
    return found


def _first(table: Path, count: int) -> Path:
    """The first rows of a table, as a table beside it."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = [(row["filepath"], row["title"]) for row in csv.DictReader(file, delimiter="\t")]
    return _table(table.with_name("first.tsv"), rows[:count])


def _table(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([("filepath", "title"), *rows])
    return path


def _tool(name: str, *words: Any) -> None:
    subprocess.run([sys.executable, str(ROOT / "tools" / name), *map(str, words)], check=True, stdout=sys.stderr)


def _vsearch(*words: Any) -> Figures:
    """What the program prints, where that is JSON."""
    command = [sys.executable, "-m", "vsearch", *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return dict(json.loads(done.stdout)) if "--json" in words else {}


@contextmanager
def timed(seconds: Figures, name: str) -> Iterator[None]:
    """Keep how long something took."""
    begun = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - begun, 1)
