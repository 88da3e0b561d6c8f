"""``colorizenet serve``: how it starts and stops, its flags, and the examples of its
page."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from colorizenet.cli import main
from colorizenet.imaging.reading import read_image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def address(run_serve) -> Iterator[str]:
    with run_serve("--no-page") as (address, _):
        yield address


def test_sigterm_finishes_what_has_arrived(run_serve, samples):
    encoded = next(path for path in samples if path.stem == "moose").read_bytes()
    with run_serve("--concurrency", 2) as (address, process), ThreadPoolExecutor(8) as pool:
        url = f"{address}/v1/colorize?size=320"
        httpx.post(url, content=encoded, timeout=60)
        accepted = [pool.submit(httpx.post, url, content=encoded, timeout=60) for _ in range(8)]
        while not re.search(
            r"^colorizenet_buffered_bytes [1-9]", httpx.get(f"{address}/metrics").text, re.MULTILINE
        ):
            time.sleep(0.01)
        time.sleep(0.2)  # all have been sent
        process.send_signal(signal.SIGTERM)
        assert [done.result().status_code for done in accepted] == [200] * 8
        assert process.wait(20) == 0
        assert process.stderr and process.stderr.read() == ""
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/healthz")


def fail(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a command line that is rejected with status 2."""
    with pytest.raises(SystemExit) as stopped:
        main(["serve", *arguments])
    out, err = capsys.readouterr()
    assert stopped.value.code == 2 and out == "" and len(err.splitlines()) == 1, err
    return err


def test_an_address_that_others_can_reach_requires_a_token(
    run_serve, tmp_path, capsys, monkeypatch
):
    monkeypatch.delenv("COLORIZENET_TOKEN", raising=False)
    error = fail(capsys, "--host", "0.0.0.0")
    assert "there is no token; set COLORIZENET_TOKEN, or use --insecure" in error

    def status(url: str, **headers: str) -> int:
        url = url.replace("0.0.0.0", "127.0.0.1")
        return httpx.get(f"{url}/v1/models", headers=headers).status_code

    bearer = {"Authorization": "Bearer open sesame"}
    with run_serve("--host", "0.0.0.0", COLORIZENET_TOKEN="open sesame") as (url, _):
        assert status(url) == 401 and status(url, **bearer) == 200
    (tmp_path / "token").write_text("open sesame\n")
    with run_serve("--host", "0.0.0.0", "--token-file", tmp_path / "token") as (url, _):
        assert status(url) == 401 and status(url, **bearer) == 200
    flags = ("--host", "0.0.0.0", "--insecure", "--server-name", "Photos.example")
    with run_serve(*flags) as (url, _):
        assert status(url) == 200 and status(url, Host="photos.example") == 200
        assert status(url, Host="rebound.example") == 421


