"""Build a generation: sample, train, add, tune, publish."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.ann import AnnIndex, Cells, Growing, train_cells, trained
from vsearch.build import queries as ask
from vsearch.build.calibrate import Bench, Tuned, tune
from vsearch.build.goal import Goal
from vsearch.build.predict import Prediction, fitted, predict
from vsearch.build.rows import kept_blocks, release, sample
from vsearch.build.weight import Trial, moment, try_weights
from vsearch.recipe import Modality, Plan, Recipe, SearchSettings, kept, plan
from vsearch.store import Snapshot, Store, maintain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

# Below this many vectors every code is good enough, and a pilot could not tell transforms apart.
TRANSFORM_FROM = 5_000
# Text queries for the tuning; the rest of those given tell where texts lie.
TUNING_TEXTS = 0.5


@dataclass(frozen=True, slots=True)
class _Made:
    index: AnnIndex
    plan: Plan
    trials: list[Trial]
    error: float


def build(store: Store, recipe: Recipe, goal: Goal | None = None, texts: Matrix | None = None) -> dict[str, Any]:
    """Build and publish a generation over all vectors that are kept; return the report that lies beside it.

    texts: (n, dim) embedded texts of unit length: half of them tell where text queries lie, half tune the search; None
    leaves the settings for text as the recipe has them.
    Pictures that are missing are in it too: when they come back they have their old ids, which the tail leaves out.
    Vectors are compared with their checksums as they are read.  Raises TooFewVectors, RecipeError,
    MemoryBudgetTooSmall (before any work), IndexCorrupt, DiskFull.
    """
    goal = goal or Goal()
    started = time.monotonic()
    with store.snapshot() as snapshot:
        ids, dim = snapshot.kept_ids(), snapshot.space.dim
        planned = fitted(plan(recipe, len(ids), dim), len(ids), dim, goal.memory)
        told = predict(planned, len(ids), dim)
        tuning, statistics = _split(texts)
        made = _make(snapshot, ids, planned, goal, statistics)
        built = time.monotonic() - started
        tuned = calibrated(snapshot, made.index, planned, goal, tuning)
    report = _report(made, told, tuned, len(ids), built, time.monotonic() - started)
    publish(store, made.index, planned, tuned, report)
    return report


def check(store: Store, recipe: Recipe, goal: Goal) -> Prediction:
    """What building will take.  Raises TooFewVectors, RecipeError, MemoryBudgetTooSmall, before any work."""
    with store.snapshot() as snapshot:
        count, dim = len(snapshot.kept_ids()), snapshot.space.dim
    return predict(fitted(plan(recipe, count, dim), count, dim, goal.memory), count, dim)


def _split(texts: Matrix | None) -> tuple[Matrix | None, Matrix | None]:
    if texts is None:
        return None, None
    texts = np.ascontiguousarray(texts, np.float32)
    order = np.random.default_rng(0).permutation(len(texts))
    tuning = min(ask.COUNT, int(len(texts) * TUNING_TEXTS))
    return texts[order[:tuning]], texts[order[tuning:]]


def _make(snapshot: Snapshot, ids: Ids, planned: Plan, goal: Goal, texts: Matrix | None) -> _Made:
    settings = planned.recipe.build
    assert settings is not None
    rows = sample(snapshot, ids, planned.train, settings.seed)
    cells = Cells(train_cells(rows, planned.nlist, settings.seed)) if "IVF" in planned.factory else None
    trials: list[Trial] = []
    if settings.transform and cells is not None and len(ids) >= TRANSFORM_FROM:
        trials = try_weights(planned.factory, rows, cells, settings.seed, texts, len(ids), goal.recall)
    weight = trials[0].weight if trials else None
    queries = None if weight is None else moment(rows, texts, weight)
    grown = trained(planned.factory, rows, cells, settings.seed, queries)
    del rows
    error = _fill(grown, snapshot, ids)
    return _Made(grown.finished(snapshot.head.next_id), planned, trials, error)


def _fill(grown: Growing, snapshot: Snapshot, ids: Ids) -> float:
    """Add every row; return the mean squared distance from its centroid."""
    total = sum(grown.add(some, rows) for some, rows in kept_blocks(snapshot, ids))
    release(snapshot)
    return total / max(1, len(ids))


def calibrated(
    snapshot: Snapshot, index: AnnIndex, planned: Plan, goal: Goal, texts: Matrix | None
) -> dict[Modality, Tuned]:
    """Settings for each modality of which there are queries enough."""
    bench = Bench(index, snapshot.live, snapshot.vectors)
    most = planned.nlist if "IVF" in planned.factory else 1024
    tuned: dict[Modality, Tuned] = {}
    questions = {"image": ask.pictures(snapshot, 0), "text": None if texts is None else ask.texts(snapshot, texts)}
    modalities: tuple[Modality, ...] = ("text", "image")
    for modality in modalities:
        asked = questions[modality]
        if asked is not None:
            tuned[modality] = tune(bench, asked, goal.target(modality), most, goal.latency)
    return tuned


def settings_for(planned: Plan, tuned: dict[Modality, Tuned]) -> dict[Modality, SearchSettings]:
    """What to search with.  Text that could not be measured gets at least four times what pictures need."""
    recipe = planned.recipe
    image = tuned["image"].settings if "image" in tuned else recipe.search("image")
    if "text" in tuned:
        text = tuned["text"].settings
    else:
        told = recipe.search("text")
        text = SearchSettings(max(told.nprobe, 4 * image.nprobe), max(told.rescore, 4 * image.rescore))
    return {"text": text, "image": image}


def publish(store: Store, index: AnnIndex, planned: Plan, tuned: dict[Modality, Tuned], report: dict[str, Any]) -> None:
    """Write a generation and name it."""
    settings = settings_for(planned, tuned)
    maintain.publish_generation(
        store,
        lambda sink: index.save(sink.put),
        upto=index.upto,
        count=report["count"],
        recipe=kept(planned, settings["text"], settings["image"], {k: report[k] for k in MEASURED if k in report}),
        report=report,
    )


MEASURED = ("trained_for", "bytes_per_vector", "text_weight", "assignment_error", "imbalance", "text", "image")


def _report(
    made: _Made, told: Prediction, tuned: dict[Modality, Tuned], count: int, built: float, seconds: float
) -> dict[str, Any]:
    weight = made.trials[0].weight if made.trials else None
    return {
        "recipe": made.plan.recipe.name,
        "factory": made.plan.factory,
        "count": count,
        "trained_for": count,
        "train": made.plan.train,
        "seconds": round(seconds, 3),
        "seconds_tuning": round(seconds - built, 3),
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "predicted": told.report(),
        "bytes_per_vector": round(made.index.memory / max(1, count), 1),
        "assignment_error": round(made.error, 6),
        "imbalance": round(made.index.imbalance, 3),
        "text_weight": "none" if weight is None else weight,
        "transforms": [
            {"text_weight": "none" if t.weight is None else t.weight, **{m: round(d, 2) for m, d in t.depth.items()}}
            for t in made.trials
        ],
        **{modality: result.report() for modality, result in tuned.items()},
    }
