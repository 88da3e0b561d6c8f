"""One run over many photos, as its driver sees it: what is planned, done and left."""

import dataclasses
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from colorizenet.batch import Worker
from colorizenet.errors import quote
from colorizenet.files import is_url
from colorizenet.journal import append_record
from colorizenet.ray.catalog import Catalog
from colorizenet.ray.stores import Folder
from colorizenet.ray.units import (
    Record,
    Unit,
    decode_units,
    encode_units,
    is_shard,
    list_own_settings,
)
from colorizenet.ray.work import WORK

__all__ = ["Archive", "Pool"]

_MAX_BATCH = 128
"""Units of a batch at most."""
_BATCHES = 64
"""Batches for each worker process, where that makes batches small."""


class Pool(Protocol):
    """Worker processes, each of which runs a ``UnitWorker``."""

    def count_workers(self) -> int:
        """Number of worker processes."""
        ...

    def execute(
        self, batches: Sequence[bytes], worker: Worker, results: Folder
    ) -> Iterator[list[Record]]:
        """Colorize batches of units, as ``encode_units`` has them, compressed by zlib.

        Yields the records of each batch, in the order of completion.
        """
        ...


class Archive:
    """One run over many photos, from one driver.

    Call ``load``, ``plan``, and then iterate ``run`` to its end.
    """

    def __init__(self, results: Folder, worker: Worker) -> None:
        self._results, self._worker = results, worker
        self._key = worker.journal_key
        self.catalog = Catalog(results)
        self.has_shards = False
        """Whether the plan has tar shards, the number of whose photos is not known."""

    def load(self) -> None:
        """Read what earlier runs have done. Raises ``ConfigError``."""
        self.catalog.load()

    def plan(self, units: Iterable[Unit]) -> None:
        """Add units to the plan. Raises ``ConfigError``."""
        for unit in units:
            self.has_shards |= is_shard(unit.source)
            state, recorded = "missing", ""
            if not self._worker.overwrite:
                key = self._key + list_own_settings(self._worker, unit)
                records = list(self.catalog.find_records(unit.name))
                unit = self.catalog.mark_results(unit, records)
                state, recorded = self.catalog.find_state(
                    unit, records, key, skip_color=self._worker.skip_color
                )
            unit = dataclasses.replace(unit, recorded=recorded)
            self.catalog.plan(encode_units([unit]), state)

    def iterate_plan(self) -> Iterator[tuple[Unit, bool]]:
        """The units of the plan, and whether each is left as it is."""
        for encoded, state in self.catalog.iterate_plan():
            [unit] = decode_units(encoded)
            yield unit, state not in ("missing", "unverified")

    def run(self, pool: Pool, *, batch_size: int | None = None) -> Iterator[Record]:
        """Colorize what the plan has and is not finished.

        ``batch_size``: photos that a worker process takes at a time; None: as many as
        keep all of them busy.

        Yields what becomes of each photo, in the order of completion. At the end, the
        report is written. A run that stops before is completed by the next one.
        """
        todo: list[Unit] = []
        batches: list[bytes] = []
        total = self.catalog.count_planned()
        most = batch_size or min(_MAX_BATCH, max(1, total // (_BATCHES * pool.count_workers())))
        for encoded, state in self.catalog.iterate_plan():
            [unit] = decode_units(encoded)
            if state in ("missing", "unverified"):
                if is_shard(unit.source):
                    batches.append(zlib.compress(encoded))
                    continue
                todo.append(unit)
                if len(todo) >= most:
                    batches.append(zlib.compress(encode_units(todo)))
                    todo = []
            else:
                yield from self._skip(unit, state)
        if todo:
            batches.append(zlib.compress(encode_units(todo)))
        if batches:
            worker = dataclasses.replace(self._worker, threads=1, hints={})
            for records in pool.execute(batches, worker, self._results):
                self._keep(records)
                yield from records
        self.catalog.write_report()
        if self._results.local:
            self._results.remove([WORK])

    def _skip(self, unit: Unit, state: str) -> Iterator[Record]:
        """What is reported of a unit that is not colorized."""
        known = list(self.catalog.find_records(unit.name))
        if state == "other photo":
            other = quote(self.catalog.find_other_source(unit, known))
            yield Record(
                unit=unit.name,
                source=unit.source,
                status="failed",
                reason=f"{quote(unit.name)} is the result of {other}; choose another --out for "
                f"{quote(unit.source)}, or add --overwrite",
                targets=unit.targets,
            )
            return
        skipped = Record(
            unit=unit.name,
            source=unit.source,
            status="skipped",
            reason="in color" if state == "in color" else "exists",
            result=unit.files[0] if state == "finished" else None,
            targets=unit.targets,
            fingerprint=unit.fingerprint,
            kept=unit.kept,
        )
        if state == "foreign" and known and known[0].source == unit.source:
            # What is known of its other results stays known.
            skipped = dataclasses.replace(
                known[0], status="skipped", reason="exists", result=None, kept=unit.kept
            )
        if state == "foreign" or not known:
            self.catalog.add([skipped])
        yield skipped

    def _keep(self, records: Sequence[Record]) -> None:
        """Add records to the catalog, and in a local folder to its journal, which the
        engine of one machine reads."""
        kept = [record for record in records if record.reason != "exists" or record.kept]
        self.catalog.add(kept)
        if not self._results.local:
            return
        for record in kept:
            photo = {}
            if not (is_url(record.source) or is_shard(record.unit)):
                photo["photo"] = os.path.relpath(record.source, self._results.local)
            for name, stamp in record.files.items():
                line = {
                    "result": name,
                    **photo,
                    "stamp": stamp,
                    "key": record.options + record.own,
                    "source": json.loads(record.fingerprint or "null"),
                }
                append_record(self._results.local, line)
