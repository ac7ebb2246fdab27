"""An index that lives: a third of it deleted, other pictures added, and recall is that of one built afresh."""

from __future__ import annotations

import numpy as np
import pytest

from tests.gapped_space import COUNT, space
from tests.test_build import INFO, fill, record
from vsearch import recipe
from vsearch.ann import Searchable, load
from vsearch.build import Goal, build, merge
from vsearch.search import nearest
from vsearch.store import Addition, Batch, Store
from vsearch.store.maintain import INDEX_FILE, compact

KEPT = COUNT * 7 // 10


def generation_of(store: Store) -> Searchable:
    with store.snapshot() as snapshot:
        named = snapshot.space.generation
        path = store.layout.ann(snapshot.space.name) / named.name / INDEX_FILE
    return Searchable(load(path, named.upto, named.name), recipe.from_plan(named.recipe))


def recalls(store: Store, rows: dict[int, np.ndarray], settings: recipe.Recipe) -> dict[str, float]:
    """Share of the exact ten best that is found, by modality.

    rows: what lives, by id.  settings: whose search settings to use, so that what differs is the index alone.
    """
    ids = np.array(sorted(rows))
    live = np.array([rows[int(i)] for i in ids])
    told = {}
    generation = Searchable(generation_of(store).index, settings)
    with store.snapshot() as snapshot:
        for modality, xq in space().queries.items():
            found = nearest(snapshot, xq, 10, modality, generation)[1]
            assert set(found.ravel().tolist()) <= set(rows)
            truth = ids[np.argsort(-(xq @ live.T), axis=1)[:, :10]]
            told[modality] = float(
                np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), truth.tolist(), strict=True)])
            )
    return told


@pytest.fixture
def store(tmp_path):
    store = Store.create(tmp_path / "a.vsearch", INFO)
    fill(store, range(KEPT))
    build(store, recipe.load("opq-ivf-pq"), Goal(), space().texts)
    yield store
    store.close()


def test_recall_after_deleting_and_adding_again_is_that_of_a_fresh_build(store):
    tuned = generation_of(store).recipe
    gone = np.random.default_rng(0).choice(KEPT, KEPT * 3 // 10, replace=False)
    store.commit(Batch(dropped=[int(i) for i in gone]))
    back = [*gone.tolist(), *range(KEPT, COUNT)]
    store.commit(Batch([Addition(record(COUNT + n), space().images[i]) for n, i in enumerate(back)]))
    rows = {i: space().images[i] for i in range(KEPT) if i not in set(gone.tolist())}
    rows |= {KEPT + n: space().images[i] for n, i in enumerate(back)}
    as_it_is = recalls(store, rows, tuned)
    merge(store)
    merged = recalls(store, rows, tuned)
    compact(store)
    compacted = recalls(store, rows, tuned)
    build(store, recipe.load("opq-ivf-pq"), Goal(), space().texts)
    fresh = recalls(store, rows, tuned)
    for modality, told in fresh.items():
        assert as_it_is[modality] >= told - 0.01, "with a tail that is searched exactly"
        assert merged[modality] >= told - 0.01, "with the tail in the old lists"
        assert compacted[modality] == merged[modality]
