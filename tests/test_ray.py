"""Archives on a local Ray cluster of two workers, with faults: killed processes, an
object store that fails now and then, a photo that crashes its decoder."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from colorizenet.batch import Worker, run_threads
from colorizenet.cli import main
from colorizenet.options import Options
from colorizenet.planning import plan_jobs

# Ray leaves sockets and files open, and moto calls deprecated functions.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals end the processes"),
]

SERVED = 10
"""Every request of this number is answered with 503."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An object store that answers 503 to every tenth request: the numbers of requests
    and of failures."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application = DomainDispatcherApplication(create_backend_app)
    counts = {"requests": 0, "failures": 0}
    lock = threading.Lock()

    def fail_sometimes(environ, start_response):
        with lock:
            counts["requests"] += 1
            failing = counts["requests"] % SERVED == 0
            counts["failures"] += failing
        if failing:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("503 Slow Down", [("Content-Length", "0")])
            return [b""]
        return application(environ, start_response)

    server = make_server("127.0.0.1", 0, fail_sometimes, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
    }
    before = dict(os.environ)
    os.environ.update(settings)
    yield counts
    server.shutdown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def bucket(store):
    """A file system with an empty bucket."""
    import s3fs

    files = s3fs.S3FileSystem(use_listings_cache=False)
    files.mkdir("archive")
    return files


@pytest.fixture(scope="module")
def cluster(store):
    """A cluster of two workers, which know the store."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80_000_000,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield ray
    ray.shutdown()


@pytest.fixture
def photos(tmp_path, write_photograph) -> Path:
    """A folder with five photos and a file that is none."""
    for number in range(4):
        write_photograph(tmp_path / "in" / f"{number}.jpg", number)
    write_photograph(tmp_path / "in" / "sub" / "5.png", 5)
    (tmp_path / "in" / "bad.jpg").write_bytes(b"\xff\xd8\xff no photo")
    return tmp_path / "in"


@pytest.fixture
def colorize(make_model, capsys, cluster):
    """Run the command on the cluster: its exit status, lines of stdout, and stderr."""
    model = make_model(slope_a=0.5, slope_b=-0.5)

    def run(*arguments: object) -> tuple[int, list[str], str]:
        flags = ["--model", model, "--engine", "ray", "--concurrency", 2]
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["colorize", *map(str, (*arguments, *flags))])
        out, messages = capsys.readouterr()
        return int(ended.value.code or 0), out.splitlines(), messages

    return run


@pytest.fixture
def worker(make_model) -> Worker:
    return Worker(model=make_model(slope_a=0.5, slope_b=-0.5))


def read_folder(folder: Path) -> dict[str, bytes]:
    """The visible files of a folder, without the report."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".colorizenet" not in path.parts and path.name != "results.parquet"
    }


def colorize_locally(inputs, out, worker, **settings) -> dict[str, bytes]:
    list(run_threads(plan_jobs(inputs, out, **settings), dataclasses.replace(worker, journal=out)))
    return read_folder(out)


def count_lines(text: str, part: str) -> int:
    return sum(part in line for line in text.splitlines())


def test_results_are_those_of_one_machine_and_a_second_run_does_nothing(
    tmp_path, photos, worker, colorize
):
    out, local = tmp_path / "out", tmp_path / "local"
    for folder in (out, local):
        folder.mkdir()
        (folder / "3.jpg").write_bytes(b"mine")
    status, lines, messages = colorize(photos, "--out", out, "--sidecar", "also")
    expected = colorize_locally([photos], local, worker, sidecar="also")
    assert status == 1
    found = read_folder(out)
    assert found == expected
    assert found.pop("3.jpg") == b"mine" and "3.jpg.colors.json" in found
    assert sorted(lines) == sorted(str(out / name) for name in found)
    # Once when it happens, and once in the summary at the end.
    assert count_lines(messages, str(photos / "bad.jpg")) == 2
    assert "5 colorized" in messages and "1 failed" in messages
    assert count_lines(messages, str(out / "3.jpg")) == 1  # it was kept
    rows = pq.read_table(out / "results.parquet").to_pylist()
    assert sorted(row["status"] for row in rows) == ["colorized"] * 5 + ["failed"]

    (photos / "bad.jpg").unlink()
    status, lines, messages = colorize(photos, "--out", out, "--sidecar", "also")
    assert (status, lines) == (0, []) and "5 already there" in messages
    assert {**read_folder(out)} == {**found, "3.jpg": b"mine"}


