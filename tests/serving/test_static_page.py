"""The files of the web page: which are served, and with which headers."""

import mimetypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from colorizenet.serving.access import Access
from colorizenet.serving.http import App
from colorizenet.serving.jobs import JobQueue, Limits
from colorizenet.serving.static import PAGE_FOLDER

PAGE_FILES = sorted(
    path.relative_to(PAGE_FOLDER).as_posix()
    for path in PAGE_FOLDER.rglob("*")
    if path.suffix in (".css", ".html", ".js")
)


@contextmanager
def run_page(load_default, **access) -> Iterator[TestClient]:
    app = App(
        JobQueue({"default": load_default}, Limits(concurrency=2)),
        access=Access(**access),
        with_page=True,
    )
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture(scope="module")
def page(load_default) -> Iterator[TestClient]:
    """A client of a server with its page."""
    with run_page(load_default) as client:
        yield client


def test_the_start_page_is_served_at_the_root(page):
    response = page.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.content == (PAGE_FOLDER / "index.html").read_bytes()
    assert page.get("/healthz").json() == {"status": "ready", "page": "ready"}


@pytest.mark.parametrize("path", PAGE_FILES)
def test_every_file_is_served_with_its_type(page, path):
    response = page.get(f"/{path}")
    assert response.status_code == 200
    assert response.content == (PAGE_FOLDER / path).read_bytes()
    expected = {".css": "text/css", ".html": "text/html", ".js": "text/javascript"}
    assert response.headers["content-type"].split(";")[0] == expected[f".{path.split('.')[-1]}"]
    assert response.headers["cache-control"] == "no-cache"
    again = page.get(f"/{path}", headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 304 and again.headers["cache-control"] == "no-cache"


def test_the_type_of_a_script_does_not_depend_on_the_system(page):
    before = mimetypes.guess_type("a.js")[0]
    mimetypes.add_type("text/plain", ".js")  # as the registry of Windows may have it
    try:
        response = page.get("/engine.js")
    finally:
        mimetypes.add_type(before or "text/javascript", ".js")
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/nothing.js",
        "/page/index.html",
        "/server",
        "/server/",
        "/types.d.ts",
        "/../http.py",
        "/%2e%2e/http.py",
        "/..%2fhttp.py",
        "/server/..%2f..%2fhttp.py",
        "/%2e%2e/page/index.html/..%2f../http.py",
        "//etc/passwd",
        "/%00.js",
        f"/{'a' * 5000}.js",
        "/C:%5Cwindows%5Cwin.js",
    ],
)
def test_nothing_else_is_served(page, path, read_problem):
    # httpx would normalize the path
    request = page.build_request("GET", "/")
    request.url = httpx.URL("http://127.0.0.1").copy_with(raw_path=path.encode())
    assert "does not exist" in read_problem(page.send(request), 404)


@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=9999999-", "bytes=abc", "lines=1-2"])
def test_a_file_is_sent_whole_whatever_range_is_asked_for(page, asked):
    response = page.get("/icon.svg", headers={"Range": asked})
    assert response.status_code == 200
    assert response.content == (PAGE_FOLDER / "icon.svg").read_bytes()
    assert response.headers["accept-ranges"] == "none"


def test_files_cannot_be_written(page, read_problem):
    for method in ("POST", "PUT", "DELETE"):
        response = page.request(method, "/index.html")
        assert "only for reading" in read_problem(response, 405)


def test_the_page_may_load_nothing_from_elsewhere_and_run_no_inline_script(page):
    for path in ("/", "/engine.js"):
        headers = page.get(path).headers
        policy = dict(
            each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'"
        assert policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert "unsafe" not in str(policy) and "http" not in str(policy)
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
    assert (
        page.get("/v1/models").headers["content-security-policy"].startswith("default-src 'none'")
    )
    assert "unsafe-inline" in page.get("/docs").headers["content-security-policy"]


def test_a_page_with_a_token_asks_for_a_password(load_default):
    with run_page(load_default, token="open sesame") as client:
        response = client.get("/")
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Basic ")
        for path in ("/", "/engine.js", "/v1/info"):
            assert client.get(path, auth=("anybody", "open sesame")).status_code == 200
            assert client.get(path, auth=("anybody", "wrong")).status_code == 401


def test_the_example_with_gradio_compiles():
    path = Path(__file__).parents[2] / "examples" / "gradio_space" / "app.py"
    compile(path.read_text(encoding="utf-8"), str(path), "exec")
