"""The processes that colorize photos, as the server sees them.

``ProcessPool`` is a fixed number of places, each with one process. A process that
crashes, or that is killed because it exceeded a time limit, costs the photo it worked
on; its place gets another process. ``concurrent.futures.ProcessPoolExecutor`` cannot be
used for this: it breaks as a whole if one of its processes dies, and cannot kill one.
"""

import asyncio
import atexit
import logging
import multiprocessing
import signal
import threading
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from colorizenet.serving import worker
from colorizenet.serving.errors import RequestError
from colorizenet.serving.messages import Loader, WorkerFailure
from colorizenet.serving.worker import run_worker

__all__ = ["ProcessPool", "WorkerProcess"]

_START_SECONDS = 120.0
"""A process that has not loaded its models by then is broken."""
_GRACE_SECONDS = 1.0
"""How long a process may work for a client that has disconnected. To finish a small
photo is cheaper than to start another process."""
_STATE_LOCK = threading.Lock()
"""Of what starts processes and asks how they ended. ``Process.start`` changes global
state, and also asks all other processes; of two threads that ask, only one is told."""

_log = logging.getLogger("colorizenet.serving.processes")


class WorkerProcess:
    """One process and the connection to it. Its methods block, so threads call
    them."""

    def __init__(self, loaders: Mapping[str, Loader], folder: Path) -> None:
        # Processes are forked from one that has imported the libraries and does nothing
        # else, which takes milliseconds; Windows has no fork.
        forks = "forkserver" in multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
        if forks:  # each process imports the main module, too
            self._context.set_forkserver_preload([worker.__name__, "colorizenet.__main__"])
        self._loaders, self._folder = loaders, folder
        self._lock = threading.Lock()  # held while the connection is used
        self._process: Any = None
        self._connection: Any = None
        self.dead = False
        """Whether the process has ended, or soon will."""

    @property
    def has_ended(self) -> bool:
        """Whether the process cannot be used any more; false before it is started."""
        if self.dead or self._process is None:
            return self.dead
        with _STATE_LOCK:
            return not self._process.is_alive()

    def start(self) -> None:
        """Start the process, unless that has been done, and wait until it has loaded
        the models."""
        with self._lock:
            self._start()

    def _start(self) -> None:
        if self._process is not None or self.dead:
            return
        self._connection, other = self._context.Pipe()
        process = self._context.Process(
            target=run_worker,
            args=(other, dict(self._loaders), self._folder),
            name="colorize",
            daemon=True,
        )
        with _STATE_LOCK:
            process.start()
            self._process = process
            other.close()
        if self.dead:  # killed in the meantime
            self.kill()
        answer = self._receive(_START_SECONDS)
        if isinstance(answer, WorkerFailure):
            self.kill()
            raise RuntimeError(f"a process could not load the models:\n{answer.report}")

    def ask(self, message: Any, timeout: float) -> Any:
        """Send a message and return the answer.

        Raises ``RequestError`` if that is the answer or if the process has died,
        ``TimeoutError`` after killing a process that takes too long, and
        ``RuntimeError`` for an error in the process that nobody expected.
        """
        with self._lock:
            self._start()
            try:
                self._connection.send(message)
            except OSError:
                raise self._explain_death() from None
            answer = self._receive(timeout)
        if isinstance(answer, WorkerFailure):
            raise RuntimeError(f"a process failed:\n{answer.report}")
        if isinstance(answer, RequestError):
            raise answer
        return answer

    def _receive(self, timeout: float) -> Any:
        try:
            answer = self._connection.recv() if self._connection.poll(timeout) else None
        except (EOFError, OSError):
            raise self._explain_death() from None
        if answer is None:
            self.kill()
            raise TimeoutError
        self.dead = self.dead or answer.ends
        return answer.value

    def _explain_death(self) -> RequestError:
        expected, self.dead = self.dead, True
        code = self._wait_for_end()
        reason = f"status {code}"
        if code is not None and code < 0:
            with suppress(ValueError):
                reason = signal.Signals(-code).name
        if not expected:
            _log.warning("a process that colorizes photos ended unexpectedly (%s)", reason)
        return RequestError(
            500,
            "crashed",
            f"the process that worked on the photo ended unexpectedly ({reason}); "
            "the photo may be damaged or need too much memory; convert it or use a smaller one",
        )

    def kill(self) -> None:
        """End the process at once. A method that waits for an answer raises an
        error."""
        self.dead = True
        process = self._process
        if process is not None:
            with suppress(OSError, ValueError):
                process.kill()

    def close(self) -> None:
        """Kill the process, and wait until it has ended."""
        self.kill()
        with self._lock:
            if self._process is not None:
                self._wait_for_end()
                self._connection.close()

    def _wait_for_end(self) -> int | None:
        """Wait for at most 5 seconds. Returns the exit code of the process."""
        wait([self._process.sentinel], 5)
        with _STATE_LOCK:
            self._process.join(0)
            return self._process.exitcode


class ProcessPool:
    """A number of places for photos in work, each with a process of its own.

    ``folder`` is for temporary files.
    """

    def __init__(self, loaders: Mapping[str, Loader], number: int, folder: Path) -> None:
        self._loaders, self._folder = loaders, folder
        self._threads = ThreadPoolExecutor(2 * number, "process")
        self._free = asyncio.Semaphore(number)
        self._idle = [WorkerProcess(loaders, folder) for _ in range(number)]
        self._all = set(self._idle)
        atexit.register(self.close)  # before multiprocessing waits for its processes
        self._threads.submit(self._start_all)

    def _start_all(self) -> None:
        """Start the processes one by one, so that the first can soon take a photo."""
        for process in reversed(self._idle.copy()):
            process.start()

    @property
    def process_ids(self) -> list[int]:
        """The processes that have been started and not been replaced."""
        running = (each._process for each in list(self._all) if not each.dead)
        return [process.pid for process in running if process is not None]

    @asynccontextmanager
    async def take(self) -> AsyncIterator[WorkerProcess]:
        """Wait for a process, and have it for as long as the context lasts."""
        async with self._free:
            process = self._idle.pop()  # the one that was used last
            if process.has_ended:  # while it was idle, such as by the system for memory
                process = self._replace(process)
            try:
                yield process
            finally:
                if process.dead:
                    process = self._replace(process)
                self._idle.append(process)

    async def ask(self, process: WorkerProcess, message: Any, timeout: float) -> Any:
        """As ``WorkerProcess.ask``. A call that is cancelled ends within about a second
        and the process with it, unless it was about to answer."""
        asking = asyncio.ensure_future(
            asyncio.wrap_future(self._threads.submit(process.ask, message, timeout))
        )
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            try:
                await asyncio.wait({asking}, timeout=_GRACE_SECONDS)
            finally:
                if not asking.done():
                    process.kill()
                asking.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise

    def _replace(self, process: WorkerProcess) -> WorkerProcess:
        self._all.discard(process)
        replacement = WorkerProcess(self._loaders, self._folder)
        self._all.add(replacement)
        with suppress(RuntimeError):  # the pool is being closed
            self._threads.submit(process.close)
            self._threads.submit(replacement.start)
        return replacement

    def close(self) -> None:
        """Kill all processes, and wait until they have ended."""
        atexit.unregister(self.close)
        for process in list(self._all):
            process.kill()
        self._threads.shutdown()
        for process in list(self._all):
            process.close()
