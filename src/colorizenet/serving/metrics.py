"""What the server counts and measures, for Prometheus."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

__all__ = ["STAGES", "ServerMetrics"]

STAGES = ("receive", "queue", "decode", "color", "encode")
"""Stages of a request, in order."""
_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


class ServerMetrics:
    """Counters and histograms of one server, in a registry of their own."""

    requests: Counter
    """Responses by route and status."""
    photos: Counter
    """Photos by outcome: colorized, suggested (colors for a place), rejected,
    overloaded, timeout, cancelled or failed."""
    pixels: Counter
    """Pixels of photos that were colorized, or for which colors were suggested."""

    def __init__(
        self,
        gauges: Mapping[str, tuple[str, Callable[[], float]]],
        *,
        process_ids: Callable[[], Sequence[int]],
    ) -> None:
        """``gauges``: a description and a function that reads the value, by name.
        ``process_ids``: reads the ids of the processes that colorize."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)

        def name(name: str) -> str:
            return f"colorizenet_{name}"

        self._stages = Histogram(
            name("stage_seconds"),
            "Seconds by stage",
            ["stage"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.requests = Counter(
            name("requests"), "Responses", ["route", "status"], registry=self._registry
        )
        self.photos = Counter(
            name("photos"), "Photos by outcome", ["outcome"], registry=self._registry
        )
        self.pixels = Counter(name("pixels"), "Pixels of colorized photos", registry=self._registry)
        for stage in STAGES:  # a series exists before its first value
            self._stages.labels(stage)
        for key, (description, read) in gauges.items():
            Gauge(name(key), description, registry=self._registry).set_function(read)
        Gauge(
            name("workers_memory_bytes"),
            "Memory of the processes that colorize, with shared pages counted once",
            registry=self._registry,
        ).set_function(lambda: sum(map(_read_memory, process_ids())))

    def record_stage(self, stage: str, seconds: float) -> None:
        """Add the duration of one stage of a request to the histogram."""
        self._stages.labels(stage).observe(seconds)

    def render(self) -> bytes:
        """All values in Prometheus' text format 0.0.4."""
        return prometheus_client.generate_latest(self._registry)


def _read_memory(process_id: int) -> int:
    """Memory of a process in bytes, or 0 where the system does not say.

    A page that several processes share is divided among them (Linux' "proportional set
    size"). Processes that are forked from one share the libraries, and their resident
    memory would count those once for each.
    """
    try:
        text = Path(f"/proc/{process_id}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"^Pss: +(\d+) kB$", text, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0
