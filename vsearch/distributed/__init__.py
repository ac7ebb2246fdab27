"""Decode and embed on every device of this machine, or on a Ray cluster (extra ``distributed``)."""

from __future__ import annotations

from vsearch.distributed.cluster import Cluster, connect
from vsearch.distributed.devices import Devices

__all__ = ["Cluster", "Devices", "connect"]
