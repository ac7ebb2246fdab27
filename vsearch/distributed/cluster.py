"""A Ray cluster: joining it, and what workers its machines have room for."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vsearch.decode import Limits
from vsearch.distributed.reading import RayReader
from vsearch.errors import ClusterError
from vsearch.types import EncoderInfo

MOST_CPUS = 8  # cores of a worker without a GPU: more help one encoder little
CONNECT_SECONDS = 5.0
LOCAL_STORE = 200 << 20  # bytes of shared memory for what passes between processes of one machine


@dataclass(frozen=True)
class Size:
    """How many workers there are, and what each takes."""

    workers: int
    cpus: int
    gpus: int


class Cluster:
    """Workers of a Ray cluster that decode and embed.  ``index.add(source, cluster=...)`` uses them.

    The pictures must be at the same paths on all machines, and vsearch installed on each.
    """

    def __init__(self, ray: Any) -> None:
        self.ray = ray

    @contextmanager
    def reader(self, info: EncoderInfo, limits: Limits) -> Iterator[RayReader]:
        """Start workers for an encoder, one for each GPU, or for every few cores where there is none.

        Raises ClusterError.
        """
        size = size_of(self.ray.nodes())
        reader = RayReader(self.ray, size.workers, {"num_cpus": size.cpus, "num_gpus": size.gpus}, info, limits)
        try:
            yield reader
        finally:
            reader.close()


def size_of(nodes: list[dict[str, Any]]) -> Size:
    """The workers that the nodes, as Ray describes them, have room for.  Raises ClusterError when there is none."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    gpus = [int(told.get("GPU", 0)) for told in alive]
    if sum(gpus):
        cpus = min(int(told.get("CPU", 1)) // count for told, count in zip(alive, gpus, strict=True) if count)
        return Size(sum(gpus), max(1, cpus), 1)
    cores = [int(told.get("CPU", 0)) for told in alive if told.get("CPU", 0) >= 1]
    if not cores:
        raise ClusterError("the Ray cluster has no machine with a free core; look at it with: ray status")
    cpus = min(MOST_CPUS, *cores)
    return Size(sum(count // cpus for count in cores), cpus, 0)


@contextmanager
def connect(address: str = "local") -> Iterator[Cluster]:
    """Join a Ray cluster, or start one on this machine with ``local``; leave it at the end.

    address: as ``ray.init`` takes it: HOST:PORT, ray://HOST:PORT, auto.  A process that has joined one stays in it.
    Raises ClusterError.
    """
    ray = _ray()
    if ray.is_initialized():
        yield Cluster(ray)
        return
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    local = {"include_dashboard": False, "object_store_memory": LOCAL_STORE, "num_cpus": len(os.sched_getaffinity(0))}
    _check_reachable(address)
    try:
        ray.init(**({"address": "local", **local} if address == "local" else {"address": address}), **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ClusterError(f"the Ray cluster {address!r} cannot be joined: {error}") from error
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray tries to reach an address for half an hour before it gives up."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise ClusterError(
            f"nothing answers at {address} ({error.strerror or error}); start Ray there with: ray start --head"
        ) from error


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise ClusterError(
            f"this needs Ray; type: {sys.executable} -m pip install 'vsearch-engine[distributed]'"
        ) from error
    return ray
