"""The manifest of prepared shards: one row for each photo, as tab-separated text."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

__all__ = ["ManifestRow", "PrepareResult", "encode_rows", "escape_name", "read_rows"]


class ManifestRow(NamedTuple):
    """One photo and its outcome. The fields are the columns, in this order."""

    split: str
    shard: str
    """Name of the shard without its suffix. Empty for a photo that was left out."""
    key: str
    """Name inside of the shard: a number that is unique in all shards."""
    name: str
    """Name in the source. Unprintable characters have backslash escapes."""
    outcome: str
    """``kept``, or the reason to leave the photo out: unreadable, tiny, gray, sepia or
    duplicate, a colon and details."""
    width: int | str = ""
    """Width as stored, in pixels. This and the following columns are empty for a photo
    that was not decoded."""
    height: int | str = ""
    colorfulness: str = ""
    hash: str = ""
    """Difference hash, 16 hexadecimal digits."""

    @property
    def kind(self) -> str:
        """The outcome without details."""
        return self.outcome.partition(":")[0]


@dataclass
class PrepareResult:
    """How many photos had which outcome."""

    kept: Counter[str] = field(default_factory=Counter)
    """Number of photos by split."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Number of photos by kind of reason."""
    already_finished: bool = False
    """Whether the folder was finished before."""

    @classmethod
    def count(cls, rows: Iterable[ManifestRow]) -> "PrepareResult":
        """Count the outcomes of rows."""
        result = cls()
        for row in rows:
            if row.outcome == "kept":
                result.kept[row.split] += 1
            else:
                result.left_out[row.kind] += 1
        return result

    def __str__(self) -> str:
        splits = ", ".join(f"{split} {self.kept[split]}" for split in ("train", "val", "test"))
        parts = [f"{self.kept.total()} kept ({splits})"]
        return ", ".join([*parts, *([self.describe_left_out()] if self.left_out else [])])

    def describe_left_out(self) -> str:
        """Reasons with counts, the most frequent first: ``6 gray, 2 tiny``."""
        counts = sorted(self.left_out.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{count} {kind}" for kind, count in counts)


def encode_rows(rows: Iterable[tuple], *, header: bool = True) -> bytes:
    """Encode rows as tab-separated lines, by default below a line of column names."""
    lines = [ManifestRow._fields, *rows] if header else list(rows)
    return "".join("\t".join(map(str, row)) + "\n" for row in lines).encode()


def read_rows(path: Path) -> Iterator[ManifestRow]:
    """Read the rows of a table with a header."""
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in islice(lines, 1, None):
            yield ManifestRow(*line.rstrip("\n").split("\t"))


def escape_name(name: str) -> str:
    """Escape everything that would leave the column or the line of a name.

    >>> print(escape_name("Zürich\\t1.jpg"))
    Zürich\\t1.jpg
    """
    return "".join(
        c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode() for c in name
    )