def test_a_wrong_command_line_is_one_line(make_model, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("COLORIZENET_TOKEN", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        error = fail(capsys, "--no-page", "--port", str(taken.getsockname()[1]))
        assert "cannot listen on 127.0.0.1:" in error
    error = fail(capsys, "--no-page", "--host", "no.such.host.invalid", "--insecure")
    assert "cannot listen on no.such.host.invalid:" in error
    (tmp_path / "below").mkdir()
    again = shutil.copy(make_model(), tmp_path / "below")
    error = fail(capsys, "--model", str(make_model()), "--model", str(again))
    assert "two models have the same name" in error
    assert "missing.onnx cannot be read" in fail(capsys, "--model", "missing.onnx")
    assert "--concurrency" in fail(capsys, "--concurrency", "1")
    assert "use only one of them" in fail(capsys, "--open", "--no-page")
    missing, empty = str(tmp_path / "missing"), tmp_path / "empty"
    empty.write_text("\n")
    assert "missing cannot be read" in fail(capsys, "--token-file", missing)
    assert "is empty; write the token into it" in fail(capsys, "--token-file", str(empty))
    error = fail(capsys, "--token-file", str(empty), "--token", "x")
    assert "use only one of them" in error


def test_without_the_extra_the_error_says_what_to_install():
    program = (
        "import sys, colorizenet.cli as cli; sys.modules['uvicorn'] = None;"  # as if missing
        "cli.main(['serve', '--host', '0.0.0.0'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2 and "pip install 'colorizenet[serve]'" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="the browser is a shell script")
def test_open_opens_the_page_in_a_browser(run_serve, tmp_path):
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f"#!/bin/sh\necho $1 > {opened}.new && mv {opened}.new {opened}\n")
    browser.chmod(0o755)
    environment = {"BROWSER": f"{browser} %s", "TMPDIR": str(tmp_path)}
    with run_serve("--open", **environment) as (url, process):
        end = time.monotonic() + 30
        while not opened.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        assert opened.read_text().strip() == url
        process.terminate()
        assert process.wait(20) == 0


def test_only_this_machine_may_send_photos_as_large_as_the_command_line_takes(
    run_serve, monkeypatch
):
    def read_limits(*flags: object, **environment: str) -> dict[str, int]:
        headers = {"Authorization": "Bearer open sesame"}
        with run_serve(*flags, **environment) as (address, _):
            address = address.replace("0.0.0.0", "127.0.0.1")
            return httpx.get(f"{address}/v1/info", headers=headers).json()["limits"]

    monkeypatch.delenv("COLORIZENET_TOKEN", raising=False)
    local = {"max_bytes": 4_000_000_000, "max_pixels": 2_000_000_000, "max_pages": 20}
    usual = {"max_bytes": 100_000_000, "max_pixels": 100_000_000, "max_pages": 20}
    assert read_limits() == local
    assert read_limits("--max-bytes", 1000, "--max-pixels", 2000) == {
        "max_bytes": 1000,
        "max_pixels": 2000,
        "max_pages": 20,
    }
    # These may be behind a proxy that others can reach.
    assert read_limits("--server-name", "photos.example") == usual
    assert read_limits(COLORIZENET_TOKEN="open sesame") == usual
    assert read_limits("--host", "0.0.0.0", "--insecure") == usual


def test_a_model_file_is_offered_by_its_name(run_serve, make_model, samples):
    encoded = samples[0].read_bytes()
    with run_serve("--model", "default", "--model", make_model("mine.onnx")) as (address, _):
        assert [model["name"] for model in httpx.get(f"{address}/v1/models").json()] == [
            "default",
            "mine",
        ]
        one, two = (
            httpx.post(f"{address}/v1/colorize?model={n}", content=encoded, timeout=60).content
            for n in ("default", "mine")
        )
        assert one != two


def read_code_blocks(language: str) -> list[str]:
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def is_colorful(path: Path) -> bool:
    return bool(np.ptp(read_image(path).pixels.astype(int), axis=2).mean() > 3)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_curl_examples_of_the_docs_work(address, tmp_path, samples):
    shutil.copy(samples[0], tmp_path / "1921.jpg")
    (lines,) = [block for block in read_code_blocks("console") if "curl" in block]
    for line in lines.strip().splitlines():
        subprocess.run(
            line.replace("http://127.0.0.1:8000", address), shell=True, cwd=tmp_path, check=True
        )
    written = sorted(path.name for path in tmp_path.glob("*-color.*"))
    assert written == ["1921-color.jpg", "1921-color.png"] and all(
        is_colorful(tmp_path / name) for name in written
    )


def test_the_python_example_of_the_docs_works(address, tmp_path, samples):
    shutil.copy(samples[0], tmp_path / "1921.jpg")
    (program,) = read_code_blocks("python")
    program = program.replace("http://127.0.0.1:8000", address)
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert is_colorful(tmp_path / "1921-color.jpg")


def test_malformed_forms_stay_out_of_the_log(run_serve):
    with run_serve("--no-page") as (address, _):  # which expects nothing on stderr
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        for content in (b"no boundary", b"--b\r\nno header\r\n\r\n", b"--b--"):
            response = httpx.post(f"{address}/v1/colorize", content=content, headers=headers)
            assert response.status_code == 400


def list_folders(parent: Path) -> set[Path]:
    """The folders of servers with ``parent`` as their folder for temporary files."""
    return {path for path in parent.glob("colorizenet-*") if path.is_dir()}


def test_a_second_ctrl_c_stops_at_once_and_leaves_no_file(run_serve, tmp_path):
    with run_serve(TMPDIR=str(tmp_path)) as (address, process):
        assert list_folders(tmp_path)
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as unfinished:
            unfinished.sendall(b"POST /v1/colorize HTTP/1.1\r\nHost: localhost\r\n")
            unfinished.sendall(b"Content-Length: 100\r\n\r\nhalf of a photo")
            time.sleep(0.5)  # the request has arrived
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)  # the server waits for the rest of the photo
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        assert process.stderr and process.stderr.read() == ""
    assert not list(tmp_path.glob("colorizenet-*"))


def test_files_of_a_killed_server_are_deleted_by_the_next_one(run_serve, tmp_path):
    with run_serve(TMPDIR=str(tmp_path)) as (address, running):
        (kept,) = list_folders(tmp_path)
        (kept / "photo.jpg").write_bytes(b"of the server that runs")
        with run_serve(TMPDIR=str(tmp_path)) as (_, killed):
            (lost,) = list_folders(tmp_path) - {kept}
            (lost / "below").mkdir()
            (lost / "below" / "photo.jpg").write_bytes(b"of the server that is killed")
            killed.kill()
            killed.wait(20)
        assert (lost / "below" / "photo.jpg").exists()
        with run_serve(TMPDIR=str(tmp_path)) as (_, third):
            assert kept in list_folders(tmp_path) and lost not in list_folders(tmp_path)
            assert not list(tmp_path.glob(f"{lost.name}*"))
            assert (kept / "photo.jpg").read_bytes() == b"of the server that runs"
            assert httpx.get(f"{address}/healthz").status_code == 200
            third.terminate()
            assert third.wait(20) == 0
        running.terminate()
        assert running.wait(20) == 0
    assert not list(tmp_path.glob("colorizenet-*"))