def test_killed_processes_and_crashes_change_nothing_but_the_crashing_photo(
    tmp_path, photos, worker, cluster
):
    from colorizenet.ray.archive import Archive
    from colorizenet.ray.engine import Cluster
    from colorizenet.ray.plan import Planner
    from colorizenet.ray.stores import Folder

    marks = tmp_path / "marks"
    marks.mkdir()

    class Fragile(Worker):
        """Ends its process at photo 1 whenever, and at photo 2 and 5 the first time."""

        def __call__(self, job):
            mark = marks / job.source.name
            if job.source.name == "1.jpg":
                with mark.open("a") as file:
                    file.write("x")
                os.kill(os.getpid(), signal.SIGKILL)
            if job.source.name in ("2.jpg", "5.png") and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(job)

    out = tmp_path / "out"
    (out / ".colorizenet").mkdir(parents=True)
    results = Folder(str(out))
    archive = Archive(results, Fragile(**worker.__getstate__()))
    archive.plan(Planner(results=results).plan([str(photos)]))
    records = list(archive.run(Cluster(concurrency=2), batch_size=3))
    expected = colorize_locally([photos], tmp_path / "local", worker)
    assert read_folder(out) == {name: each for name, each in expected.items() if name != "1.jpg"}
    failed = sorted(each.reason for each in records if each.status == "failed")
    assert len(records) == 6 and len(failed) == 2
    assert "1.jpg has ended the process" in failed[0] and "bad.jpg" in failed[1]
    assert (marks / "1.jpg").read_text() == "xx"


def test_an_object_store_that_fails_now_and_then_gets_the_same_results(
    tmp_path, photos, worker, colorize, store, bucket, pack
):
    bucket.put(str(photos), "archive/scans", recursive=True)
    shard = pack(tmp_path / "x.tar", photos, sorted(photos.glob("?.jpg")))
    bucket.put_file(str(shard), "archive/scans/x.tar")
    bucket.pipe_file("archive/out/0.jpg", b"mine")
    before = store["failures"]
    status, lines, messages = colorize("s3://archive/scans", "--out", "s3://archive/out")
    assert store["failures"] > before
    assert status == 1 and "8 colorized" in messages and "1 already there" in messages
    expected = colorize_locally([photos], tmp_path / "local", worker)
    bucket.get("archive/out/", str(tmp_path / "out"), recursive=True)
    found = read_folder(tmp_path / "out")
    assert found.pop("0.jpg") == b"mine"
    with tarfile.open(tmp_path / "out" / "x.tar") as result:
        result.extractall(tmp_path / "extracted", filter="data")
    assert read_folder(tmp_path / "extracted") == {
        name: each for name, each in expected.items() if "/" not in name
    }
    del found["x.tar"], expected["0.jpg"]
    assert found == expected
    assert count_lines(messages, "s3://archive/scans/bad.jpg") == 2
    assert "s3://archive/out/sub/5.png" in lines
    assert not bucket.exists("archive/out/.colorizenet/shards")

    bucket.pipe_file("archive/scans/bad.jpg", (photos / "1.jpg").read_bytes())
    status, lines, messages = colorize("s3://archive/scans/*.jpg", "--out", "s3://archive/out")
    assert status == 0 and lines == ["s3://archive/out/bad.jpg"]


def test_a_run_whose_driver_was_killed_is_completed(tmp_path, write_photograph, worker):
    for number in range(60):
        write_photograph(tmp_path / "in" / f"{number}.jpg", number, height=300, width=400)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "colorizenet", "colorize", tmp_path / "in", "--out", out]
    command += ["--model", worker.model, "--engine", "ray", "--concurrency", "1"]
    driver = subprocess.Popen(list(map(str, command)), start_new_session=True)
    deadline = time.monotonic() + 300
    while not list(out.glob("*.jpg")) and time.monotonic() < deadline:
        assert driver.poll() is None
        time.sleep(0.02)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    done = len(list(out.glob("*.jpg")))
    assert 0 < done < 60 and not (out / "results.parquet").exists()
    again = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert 0 < len(again.stdout.splitlines()) <= 60
    others = [each for each in again.stderr.splitlines() if not each.startswith("colorizenet: ")]
    assert len(others) == 1 and "colorized in" in others[0]  # and nothing of Ray
    assert read_folder(out) == colorize_locally([tmp_path / "in"], tmp_path / "local", worker)
    assert len(pq.read_table(out / "results.parquet")) == 60


