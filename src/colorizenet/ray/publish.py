"""Give the results of a batch their names, after its records are written."""

import dataclasses
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from colorizenet.errors import ImageError
from colorizenet.files import sync_folder
from colorizenet.ray.stores import Folder
from colorizenet.ray.units import Record

__all__ = ["Colored", "Publisher"]

_INTERRUPTED = "the run was stopped while the results were written; start it again"
"""Why a unit failed, as long as nothing else is known."""


@dataclass
class Colored:
    """A unit that was colorized, and the files that have no names yet."""

    records: list[Record]
    files: dict[str, Path] = dataclasses.field(default_factory=dict)
    """Complete temporary files, by the names that they get."""


class Publisher:
    """Writes the results of a batch, and its records in a shard of the journal.

    Whenever the process ends, each result that got its name has a record, and no result
    that is missing counts as complete.
    """

    def __init__(self, results: Folder, shard: str) -> None:
        """``shard``: name of the shard in the folder of results."""
        self._results, self._shard = results, shard
        self.records: list[Record] = []
        """Those of the units that have come to their end."""
        self._interrupted: dict[str, dict[str, list[int]]] = {}
        """What an earlier attempt may have written for units, by unit."""
        self._earlier: dict[str, list[Record]] = {}
        """The records of an earlier attempt, by unit."""

    def read_finished(self) -> dict[str, list[Record]]:
        """The records of the units that an earlier attempt has finished, by unit."""
        try:
            lines = self._results.read(self._shard).splitlines()
        except FileNotFoundError:
            return {}
        units = self._earlier
        for line in lines:
            record = Record.decode(line)
            units.setdefault(record.unit, []).append(record)
            if record.reason == _INTERRUPTED:
                self._interrupted[record.unit] = record.files
        return {
            name: records
            for name, records in units.items()
            if all(
                record.reason != _INTERRUPTED and self._results.read_stamp(file) == stamp
                for record in records
                for file, stamp in record.files.items()
            )
        }

    def list_earlier(self, unit: str) -> tuple[str, ...]:
        """The names of files that an earlier attempt may have written for a unit."""
        return tuple(name for record in self._earlier.get(unit, ()) for name in record.files)

    def publish(self, pending: Sequence[Colored]) -> None:
        """Write the records of some units, and then give the results their names.

        The size of an object in a store does not say whether it is the new result or an
        earlier one. So the records say there, until all is written, that it was not.
        """
        if not pending:
            return
        local = self._results.local
        for unit in pending:
            unit.records = [self._recall(record) for record in unit.records]
        before = list(pending) if local else list(map(_interrupt, pending))
        self._write_records(before)
        changed = before != list(pending)
        for unit in pending:
            try:
                for name, path in unit.files.items():
                    self._results.publish(path, name)
            except ImageError as error:
                changed = True
                unit.records = _fail(unit.records, str(error), self._read_stamps(unit.files))
        for folder in {(local / name).parent for unit in pending for name in unit.files if local}:
            sync_folder(folder)
        if changed:
            self._write_records(pending)
        self.records += [record for unit in pending for record in unit.records]

    def _recall(self, record: Record) -> Record:
        """A record of a failure, with what an earlier attempt may have written."""
        files = self._interrupted.get(record.unit, {})
        return replace(record, files=files) if record.forgets_files else record

    def _read_stamps(self, names: Iterable[str]) -> dict[str, list[int]]:
        """The stamps of those files that exist, as far as they can be read."""
        stamps: dict[str, list[int]] = {}
        for name in names:
            with suppress(Exception):  # the errors of the clients of stores have no common base
                if stamp := self._results.read_stamp(name):
                    stamps[name] = stamp
        return stamps

    def _write_records(self, pending: Sequence[Colored]) -> None:
        records = [*self.records, *(record for unit in pending for record in unit.records)]
        lines = [f"{record.encode()}\n" for record in records if record.reason != "exists"]
        self._results.write(self._shard, "".join(lines).encode())


def _interrupt(unit: Colored) -> Colored:
    """What is recorded of a unit before its results are written."""
    if not unit.files:
        return unit
    return Colored(_fail(unit.records, _INTERRUPTED, {}), unit.files)


def _fail(records: Sequence[Record], reason: str, found: dict[str, list[int]]) -> list[Record]:
    """The record of a unit some of whose results may be missing. It still lists them,
    with the stamps ``found``, so that none is taken for a file of somebody else."""
    return [
        replace(each, status="failed", reason=reason, result=None, files=each.files | found)
        for each in records
    ][:1]
