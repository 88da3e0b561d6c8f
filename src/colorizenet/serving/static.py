"""The files of the web page.

The page is a folder of static files: it has no state on the server, and uses the API as
any other client does.
"""

from pathlib import Path, PurePosixPath

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

__all__ = ["PAGE_FOLDER", "PageFiles"]

PAGE_FOLDER = Path(__file__).with_name("page")
"""Where the files of the page are."""

_INDEX = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
"""Types of the files that are served, by suffix. Those that the system knows depend on
its settings, and browsers refuse scripts of another type."""


class PageFiles(StaticFiles):
    """The page as an ASGI application. Raises ``HTTPException`` for other paths.

    Files are small and are sent whole, whatever range of bytes a request asks for.
    """

    def __init__(self, folder: Path = PAGE_FOLDER) -> None:
        super().__init__(directory=folder)
        samples = _find_samples()
        self._samples = StaticFiles(directory=samples) if samples else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request; its header ``Range`` is ignored, as RFC 9110 allows."""
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await super().__call__({**scope, "headers": headers}, receive, send)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The response with a file; ``path`` is relative to the folder."""
        path = _INDEX if path == "." else path
        media_type = _TYPES.get(PurePosixPath(path).suffix)
        if media_type is None:
            raise HTTPException(404)
        name = PurePosixPath(path)
        if name.parent.name == "samples" and self._samples:
            response = await self._samples.get_response(name.name, scope)
        else:
            response = await super().get_response(path, scope)
        if response.status_code == 200:
            response.headers["Content-Type"] = media_type
        # A browser asks each time whether a file has changed, so that an upgrade never
        # mixes files of two versions.
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Accept-Ranges"] = "none"
        return response


def _find_samples() -> Path | None:
    """The folder of the sample photos: inside the installed package, or in a
    checkout."""
    package = Path(__file__).parents[1]
    candidates = (package / "samples", package.parents[1] / "samples")
    return next((path for path in candidates if path.is_dir()), None)
