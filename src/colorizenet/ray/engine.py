"""Run units on a Ray cluster.

Ray Data sends batches of units to a pool of actors, each of which holds one
``UnitWorker`` with its loaded model, and repeats a batch whose process has died. Only
names and records pass through the cluster; pictures go from store to actor to store.
"""

import contextlib
import logging
import os
import secrets
import signal
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import ray.data
import ray.exceptions

from colorizenet.batch import Worker
from colorizenet.errors import ColorizeNetError, ConfigError, quote
from colorizenet.imaging.libvips import configure_process
from colorizenet.ray.stores import Folder
from colorizenet.ray.units import (
    Record,
    decode_units,
)
from colorizenet.ray.work import MAX_BYTES, UnitWorker

__all__ = ["Cluster", "start_cluster"]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """How much of the cluster the work takes."""

    concurrency: int | None = None
    """Number of actors; None: one for each core, or as many as the GPUs allow."""
    gpus: float = 0.0
    """GPUs of each actor; may be a fraction."""
    max_bytes: int = MAX_BYTES
    """Bytes of a source at most."""

    def count_workers(self) -> int:
        """Number of actors, as the connected cluster is now."""
        if self.concurrency:
            return self.concurrency
        found = ray.cluster_resources()
        if self.gpus:
            return max(1, int(found.get("GPU", 0) / self.gpus))
        return max(1, int(found.get("CPU", 1)))

    def execute(
        self, batches: Sequence[bytes], worker: Worker, results: Folder
    ) -> Iterator[list[Record]]:
        """As ``archive.Pool.execute``, on the connected cluster."""
        actors = self.count_workers()
        context = ray.data.DataContext.get_current().copy()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        counter = _Counter.options(num_cpus=0, max_restarts=-1).remote()  # pyright: ignore
        settings = {
            "worker": worker,
            "results": results,
            "counter": counter,
            "run": f"{int(time.time() * 1000):013d}-{secrets.token_hex(4)}",
            "max_bytes": self.max_bytes,
        }
        with ray.data.DataContext.current(context):
            dataset = ray.data.from_items(list(batches), override_num_blocks=len(batches))
            done = dataset.map_batches(
                _Actor,
                fn_constructor_kwargs=settings,
                batch_size=None,
                num_cpus=1,
                num_gpus=self.gpus or None,
                compute=ray.data.ActorPoolStrategy(
                    min_size=1,
                    max_size=actors,
                    initial_size=actors,
                    max_tasks_in_flight_per_actor=2,
                ),
            )
            try:
                for row in done.iter_rows():
                    yield [Record.decode(line) for line in row["records"].splitlines()]
            except ray.exceptions.RayError as error:
                raise _find_cause(error) from error


@contextlib.contextmanager
def start_cluster(
    address: str | None = None, *, cores: int | None = None, verbose: bool = False
) -> Iterator[None]:
    """Connect to a Ray cluster, or run one on this machine. A connection that exists is
    used.

    The cluster of this machine cannot be reached from others, has no dashboard, and
    sends no statistics. Raises ``ConfigError`` where there is no cluster.
    """
    if ray.is_initialized():
        yield
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if not verbose:
        os.environ["RAY_BACKEND_LOG_LEVEL"] = "fatal"
        logging.getLogger("ray.data").setLevel(logging.ERROR)
    level = logging.INFO if verbose else logging.ERROR
    settings: dict[str, Any] = {"logging_level": level, "log_to_driver": verbose}
    if address is None:
        settings |= {
            "address": "local",
            "include_dashboard": False,
            "num_cpus": cores,
            "_node_ip_address": "127.0.0.1",
        }
    else:
        settings["address"] = address
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.nullcontext() if verbose else _silence_stderr():
            ray.init(**settings)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise ConfigError(
            f"no Ray cluster answers at {quote(address or 'this machine')} ({quote(error)}); "
            "start one with `ray start --head`, or leave --ray-address out"
        ) from error
    # Ray sets a handler that ends the process with a trace of its native code.
    if callable(handler) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _silence_stderr() -> Iterator[None]:
    """Drop what native code writes to stderr: Ray says there which log level it has."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 (it is no path)
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@ray.remote
class _Counter:
    """Counts the attempts at photos that have not come to an end, for all actors."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def begin(self, name: str, finished: str) -> int:
        self._counts.pop(finished, None)
        if name:
            self._counts[name] += 1
        return self._counts[name] if name else 0


class _Attempts:
    """As ``work.Attempts``, on the cluster."""

    def __init__(self, counter: Any) -> None:
        self._counter = counter

    def begin(self, name: str, finished: str = "") -> int:
        answer = self._counter.begin.remote(name, finished)
        return ray.get(answer) if name else 0


class _Actor:
    """A process of the cluster, with one loaded model."""

    def __init__(
        self, worker: Worker, results: Folder, counter: Any, run: str, max_bytes: int
    ) -> None:
        configure_process(worker.threads)
        self._work = UnitWorker(worker, results, _Attempts(counter), run, max_bytes)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        answers = [self._work(decode_units(zlib.decompress(each))) for each in batch["item"]]
        lines = ["\n".join(record.encode() for record in records) for records in answers]
        return {"records": np.array(lines, dtype=object)}


def _find_cause(error: BaseException) -> BaseException:
    """The error of this package, such as about a model, that ended a run; else the
    error of Ray."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ColorizeNetError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    return error
