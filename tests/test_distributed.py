"""Indexing on a Ray cluster: two nodes on this machine, of which workers and a node are killed."""

import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_pictures import drawn
from forked import run

import vsearch
from vsearch.decode import Job, Limits
from vsearch.distributed import blocks, reading
from vsearch.distributed import cluster as room
from vsearch.errors import ClusterError, EncoderMismatch

COUNT = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ray") / "photos"
    folder.mkdir()
    for seed in range(COUNT):
        drawn(seed, (48, 36)).save(folder / f"{seed:02d}.png")
    (folder / "05.txt").write_text("the fifth\n")
    (folder / "broken.jpg").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def nodes():
    """A cluster of two nodes of one core each; the driver is on the first."""
    ray = pytest.importorskip("ray", reason="Ray is too large a dependency for every test run")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": 200 << 20, "include_dashboard": False},
    )
    made.add_node(num_cpus=1, object_store_memory=200 << 20)
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def alone(photos, tmp_path_factory) -> Path:
    """The index that one process makes."""
    place = tmp_path_factory.mktemp("alone") / "alone.vsearch"
    with vsearch.create(place, encoder="toy") as index:
        index.add(vsearch.folder(photos))
    return place


def held(place: Path):
    """Ids, records and vectors by path."""
    with vsearch.open(place) as index, index.store.snapshot() as snapshot:
        kept = {r.path: (id, r.content, r.width, r.height, r.caption) for id, r in snapshot.items()}
        ids = np.array(sorted(id for id, *_ in kept.values()))
        return kept, snapshot.vectors(ids), index.errors()


def same(one: Path, other: Path) -> None:
    (kept, rows, failures), (kept_too, rows_too, failures_too) = held(one), held(other)
    assert kept == kept_too and failures == failures_too
    assert np.array_equal(rows, rows_too)
    with vsearch.open(one) as a, vsearch.open(other) as b:
        assert [hit.path for hit in a.search("red and blue", k=COUNT)] == [
            hit.path for hit in b.search("red and blue", k=COUNT)
        ]


def test_the_index_is_that_of_one_process(nodes, photos, alone, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 7)
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index, vsearch.cluster() as cluster:
        report = index.add(vsearch.folder(photos), cluster=cluster)
        assert (report.added, report.failed) == (COUNT, 1)
        assert index.add(vsearch.folder(photos), cluster=cluster).added == 0
    same(tmp_path / "x.vsearch", alone)


def worker_pids() -> list[int]:
    """The processes that embed, by the name that Ray gives them."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::Worker"):
                found.append(int(pid))
    return found


@pytest.mark.parametrize("victim", ["worker", "node"])
def test_what_dies_in_the_middle_costs_nothing(nodes, photos, alone, tmp_path, monkeypatch, victim):
    monkeypatch.setattr(blocks, "BLOCK", 5)
    killed = []

    def strike(progress):
        if progress.done >= 5 and not killed:
            if victim == "node":
                killed.append(nodes.list_all_nodes()[-1])
                nodes.remove_node(killed[0], allow_graceful=False)
            else:
                killed.append(worker_pids()[0])
                os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr("vsearch.ingest.pipeline.BATCH_IMAGES", 5)
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index, vsearch.cluster() as cluster:
        report = index.add(vsearch.folder(photos), cluster=cluster, progress=strike)
        assert killed and (report.added, report.failed) == (COUNT, 1)
        assert index.check().problems == ()
    same(tmp_path / "x.vsearch", alone)


def test_blocks_of_which_workers_die_are_given_up_and_told(nodes, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 16)
    monkeypatch.setattr(blocks, "TRIES", 1)
    monkeypatch.setattr(reading, "IN_FLIGHT", 1)
    monkeypatch.setattr("vsearch.ingest.pipeline.BATCH_IMAGES", 16)
    left = [1]

    def strike(progress):
        if progress.done and left:
            left.pop()
            for pid in worker_pids():
                os.kill(pid, signal.SIGKILL)

    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index, vsearch.cluster() as cluster:
        report = index.add(vsearch.folder(photos), cluster=cluster, progress=strike)
        lost = [failure for failure in report.failures if failure.stage == "embed"]
        assert 0 < len(lost) <= 32 and "workers died" in lost[0].reason
        assert report.added + report.failed == COUNT + 1
        again = index.add(vsearch.folder(photos), cluster=cluster, retry_failed=True)
        # The file that is no picture may have been among those that were lost; now it is told for what it is.
        pictures = [failure for failure in lost if not failure.path.endswith(b"broken.jpg")]
        assert (again.added, again.failed) == (len(pictures), 1)


def test_an_encoder_that_workers_do_not_have_is_told_as_ever(nodes, photos, tmp_path):
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index, vsearch.cluster() as cluster:
        odd = replace(index.encoder_info, weights="0" * 64)
        with cluster.reader(odd, Limits()) as reader, pytest.raises(EncoderMismatch):
            list(reader.read([Job(os.fsencode(photos / "00.png"))]))


# ---------------------------------------------------------------- without a cluster


def node(**resources: float) -> dict:
    return {"Alive": True, "Resources": resources}


@pytest.mark.parametrize(
    ("nodes", "size"),
    [
        ([node(CPU=2.0)], room.Size(1, 2, 0)),
        ([node(CPU=1.0), node(CPU=1.0)], room.Size(2, 1, 0)),
        ([node(CPU=64.0), node(CPU=32.0)], room.Size(12, 8, 0)),
        ([node(CPU=16.0, GPU=4.0), node(CPU=48.0, GPU=8.0), node(CPU=64.0)], room.Size(12, 4, 1)),
        ([{"Alive": False, "Resources": {"CPU": 8.0}}, node(CPU=4.0), node(memory=1.0)], room.Size(1, 4, 0)),
    ],
)
def test_a_worker_for_each_gpu_or_for_every_few_cores(nodes, size):
    assert room.size_of(nodes) == size


@pytest.mark.parametrize("words", [("photos", "--workers", "2"), ("--encoder", "mini", "--index", "x.vsearch")])
def test_what_ray_does_not_do_is_refused(tmp_path, words):
    code, out, err = run("index", *words, "--ray", "local", cwd=tmp_path)
    assert (code, out) == (2, "") and "as many workers as the cluster has room for" in err


def test_without_ray_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'vsearch-engine\[distributed\]'"):
        with vsearch.cluster():
            pass


def test_an_address_where_nothing_answers_is_told_at_once(monkeypatch):
    class Absent:
        is_initialized = staticmethod(lambda: False)

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setitem(sys.modules, "ray", Absent())
        with pytest.raises(ClusterError, match=f"nothing answers at {address}"), vsearch.cluster(address):
            pass


def test_a_cluster_without_cores_is_refused():
    with pytest.raises(ClusterError, match="no machine with a free core"):
        room.size_of([node(memory=1.0)])
