"""The error that a client of the server gets as its response."""

from collections.abc import Mapping
from typing import Any

from colorizenet.errors import ColorizeNetError

__all__ = ["RequestError"]


class RequestError(ColorizeNetError):
    """A request that is not fulfilled.

    ``status`` is the HTTP status code with the same meaning, ``retry_after`` the number
    of seconds after which the same request may succeed (None: never), and ``headers``
    are further headers of the response.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after = status, detail, retry_after
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)

    def __reduce__(self) -> tuple[Any, ...]:
        """What pickle needs, because errors also come from other processes."""
        return type(self), (self.status, self.detail), self.__dict__
