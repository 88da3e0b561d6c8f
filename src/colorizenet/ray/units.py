"""What is colorized at a time: a photo or a tar shard, and the names of its results."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from colorizenet.batch import Worker
from colorizenet.hintfiles import format_hint, parse_hint_objects
from colorizenet.imaging.formats import FORMATS
from colorizenet.options import Hint
from colorizenet.planning import Job, SidecarMode

__all__ = [
    "Record",
    "Unit",
    "decode_units",
    "encode_units",
    "is_photo",
    "is_shard",
    "list_own_settings",
]

_ENDINGS = tuple(ending for format in FORMATS.values() for ending in format.suffixes)


def is_shard(name: str) -> bool:
    """Whether a file is a tar of photos."""
    return name.lower().endswith(".tar")


def is_photo(name: str) -> bool:
    """Whether a file has the extension of a photo, and is not hidden."""
    return name.lower().endswith(_ENDINGS) and not PurePosixPath(name).name.startswith(".")


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A photo or a shard. Names of results are those in the folder of results."""

    source: str
    """Path or URL."""
    targets: tuple[str, ...]
    format: str | None = None
    """Format of the results, as in ``Job``."""
    reason: str = ""
    """Why that is not the requested format, as in ``Job``."""
    contact_sheet: str | None = None
    sidecar: SidecarMode | None = None
    variants: int = 1
    """Number of results of each photo of a shard."""
    hints: tuple[Hint, ...] = ()
    """Hints of this photo alone."""
    size: int = -1
    """Bytes of the source; -1 where unknown."""
    fingerprint: str = ""
    """Differs when the source changes; empty where it is not known yet."""
    recorded: str = ""
    """Fingerprint of the source of results that are complete; empty without these."""
    kept: tuple[str, ...] = ()
    """Names of results that files of somebody else have; those are not replaced."""
    own: tuple[str, ...] = ()
    """Names of earlier results that are not planned: their format was found late."""

    @property
    def name(self) -> str:
        """The planned name of the first target, by which the unit is recorded."""
        return self.targets[0]

    @property
    def job(self) -> Job:
        """The unit with names as paths."""
        sheet = Path(self.contact_sheet) if self.contact_sheet else None
        targets = tuple(map(Path, self.targets)) * self.variants
        return Job(Path(self.source), targets, self.format, self.reason, sheet, self.sidecar)

    @property
    def files(self) -> tuple[str, ...]:
        """The names of everything that is written, as planned."""
        if is_shard(self.source):
            return self.targets
        return tuple(path.as_posix() for path in self.job.files)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What became of a photo: a row of the report."""

    unit: str
    """Name of the unit."""
    source: str
    """Path or URL; for a photo in a shard, that of the shard, a slash and its name."""
    status: str
    """colorized, skipped or failed."""
    reason: str = ""
    """Why it failed or was skipped."""
    result: str | None = None
    """Name of the first result."""
    targets: tuple[str, ...] = ()
    sidecars: tuple[str, ...] = ()
    contact_sheet: str | None = None
    format: str | None = None
    changed: str = ""
    """Why the format is not the requested one."""
    seconds: float = 0.0
    width: int = 0
    height: int = 0
    warnings: tuple[str, ...] = ()
    source_sha256: str | None = None
    result_sha256: str | None = None
    model_sha256: str | None = None
    options: str = ""
    """Everything that all results depend on, as JSON."""
    own: str = ""
    """Settings of this photo alone, for the journal."""
    fingerprint: str = ""
    """That of the source when it was read."""
    files: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    """The stamp of each file that was written, as ``Folder.read_stamp`` has it."""
    kept: tuple[str, ...] = ()
    """Names of results that were not written, as in ``Unit``."""

    @property
    def forgets_files(self) -> bool:
        """Whether it is a failure that does not say what was written before."""
        return self.status == "failed" and not self.files

    def encode(self) -> str:
        """The record as a line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def decode(line: str | bytes) -> "Record":
        """A record from ``encode``. Raises ``ValueError``, ``TypeError``."""
        return _make(Record, json.loads(line))


def list_own_settings(worker: Worker, unit: Unit) -> str:
    """What the results of a unit alone depend on, as ``Worker.describe_job``."""
    if unit.hints:
        worker = dataclasses.replace(worker, hints={Path(unit.source): unit.hints})
    return worker.describe_job(unit.job)


def encode_units(units: Sequence[Unit]) -> bytes:
    """Units as JSON, without the fields that have their defaults."""
    objects = []
    for unit in units:
        given = {
            each.name: getattr(unit, each.name)
            for each in dataclasses.fields(unit)
            if getattr(unit, each.name) != each.default
        }
        if unit.hints:
            given["hints"] = [format_hint(hint) for hint in unit.hints]
        objects.append(given)
    return json.dumps(objects).encode()


def decode_units(encoded: bytes) -> list[Unit]:
    """Units from ``encode_units``."""
    return [
        _make(Unit, given | {"hints": parse_hint_objects(given.get("hints", []), "hints")})
        for given in json.loads(encoded)
    ]


def _make(kind: type, given: dict[str, Any]) -> Any:
    lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    return kind(**(given | lists))
