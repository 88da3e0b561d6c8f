"""`colorizenet serve` as it is started, told to stop, and described in docs/serving.md."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from colorizenet.imaging.reading import read_image

ROOT = Path(__file__).parents[1]


@contextmanager
def served(*options: object, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address and the process of a server without a page, which is stopped at the end."""
    command = [
        sys.executable,
        "-m",
        "colorizenet",
        "serve",
        "--port",
        "0",
        "--no-ui",
        *map(str, options),
    ]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        try:
            assert process.stderr
            told = process.stderr.readline()
            found = re.fullmatch(r"the API: (http://\S+)\n", told)
            assert found, told
            yield found[1], process
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served() as (address, _):
        yield address


def test_sigterm_lets_it_finish_what_it_accepted(samples):
    encoded = next(path for path in samples if path.stem == "moose").read_bytes()
    with served("--concurrency", 2) as (address, process), ThreadPoolExecutor(8) as pool:
        url = f"{address}/v1/colorize?size=320"
        httpx.post(url, content=encoded, timeout=60)
        accepted = [pool.submit(httpx.post, url, content=encoded, timeout=60) for _ in range(8)]
        while not re.search(
            r"^colorizenet_held_bytes [1-9]", httpx.get(f"{address}/metrics").text, re.MULTILINE
        ):
            time.sleep(0.01)
        time.sleep(0.2)  # all have been sent
        process.send_signal(signal.SIGTERM)
        assert [done.result().status_code for done in accepted] == [200] * 8
        assert process.wait(20) == 0
        assert process.stderr and process.stderr.read() == ""
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/healthz")


def failing(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "colorizenet", "serve", *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1, (
        done.stderr
    )
    return done.stderr


def test_it_listens_where_others_reach_it_only_with_a_token():
    assert "there is no token; give one in COLORIZENET_TOKEN, or say --insecure" in failing(
        "--host", "0.0.0.0"
    )
    with served("--host", "0.0.0.0", COLORIZENET_TOKEN="open sesame") as (address, _):
        here = address.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{here}/v1/models").status_code == 401
        assert (
            httpx.get(
                f"{here}/v1/models", headers={"Authorization": "Bearer open sesame"}
            ).status_code
            == 200
        )
    with served("--host", "0.0.0.0", "--insecure") as (address, _):
        assert httpx.get(f"{address.replace('0.0.0.0', '127.0.0.1')}/v1/models").status_code == 200


def test_a_wrong_command_line_is_one_line(make_model, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "cannot be listened on: " in failing(
            "--no-ui", "--port", str(taken.getsockname()[1])
        )
    assert "cannot be listened on: " in failing(
        "--no-ui", "--host", "no.such.host.invalid", "--insecure"
    )
    (tmp_path / "below").mkdir()
    again = shutil.copy(make_model(), tmp_path / "below")
    assert "two models would have the same name" in failing(
        "--model", str(make_model()), "--model", str(again)
    )
    assert "missing.onnx cannot be read" in failing("--model", "missing.onnx")
    assert "--concurrency" in failing("--concurrency", "1")


def test_without_the_extra_it_says_what_to_install():
    program = (
        "import sys, colorizenet.cli as cli; cli.find_spec = lambda name: None;"
        "sys.argv = ['colorizenet', 'serve']; cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "pip install 'colorizenet[serve]'" in done.stderr


def test_models_of_ones_own_are_offered_by_name(make_model, samples):
    encoded = samples[0].read_bytes()
    with served("--model", "default", "--model", make_model("mine.onnx")) as (address, _):
        assert [model["name"] for model in httpx.get(f"{address}/v1/models").json()] == [
            "default",
            "mine",
        ]
        one, two = (
            httpx.post(f"{address}/v1/colorize?model={n}", content=encoded).content
            for n in ("default", "mine")
        )
        assert one != two


def blocks(language: str) -> list[str]:
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def in_color(path: Path) -> bool:
    return bool(np.ptp(read_image(path).pixels.astype(int), axis=2).mean() > 3)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_curl_lines_of_the_page_work(address, tmp_path, samples):
    shutil.copy(samples[0], tmp_path / "1921.jpg")
    (lines,) = [block for block in blocks("console") if "curl" in block]
    for line in lines.strip().splitlines():
        subprocess.run(
            line.replace("http://127.0.0.1:8000", address), shell=True, cwd=tmp_path, check=True
        )
    written = sorted(path.name for path in tmp_path.glob("*-color.*"))
    assert written == ["1921-color.jpg", "1921-color.png"] and all(
        in_color(tmp_path / name) for name in written
    )


def test_the_python_example_of_the_page_works(address, tmp_path, samples):
    shutil.copy(samples[0], tmp_path / "1921.jpg")
    (program,) = blocks("python")
    program = program.replace("http://127.0.0.1:8000", address)
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert in_color(tmp_path / "1921-color.jpg")
