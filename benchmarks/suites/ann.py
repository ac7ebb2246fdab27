"""Approximate search side by side: the same vectors, one machine, one thread, turn by turn, text and image apart.

The vectors are those of gapped.py, in 512 dimensions: pictures, picture queries and text queries with a modality gap.
Each library runs in a process of its own and is swept over its search settings; the settings that none of its others
beats are then measured again, the libraries taking turns, and the least CPU time of all rounds counts.  Recall is that
of the 10 best by exact inner product (ties within 1e-6 count), speed is queries for each CPU second of the process, one
query at a time and in batches of 100.  "own settings" are those that a library chose itself when it was built.

faiss is the very index that vsearch built, searched with bare FAISS calls and scored again in numpy; faiss-default is
the same with FAISS's own settings for BLAS; vsearch-exact and faiss-flat compare everything; autofaiss is given the
memory that vsearch's index takes.  Bytes are those of memory; vsearch and faiss also read fp16 vectors from a
memory-mapped file, 1,024 bytes each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gapped
import numpy as np
from frontier import front, speed_at
from numpy.typing import NDArray
from peer import PROGRAMS, CannotInstall, PeerFailed, RunningPeer
from venvs import CACHE, python_of

HERE = Path(__file__).resolve().parent.parent
K, TIE, SEED = 10, 1e-6, 0
BATCHES = (1, 100)
MODALITIES = ("text", "image")
RECIPE = "opq-ivf-pq"
LEVELS = (0.90, 0.95, 0.96, 0.97, 0.98)
WORTH = 0.8  # recall below which a point is not measured again
CHOICES = ("faiss", "hnswlib", "usearch", "scann", "autofaiss")
EXACT = ("vsearch-exact", "faiss-flat")
EXACT_QUERIES = 100  # each costs a pass over everything
VARIANTS = {"faiss": ("faiss", "faiss-default", *EXACT), "scann": ("scann", "scann-soar")}


@dataclass
class Point:
    """One library with one setting: recall, and the least CPU seconds for all queries by size of batch."""

    peer: str
    modality: str
    settings: dict[str, Any]
    queries: int
    recall: float = 0.0
    seconds: dict[int, float] = field(default_factory=dict)

    def speed(self, batch: int) -> float:
        """Queries per second."""
        return self.queries / self.seconds[batch]


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    size: int
    queries: int
    rounds: int
    peers: tuple[str, ...]
    recipe: str


def run(
    quick: bool, size: int | None = None, peers: Sequence[str] | None = None, recipe: str = RECIPE
) -> dict[str, Any]:
    """Measure.  size: how many pictures; quick: 20,000, 200 queries and no slow builds, else 200,000 and 500."""
    if peers is None:
        peers = ("faiss", "hnswlib", "usearch") if quick else CHOICES
    chosen = tuple(variant for name in peers for variant in VARIANTS.get(name, (name,)))
    plan = Plan(size or (20_000 if quick else 200_000), 200 if quick else 500, 1 if quick else 3, chosen, recipe)
    folder = _data(plan.size)
    with tempfile.TemporaryDirectory(prefix="ann-", dir=CACHE) as scratch, ExitStack() as stack:
        running, built, left_out = _start(plan, folder, Path(scratch), stack)
        points = _measure(plan, folder, running)
    return _figures(plan, points, built, left_out)


def _data(size: int) -> Path:
    """The folder of the vectors, which are made unless they are there."""
    folder = CACHE / "data" / f"gapped-{size}-{SEED}"
    if not (folder / "text_sample.npy").is_file():
        _say(f"making {size:,} vectors in {folder}")
        gapped.write(folder, size, SEED)
    return folder


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _start(
    plan: Plan, folder: Path, scratch: Path, stack: ExitStack
) -> tuple[list[RunningPeer], dict[str, dict[str, Any]], dict[str, str]]:
    """Build one after the other.  A library that cannot be installed or fails is left out, with the reason."""
    running, built, left_out = [], {}, {}
    for name in ("vsearch", *plan.peers):
        try:
            peer = stack.enter_context(RunningPeer(name, CACHE / f"{name}.log"))
            _say(f"{name}: building")
            built[name] = peer.ask("build", folder=str(folder), options=_options(plan, name, scratch, built))
            running.append(peer)
            _say(f"{name}: {built[name]['build_seconds']:.0f} CPU s, {built[name]['what']}")
        except (CannotInstall, PeerFailed) as error:
            if name == "vsearch":
                raise
            _say(str(error))
            left_out[name] = str(error).splitlines()[0]
    return running, built, left_out


def _options(plan: Plan, name: str, scratch: Path, built: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if name.startswith("vsearch"):
        return {"index": str(scratch / f"{name}.vsearch"), "recipe": None if name in EXACT else plan.recipe}
    if name.startswith("faiss"):
        return {"file": built["vsearch"]["file"], "default": name == "faiss-default"}
    return {"soar": name == "scann-soar", "bytes": built["vsearch"]["bytes"]}


def _measure(plan: Plan, folder: Path, running: list[RunningPeer]) -> list[Point]:
    """Sweep everything once, then measure the points of the fronts again, turn by turn."""
    points: dict[str, list[Point]] = {peer.name: [] for peer in running}
    truth = {name: Truth(folder, name, plan.queries) for name in MODALITIES}
    for peer in running:
        for modality in MODALITIES:
            for settings in peer.ask("sweep", modality=modality)["settings"]:
                count = min(plan.queries, EXACT_QUERIES) if peer.name in EXACT else plan.queries
                point = Point(peer.name, modality, settings, count)
                _time(peer, point, truth[modality])
                points[peer.name].append(point)
        _say(f"{peer.name}: {len(points[peer.name])} settings measured")
    again = {name: list(_worth_it(mine)) for name, mine in points.items()}
    for number in range(plan.rounds):
        _say(f"round {number + 1} of {plan.rounds}: {sum(map(len, again.values()))} settings")
        for turn in range(max(map(len, again.values()))):
            for peer in running:
                if turn < len(again[peer.name]):
                    point = again[peer.name][turn]
                    _time(peer, point, truth[point.modality])
    return [point for mine in points.values() for point in mine]


def _worth_it(points: list[Point]) -> Iterator[Point]:
    """Points of a front of either batch size, and those of a library's own settings."""
    for modality in MODALITIES:
        mine = [p for p in points if p.modality == modality]
        best = {at for b in BATCHES for at in front([(p.recall, p.speed(b)) for p in mine])}
        for point in mine:
            on_front = any((point.recall, point.speed(b)) in best for b in BATCHES)
            if "own" in point.settings or (on_front and point.recall >= WORTH):
                yield point


