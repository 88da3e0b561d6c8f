"""Processes of a benchmark and their memory, where shared pages count once."""

import threading
from collections.abc import Callable
from pathlib import Path


class Meter:
    """The peak memory of the processes that ``find`` lists, sampled in a thread."""

    def __init__(self, find: Callable[[], list[int]]) -> None:
        self.peak = 0
        self._find = find
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def _sample(self) -> None:
        while not self._stop.wait(0.05):
            self.peak = max(self.peak, sum(map(read_memory, self._find())))

    def stop(self) -> float:
        """Stop, and return the peak in GB."""
        self._stop.set()
        self._thread.join()
        return self.peak / 1e9


def list_children(parent: int) -> list[int]:
    """List the processes that descend from one."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [parent]
    for process in found:
        found += parents.get(process, [])
    return found[1:]


def list_family(process: int) -> list[int]:
    """List a process and those that descend from it."""
    return [process, *list_children(process)]


def read_memory(process: int) -> int:
    """Read the proportional set size of a process in bytes."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in text.splitlines() if "Pss:" in line), 0)
