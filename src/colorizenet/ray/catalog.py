"""The catalog of a folder of results, ``results.parquet``: what became of each photo.

While a run goes on, the records of each batch are in a file of their own, a shard of
the journal, which is written before the results get their names. So a run that was
killed at any moment is completed by the next one, and a file that no record describes
was written by somebody else. A run that comes to its end merges the shards into the
report.

The catalog is in a temporary database on the disk, so that memory does not grow with
the number of photos.
"""

import json
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from colorizenet.errors import ConfigError, quote
from colorizenet.files import is_url
from colorizenet.journal import FOLDER, is_torn, read_records
from colorizenet.ray.stores import Folder, list_folders
from colorizenet.ray.units import Record, Unit, is_shard

__all__ = ["REPORT", "SHARDS", "Catalog", "State"]

REPORT = "results.parquet"
"""Name of the report in the folder of results."""
SHARDS = f"{FOLDER}/shards"
"""Name of the folder of the shards of the journal."""
_ROWS = 10_000
"""Rows of the report that are in memory at a time."""

State = Literal["missing", "unverified", "finished", "foreign", "other photo", "in color"]
"""Whether a unit is colorized: yes; yes, if the fingerprint of its source has changed;
no, since its results are complete, files of somebody else or results of another photo
have their names, or it is in color."""

_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("result", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("seconds", pa.float64()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("warnings", pa.list_(pa.string())),
        ("source_sha256", pa.string()),
        ("result_sha256", pa.string()),
        ("model_sha256", pa.string()),
        ("options", pa.string()),
        ("record", pa.string()),
    ],
    metadata={"colorizenet": "catalog 1"},
)
"""Columns of the report; ``record`` is everything as JSON, for the next run."""