def _time(peer: RunningPeer, point: Point, truth: Truth) -> None:
    for batch in BATCHES:
        asked = {"modality": point.modality, "count": point.queries, "k": K, "settings": point.settings}
        told = peer.ask("search", batch=batch, **asked)
        point.seconds[batch] = min(told["seconds"], point.seconds.get(batch, float("inf")))
        point.recall = truth.recall(np.array(told["ids"]))


class Truth:
    """The exact answers to the queries of one modality."""

    def __init__(self, folder: Path, modality: str, count: int) -> None:
        self._images = np.load(folder / "images.npy", mmap_mode="r")
        self._queries = np.load(folder / f"{modality}_queries.npy")[:count]
        best = np.full((count, K), -np.inf, np.float32)
        for first in range(0, len(self._images), gapped.BLOCK):
            scores = self._queries @ self._images[first : first + gapped.BLOCK].T
            best = -np.partition(-np.concatenate([best, scores], axis=1), K - 1, axis=1)[:, :K]
        self._kth = best.min(axis=1)

    def recall(self, ids: NDArray[np.integer]) -> float:
        """The share of the 10 best of each query that is among the ids (n, 10); as good as the 10th is good enough."""
        good = 0
        for query, row, kth in zip(self._queries[: len(ids)], ids, self._kth[: len(ids)], strict=True):
            there = np.unique(row[row >= 0])
            good += int((self._images[there] @ query >= kth - TIE).sum())
        return good / ids.size


