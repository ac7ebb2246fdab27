"""Counts and times for Prometheus.  Labels are routes and statuses, never names, queries or paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from vsearch.server.service import Service

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One registry for each server, so that several fit into one process."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "vsearch_requests", "Requests that were answered.", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "vsearch_request_seconds", "Time to answer.", ("route",), buckets=_SECONDS, registry=self._registry
        )
        self._hang_ups = Counter(
            "vsearch_hang_ups", "Connections that ended before their answer did.", registry=self._registry
        )
        self._known: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        Gauge("vsearch_in_flight", "Requests being worked on or waiting.", registry=self._registry).set_function(
            lambda: service.work.in_flight
        )
        self._pictures = Gauge("vsearch_pictures", "Pictures that can be found.", registry=self._registry)

    def note(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        key = route, status
        known = self._known.get(key)
        if known is None:  # looking labels up takes longer than counting
            known = self._known[key] = self._requests.labels(route, str(status)), self._seconds.labels(route)
        known[0].inc()
        known[1].observe(seconds)

    def note_hang_up(self) -> None:
        """Count a client that did not wait for its answer."""
        self._hang_ups.inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        self._pictures.set(sum(collection.count() for collection in self._service.collections.values()))
        return generate_latest(self._registry)