class Catalog:
    """Reads and writes the catalog of a folder of results, from one thread."""

    def __init__(self, results: Folder) -> None:
        self._results = results
        self._database = sqlite3.connect("", isolation_level=None)  # a temporary file
        self._database.executescript(
            """
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
            CREATE TABLE records (unit BLOB, number INT, record TEXT, PRIMARY KEY (unit, number));
            CREATE TABLE files (name BLOB PRIMARY KEY, stamp TEXT, source TEXT, key TEXT);
            CREATE TABLE earlier (name BLOB, stamp TEXT, PRIMARY KEY (name, stamp));
            CREATE TABLE present (name BLOB PRIMARY KEY, stamp TEXT);
            CREATE TABLE plan (number INTEGER PRIMARY KEY, unit BLOB, state TEXT);
            """
        )

    def load(self) -> None:
        """Read the report, the journal of the folder, and the shards of earlier runs.

        Raises ``ConfigError`` where a file that this tool did not write has the name
        of the report, and for a symbolic link in place of the shards.
        """
        local = self._results.local
        if local and (local / SHARDS).is_symlink():
            raise ConfigError(
                f"{quote(local / SHARDS)} is a symbolic link, which is not followed; remove it"
            )
        self._load_report()
        for line in read_records(self._results.local) if self._results.local else ():
            self._add_file(line["result"], line.get("stamp"), line.get("source"), line.get("key"))
        with ThreadPoolExecutor(8) as pool:
            names = [f"{SHARDS}/{name}" for name in self._results.list_names(SHARDS)]
            for start in range(0, len(names), 64):  # in the order of the runs
                for content in pool.map(self._results.read, names[start : start + 64]):
                    self.add(_parse_shard(content))
        if not self._results.local:
            for _, infos in list_folders(self._results.root):
                self._add_present(infos)

    def add(self, records: Iterable[Record]) -> None:
        """Add what became of units, in place of what was known of them.

        What an earlier run wrote for a unit that fails now stays known.
        """
        units: dict[str, int] = {}
        for record in records:
            number = units.get(record.unit, 0)
            units[record.unit] = number + 1
            if number == 0:
                if record.forgets_files:
                    known = self.find_records(record.unit)
                    files = {name: stamp for each in known for name, stamp in each.files.items()}
                    record = replace(record, files=files)
                self._database.execute("DELETE FROM records WHERE unit = ?", [_encode(record.unit)])
            self._database.execute(
                "INSERT INTO records VALUES (?, ?, ?)",
                [_encode(record.unit), number, record.encode()],
            )
            for name, stamp in record.files.items():
                source = json.loads(record.fingerprint or "null")
                self._add_file(name, stamp, source, record.options + record.own)

    def find_state(
        self, unit: Unit, records: Sequence[Record], key: str, *, skip_color: bool
    ) -> tuple[State, str]:
        """Whether a unit is colorized, and the recorded fingerprint of its source.

        ``records``: what is known of the unit. ``key`` names what its results depend
        on. Files that this tool did not write, and results that were changed since, are
        never replaced: ``unit.kept``.
        """
        names = _list_names(records) or set(unit.files)
        if names <= set(unit.kept):
            return "foreign", ""
        if self.find_other_source(unit, records):
            return "other photo", ""
        if any(record.status == "failed" for record in records):
            return "missing", ""
        left_out = [record for record in records if record.reason == "in color"]
        if left_out and not any(record.files for record in records):
            known = {(each.fingerprint, each.options + each.own) for each in left_out}
            same = {(unit.fingerprint, key)} == known and skip_color
            return ("in color", "") if same else ("missing", "")
        sources = set()
        for name in names - set(unit.kept):
            found = self._find_file(name)
            if found is None or found[0] != self._read_stamp(name) or found[2] != key:
                return "missing", ""
            sources.add(found[1])
        if not unit.fingerprint and len(sources) == 1:
            return "unverified", sources.pop()
        if sources != {unit.fingerprint}:
            return "missing", ""
        return ("foreign" if unit.kept else "finished"), ""

    def mark_results(self, unit: Unit, records: Iterable[Record]) -> Unit:
        """The unit with the names of results that are not to be replaced, and of
        earlier ones that may be. ``records``: what is known of the unit."""
        known = _list_names(records)
        kept = set(filter(self._is_foreign, known.union(unit.files)))
        own = known - kept - set(unit.files)
        return replace(unit, kept=tuple(sorted(kept)), own=tuple(sorted(own)))

    def find_other_source(self, unit: Unit, records: Iterable[Record]) -> str:
        """The photo or shard that the results of a unit were made of, where it is
        another one and still exists; otherwise empty. ``records``: what is known of the
        unit."""
        for record in records:
            other = _find_source(record, unit)
            if other == unit.source or not any(
                self._read_stamp(name) == json.dumps(stamp) for name, stamp in record.files.items()
            ):
                continue
            if is_url(other) or is_url(unit.source):
                return other
            with suppress(OSError, ValueError):
                if not Path(other).samefile(unit.source):
                    return other
        return ""

    def find_records(self, unit: str) -> Iterator[Record]:
        """What is known of a unit."""
        query = "SELECT record FROM records WHERE unit = ? ORDER BY number"
        for (line,) in self._database.execute(query, [_encode(unit)]).fetchall():
            yield Record.decode(line)

    def plan(self, unit: bytes, state: State) -> None:
        """Keep a unit, as ``encode_units`` has it, and its state for the run."""
        self._database.execute("INSERT INTO plan (unit, state) VALUES (?, ?)", [unit, state])

    def count_planned(self) -> int:
        """Number of units in the plan."""
        return self._database.execute("SELECT count(*) FROM plan").fetchone()[0]

    def iterate_plan(self) -> Iterator[tuple[bytes, State]]:
        """The units of the plan and their states, in their order."""
        yield from self._database.execute("SELECT unit, state FROM plan ORDER BY number")

    def write_report(self) -> None:
        """Write the report, whole or not at all, and remove the journal's shards."""
        names = [f"{SHARDS}/{name}" for name in self._results.list_names(SHARDS)]
        local = self._results.local
        if local:
            (local / FOLDER).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=local and local / FOLDER) as folder:
            path = Path(folder) / REPORT
            with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
                for rows in self._read_rows():
                    writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
            self._results.publish(path, REPORT)
        self._results.remove(names)

    def _read_rows(self) -> Iterator[list[dict[str, Any]]]:
        cursor = self._database.execute("SELECT record FROM records ORDER BY unit, number")
        while lines := cursor.fetchmany(_ROWS):
            rows = []
            for (line,) in lines:
                row = json.loads(line)
                if row["own"]:
                    row["options"] = json.dumps({**json.loads(row["options"]), "own": row["own"]})
                row |= {"record": line, "warnings": list(map(_replace_bytes, row["warnings"]))}
                rows.append({name: _replace_bytes(row[name]) for name in _SCHEMA.names})
            yield rows

    def _load_report(self) -> None:
        name = self._results.join(REPORT)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / REPORT
            try:
                path.write_bytes(self._results.read(REPORT))
            except FileNotFoundError:
                return
            try:
                file = pq.ParquetFile(path)
                known = file.schema_arrow.metadata or {}
                if known.get(b"colorizenet") != b"catalog 1":
                    raise pa.ArrowInvalid("it is another table")
                for batch in file.iter_batches(_ROWS, columns=["record"]):
                    self.add(map(Record.decode, batch.column(0).to_pylist()))
            except (pa.ArrowInvalid, OSError, ValueError, TypeError) as error:
                raise ConfigError(
                    f"{quote(name)} is no report of this tool ({quote(error)}); move it, or "
                    "choose another --out"
                ) from error

    def _add_file(self, name: str, stamp: Any, source: Any, key: Any) -> None:
        self._database.execute(
            "INSERT OR IGNORE INTO earlier SELECT name, stamp FROM files "
            "WHERE name = ? AND stamp != ?",
            [_encode(name), json.dumps(stamp)],
        )
        self._database.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
            [_encode(name), json.dumps(stamp), json.dumps(source), key],
        )

    def _add_present(self, infos: Iterable[dict[str, Any]]) -> None:
        root = self._results.store_path
        self._database.executemany(
            "INSERT OR REPLACE INTO present VALUES (?, ?)",
            [
                (
                    _encode(info["name"].removeprefix(f"{root}/")),
                    json.dumps([int(info["size"] or 0)]),
                )
                for info in infos
            ],
        )

    def _find_file(self, name: str) -> tuple[str, str, str] | None:
        query = "SELECT stamp, source, key FROM files WHERE name = ?"
        return self._database.execute(query, [_encode(name)]).fetchone()

    def _read_stamp(self, name: str) -> str | None:
        """The stamp of a file that exists now, as JSON."""
        if self._results.local:
            stamp = self._results.read_stamp(name)
            return json.dumps(stamp) if stamp else None
        found = self._database.execute("SELECT stamp FROM present WHERE name = ?", [_encode(name)])
        row = found.fetchone()
        return row[0] if row else None

    def _is_foreign(self, name: str) -> bool:
        """Whether a file exists that this tool did not write, or that was changed."""
        present = self._read_stamp(name)
        if present is None:
            return False
        found = self._find_file(name)
        if found is None:
            return True
        if found[0] == present:
            return False
        # A run that was killed before the rename left the file of an earlier record.
        query = "SELECT 1 FROM earlier WHERE name = ? AND stamp = ?"
        if self._database.execute(query, [_encode(name), present]).fetchone():
            return False
        local = self._results.local
        torn = local and is_torn(local / name, json.loads(found[0]), json.loads(present))
        return not torn


def _list_names(records: Iterable[Record]) -> set[str]:
    """The names of the results of records, and of files that were kept instead."""
    return {name for record in records for name in (*record.files, *record.kept)}


def _find_source(record: Record, unit: Unit) -> str:
    """The file of which a record of a unit tells: of a photo in a shard, the shard."""
    source = record.source
    if not is_shard(record.unit):
        return source
    if source.startswith(f"{unit.source}/"):
        return unit.source
    shard = re.match(r".*?\.tar(?=/|$)", source, re.IGNORECASE | re.DOTALL)
    return shard[0] if shard else source


def _encode(name: str) -> bytes:
    """A name as bytes, since those of files may be no text."""
    return name.encode("utf-8", "surrogateescape")


def _replace_bytes(value: Any) -> Any:
    """A text with escapes for bytes that are no text, or another value as it is."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode()


def _parse_shard(content: bytes) -> list[Record]:
    records = []
    for line in content.splitlines():
        with suppress(ValueError, TypeError, KeyError):
            records.append(Record.decode(line))
    return records