# What came of it


def _figures(
    plan: Plan, points: list[Point], built: dict[str, dict[str, Any]], left_out: dict[str, str]
) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "vectors": plan.size,
        "dimensions": gapped.Shape().dim,
        "queries of each kind": plan.queries,
        "seed": SEED,
        **_ratios(plan, points, built),
    }
    figures["builds"] = {
        name: {
            "what": told["what"],
            "bytes per vector": round(told["bytes"] / plan.size, 1),
            "build CPU seconds": round(told["build_seconds"], 1),
            "peak MB": round(told["peak_mb"]),
            **{key: told[key] for key in ("store_seconds", "own_settings", "report") if key in told},
        }
        for name, told in built.items()
    }
    figures["left out"] = left_out
    figures["points"] = [
        {
            "peer": p.peer,
            "modality": p.modality,
            "settings": p.settings,
            "recall@10": round(p.recall, 4),
            **{f"queries_per_second_batch_{b}": round(p.speed(b), 1) for b in BATCHES},
        }
        for p in points
    ]
    return figures


def _speed(points: list[Point], peers: Sequence[str], modality: str, recall: float, batch: int) -> float | None:
    """The best of some libraries at a recall."""
    mine = ([(p.recall, p.speed(batch)) for p in points if p.peer == peer and p.modality == modality] for peer in peers)
    found = [speed for points in mine if (speed := speed_at(points, recall)) is not None]
    return max(found, default=None)


