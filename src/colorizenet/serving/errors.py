"""The error that a client of the server gets as its response."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from colorizenet.errors import ColorizeNetError

__all__ = ["PROBLEM_CODES", "ProblemCode", "RequestError", "Values", "make_disk_error"]

ProblemCode = Literal[
    "busy",
    "crashed",
    "damaged",
    "empty",
    "forbidden",
    "internal",
    "invalid-request",
    "invalid-setting",
    "method-not-allowed",
    "not-found",
    "slow-upload",
    "timeout",
    "too-many-bytes",
    "too-many-pages",
    "too-many-pixels",
    "too-much-memory",
    "unauthorized",
    "unknown-host",
    "unsupported",
    "unsupported-content",
    "unwritable",
]
"""What an error is about, for programs. A code never changes its meaning."""

PROBLEM_CODES: tuple[ProblemCode, ...] = get_args(ProblemCode)
"""All codes of errors."""

Values = Mapping[str, int | float | str]
"""Numbers and names in a sentence, for programs that translate it."""


class RequestError(ColorizeNetError):
    """A request that is not fulfilled.

    ``status`` is the HTTP status code with the same meaning, ``code`` and ``values``
    say the same as ``detail`` to a program, ``retry_after`` is the number of seconds
    after which the same request may succeed (None: never), and ``headers`` are further
    headers of the response.
    """

    def __init__(
        self,
        status: int,
        code: ProblemCode,
        detail: str,
        *,
        values: Values | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.values, self.retry_after = dict(values or {}), retry_after
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)

    def __reduce__(self) -> tuple[Any, ...]:
        """What pickle needs, because errors also come from other processes."""
        return type(self), (self.status, self.code, self.detail), self.__dict__


def make_disk_error() -> RequestError:
    """The error where there is no room for a photo or its result on the disk."""
    return RequestError(
        503,
        "busy",
        "the server's disk space for photos is full; try again later",
        values={"seconds": 60},
        retry_after=60,
    )
