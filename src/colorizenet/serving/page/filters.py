"""Which requests reach Gradio: only the routes the page needs, and no paths or URLs of
a client.

Gradio has many routes that open files by path or fetch URLs. Everything is rejected
that the page itself does not send.
"""

import json
import re
from typing import Any

from starlette.types import Message, Receive, Scope

from colorizenet.serving.errors import RequestError
from colorizenet.serving.page.storage import Storage

__all__ = ["check_route", "filter_event", "limit_body", "read_body_size"]

_READ = re.compile(
    r"/|/config|/theme\.css|/manifest\.json|/favicon\.ico"
    r"|/(assets|static|samples)(/[\w@.+~-]+)+|/results/[\w-]+/[^/\\]+"
    r"|/gradio_api/(upload_progress|queue/data|startup-events|heartbeat/\w+)"
)
"""Paths for GET, besides uploads. Results and samples are served by us, the rest by
Gradio."""
_WRITE = re.compile(r"/gradio_api/(upload|cancel|reset|queue/join)")
"""Paths for POST."""
_UPLOADED = "/gradio_api/file="
_MAX_EVENT_BYTES = 1_000_000


def check_route(method: str, path: str, storage: Storage) -> None:
    """Raise ``RequestError`` for a route that the page does not need."""
    allowed = _READ if method in ("GET", "HEAD") else _WRITE
    upload = path.startswith(_UPLOADED) and storage.contains(path.removeprefix(_UPLOADED))
    if not (allowed.fullmatch(path) or upload) or ".." in path.split("/"):
        raise RequestError(404, "this address does not exist; see /docs for the API")


async def filter_event(receive: Receive, storage: Storage) -> Receive:
    """The body of an event of the page, in which every file is an upload and no URL is
    left."""
    body = _filter_json(await _read_body(limit_body(receive, _MAX_EVENT_BYTES)), storage)
    waiting = [body]

    async def replay() -> Message:
        return {"type": "http.request", "body": waiting.pop()} if waiting else await receive()

    return replay


def read_body_size(scope: Scope, limit: int) -> int:
    """The size of the body that a request states, in bytes.

    Raises ``RequestError`` where it states none, or more than ``limit`` bytes.
    """
    stated = dict(scope["headers"]).get(b"content-length", b"")
    if not stated.isdigit():
        raise RequestError(411, "the request does not state its length; send Content-Length")
    if len(stated) > 18 or int(stated) > limit:
        raise _too_large(limit)
    return int(stated)


def limit_body(receive: Receive, limit: int) -> Receive:
    """The same body; ``RequestError`` once it has more than ``limit`` bytes."""
    received = 0

    async def count() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _too_large(limit)
        return message

    return count


def _too_large(limit: int) -> RequestError:
    return RequestError(413, f"the request is larger than the limit of {limit:,} bytes; send less")


async def _read_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _filter_json(body: bytes, storage: Storage) -> bytes:
    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "path" in value and not storage.contains(value["path"]):
            raise RequestError(
                403, "only files that were uploaded to this page are opened; choose them again"
            )
        return {name: clean(each) for name, each in value.items() if name != "url"}

    try:
        return json.dumps(clean(json.loads(body))).encode()
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "the request is not one of this page; reload the page") from error