def test_ray_does_not_replace_the_handler_of_sigterm(monkeypatch):
    import ray

    from colorizenet.ray.engine import start_cluster

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(
        ray, "init", lambda **_: signal.signal(signal.SIGTERM, lambda *_: os._exit(15))
    )
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with start_cluster(), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
            time.sleep(1)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_dataset_of_a_pipeline_gets_the_same_results(tmp_path, photos, worker, cluster):
    import colorizenet.ray

    dataset = cluster.data.read_binary_files(str(photos), include_paths=True)
    rows = colorizenet.ray.colorize(dataset, worker, concurrency=1).take_all()
    expected = colorize_locally([photos], tmp_path / "local", worker)
    colored = {Path(row["path"]).name: row["colorized"] for row in rows if not row["error"]}
    assert colored == {Path(name).name: content for name, content in expected.items()}
    [failed] = [row for row in rows if row["error"]]
    assert failed["colorized"] is None and failed["path"] in failed["error"]


def test_rows_of_a_dataset_may_have_any_names_and_no_photo(photos, worker, cluster):
    import colorizenet.ray

    photo = (photos / "0.jpg").read_bytes()
    names = ["x" * 300 + ".jpg", "a\0b.jpg", "", "..", None]
    rows = [{"path": name, "bytes": photo} for name in names]
    dataset = cluster.data.from_items([*rows, {"path": "empty.jpg", "bytes": None}])
    colored = colorizenet.ray.colorize(dataset, worker, concurrency=1).take_all()
    *results, failed = sorted(colored, key=lambda row: row["bytes"] is None)
    assert {row["path"] for row in results} == set(names)
    assert len({row["colorized"] for row in results}) == 1 and results[0]["colorized"]
    assert failed["error"] == "empty.jpg has no bytes; leave out such rows"


def test_flags_of_ray_need_the_engine(tmp_path, photos, capsys):
    for arguments, message in (
        (["--concurrency", "2", photos], "--concurrency is for --engine ray"),
        (["--manifest", "x.txt", photos], "--manifest is for --engine ray"),
        (["s3://b/a.jpg"], "s3://b/a.jpg is a URL, which needs --engine ray"),
        ([photos, "--out", "s3://b/out"], "s3://b/out is a URL, which needs --engine ray"),
        (["--engine", "ray", photos, "--jobs", "2"], "--jobs is for --engine local"),
        (["--engine", "ray", photos, "--out", "a.png"], "writes into a folder"),
        (["--engine", "ray", "-"], "- is for --engine local"),
        (["--engine", "ray"], "no photo was given"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["colorize", *map(str, arguments)])
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert message in error and len(error.splitlines()) == 1


def test_a_plan_is_printed_without_a_cluster(tmp_path, photos, capsys, make_model):
    command = ["colorize", photos, "--out", tmp_path / "out", "--engine", "ray", "--dry-run"]
    with pytest.raises(SystemExit):
        main(list(map(str, [*command, "--json", "--model", make_model()])))
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(printed) == 6 and not (tmp_path / "out").exists()
    assert {"source", "target", "status"} <= printed[0].keys()


def test_hints_are_looked_up_by_the_names_of_results(tmp_path, photos, colorize, worker):
    folder = tmp_path / "hints"
    (folder / "sub").mkdir(parents=True)
    hint = {"x": 0.5, "y": 0.5, "color": "#c00000", "radius": 0.3}
    (folder / "sub" / "5.hints.json").write_text(json.dumps({"version": 1, "hints": [hint]}))
    (photos / "bad.jpg").unlink()
    status, _, _ = colorize(photos, "--out", tmp_path / "out", "--hints", folder, "--strength", 0.5)
    plain = dataclasses.replace(worker, options=Options(strength=0.5))
    expected = colorize_locally([photos], tmp_path / "local", plain)
    found = read_folder(tmp_path / "out")
    assert status == 0 and found.pop("sub/5.png") != expected.pop("sub/5.png")
    assert found == expected


EXAMPLES = Path(__file__).parents[1] / "examples" / "ray"


def test_the_examples_are_well_formed():
    import yaml

    for script in EXAMPLES.glob("*.sh"):
        subprocess.run(["bash", "-n", script], check=True)
    documents = [
        document
        for path in EXAMPLES.glob("*.yaml")
        for document in yaml.safe_load_all(path.read_text())
    ]
    assert {document["kind"] for document in documents} == {"RayJob"}
    for document in documents:
        assert "colorizenet colorize" in document["spec"]["entrypoint"]