def _ratios(plan: Plan, points: list[Point], built: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How often the others' speed vsearch has at equal recall, where both reach it."""
    told: dict[str, Any] = {}
    for modality, other, levels in (
        ("text", ("scann", "scann-soar"), LEVELS[1:]),
        ("image", ("hnswlib",), LEVELS[1:2]),
        ("text", ("autofaiss",), LEVELS[:2]),
    ):
        for recall in levels:
            for batch in BATCHES:
                ours = _speed(points, ("vsearch",), modality, recall, batch)
                theirs = _speed(points, other, modality, recall, batch)
                if ours and theirs:
                    told[f"{modality} queries/s at recall {recall}, batch {batch}: vsearch / {other[0]}"] = (
                        ours / theirs
                    )
    for batch in BATCHES:
        text, image = (_speed(points, ("vsearch",), modality, 0.95, batch) for modality in MODALITIES)
        if text and image:
            told[f"vsearch queries/s at recall 0.95, batch {batch}: text / image"] = text / image
        for ours, other in (("vsearch", "faiss"), ("vsearch", "faiss-default"), EXACT):
            ratios = list(_same_settings(points, ours, other, batch))
            if ratios:
                told[f"queries/s with the same settings, batch {batch}: {ours} / {other}"] = float(np.median(ratios))
    told |= _choosing(points, built["vsearch"])
    if "autofaiss" in built:
        best = {
            peer: max((p.recall for p in points if (p.peer, p.modality) == (peer, "text")), default=0.0)
            for peer in ("vsearch", "autofaiss")
        }
        told["highest text recall: vsearch - autofaiss"] = best["vsearch"] - best["autofaiss"]
        told["build CPU seconds: vsearch / autofaiss"] = (
            built["vsearch"]["build_seconds"] / built["autofaiss"]["build_seconds"]
        )
    return told


def _choosing(points: list[Point], built: dict[str, Any]) -> dict[str, Any]:
    """What the settings that the build chose are worth, against all of the sweep and on queries it never saw."""
    told: dict[str, Any] = {}
    for modality in MODALITIES:
        mine = [p for p in points if (p.peer, p.modality) == ("vsearch", modality)]
        own = next((p for p in mine if "own" in p.settings), None)
        if own is None or modality not in built.get("report", {}):
            continue
        told[f"{modality} recall@10 of the own settings"] = own.recall
        predicted = built["report"][modality]["recall@10"]
        told[f"{modality} recall@10: predicted by the build - measured"] = predicted - own.recall
        for batch in BATCHES:
            best = speed_at([(p.recall, p.speed(batch)) for p in mine if p is not own], own.recall)
            if best:
                told[f"{modality} queries/s, batch {batch}: own settings / best of the sweep at that recall"] = (
                    own.speed(batch) / best
                )
    if "report" in built:
        told["share of the build that is tuning"] = built["report"]["seconds_tuning"] / built["report"]["seconds"]
    return told


def _same_settings(points: list[Point], ours: str, other: str, batch: int) -> Iterator[float]:
    theirs = {(p.modality, json.dumps(p.settings)): p for p in points if p.peer == other}
    for point in points:
        twin = theirs.get((point.modality, json.dumps(point.settings)))
        if point.peer == ours and twin is not None:
            yield point.speed(batch) / twin.speed(batch)


def tables(figures: dict[str, Any]) -> list[str]:
    """The result as Markdown: what was built, and speed at equal recall."""
    lines = ["| library | index | bytes/vector | build, CPU s | peak MB |", "|---|---|---:|---:|---:|"]
    for name, told in figures["builds"].items():
        numbers = (f"{told[key]:,}" for key in ("bytes per vector", "build CPU seconds", "peak MB"))
        lines.append(f"| {name} | {told['what']} | {' | '.join(numbers)} |")
    points = [Point(p["peer"], p["modality"], p["settings"], 1, p["recall@10"], _seconds(p)) for p in figures["points"]]
    for modality in MODALITIES:
        lines += ["", f"{modality} queries/s, batch 1 / 100, at a recall@10 of", ""]
        lines += [
            "| library | highest recall | " + " | ".join(f"{level:.2f}" for level in LEVELS) + " | own settings |"
        ]
        lines += ["|---|---:|" + "---:|" * (len(LEVELS) + 1)]
        lines += [_row(points, name, modality) for name in figures["builds"]]
    lines += ["", *(f"Left out: {reason}" for reason in figures["left out"].values())]
    return lines


def _seconds(point: dict[str, Any]) -> dict[int, float]:
    return {b: 1 / point[f"queries_per_second_batch_{b}"] for b in BATCHES}


def _row(points: list[Point], name: str, modality: str) -> str:
    mine = [p for p in points if (p.peer, p.modality) == (name, modality)]
    cells = [f"{max(p.recall for p in mine):.3f}"]
    for level in LEVELS:
        speeds = [_speed(points, (name,), modality, level, b) for b in BATCHES]
        cells.append(" / ".join(f"{s:,.0f}" for s in speeds if s is not None) or "–")
    own = next((p for p in mine if "own" in p.settings), None)
    cells.append(f"{own.recall:.3f}: {own.speed(1):,.0f} / {own.speed(100):,.0f}" if own else "")
    return f"| {name} | {' | '.join(cells)} |"


def plot(figures: dict[str, Any], target: Path) -> None:
    """Draw recall against speed as SVG, where matplotlib can be had."""
    try:
        python = python_of("plot")
    except CannotInstall as error:
        _say(f"no plot: {error}")
        return
    drawn = subprocess.run(
        [str(python), str(HERE / "plot_ann.py"), str(target)],
        input=json.dumps(figures["points"]),
        text=True,
        env={**os.environ, "MPLBACKEND": "svg"},
    )
    drawn.check_returncode()


__all__ = ["PROGRAMS", "plot", "run", "tables"]
