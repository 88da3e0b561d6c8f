"""Archives, without a cluster: which photos are colorized, what is recorded, and what a
second run does."""

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import os
import shutil
import tarfile
import zlib
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from colorizenet.batch import Worker, run_threads
from colorizenet.errors import ColorizeNetError, ConfigError, ImageError
from colorizenet.files import is_url
from colorizenet.options import Hint, Options
from colorizenet.planning import plan_jobs
from colorizenet.ray import stores
from colorizenet.ray.archive import Archive
from colorizenet.ray.plan import Planner, read_manifest
from colorizenet.ray.stores import Folder, fingerprint, open_store
from colorizenet.ray.units import Record, Unit, decode_units, encode_units
from colorizenet.ray.work import UnitWorker


class Killed(BaseException):
    """Stands for the end of a process."""


class Counting:
    """Counts attempts in this process."""

    def __init__(self):
        self.counts = Counter()

    def begin(self, name, finished=""):
        self.counts.pop(finished, None)
        self.counts[name] += 1
        return self.counts[name]


class InProcess:
    """A pool of one worker, this process. ``deaths`` lists what ended it."""

    def __init__(self):
        self.deaths = []
        self.executed = 0

    def count_workers(self):
        return 1

    def execute(self, batches, worker, results):
        attempts = Counting()
        for batch in batches:
            units = decode_units(zlib.decompress(batch))
            self.executed += len(units)
            while True:
                try:
                    yield UnitWorker(worker, results, attempts, "0")(units)
                    break
                except Killed as killed:
                    self.deaths.append(str(killed))


@pytest.fixture
def worker(make_model) -> Worker:
    return Worker(model=make_model(slope_a=0.5, slope_b=-0.5))


@pytest.fixture
def photos(tmp_path, write_photograph) -> Path:
    """A folder of three photos in two subfolders."""
    for number, name in enumerate(["a.jpg", "sub/b.jpg", "sub/c.png"]):
        write_photograph(tmp_path / "in" / name, number)
    return tmp_path / "in"


def run(
    inputs, out, worker, *, pool=None, manifest=None, batch_size=None, **settings
) -> list[Record]:
    results = Folder(str(out))
    archive = Archive(results, worker)
    archive.load()
    planner = Planner(results=results, **settings)
    archive.plan(planner.plan(list(map(str, inputs)), manifest))
    return list(archive.run(pool or InProcess(), batch_size=batch_size))


def read_folder(folder: Path) -> dict[str, bytes]:
    """The visible files of a folder, without the report."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".colorizenet" not in path.parts and path.name != "results.parquet"
    }


def colorize_locally(inputs, out, worker, **settings) -> dict[str, bytes]:
    jobs = plan_jobs(inputs, out, **settings)
    list(run_threads(jobs, dataclasses.replace(worker, journal=out)))
    return read_folder(out)


def statuses(records) -> list[tuple[str, str]]:
    return sorted((Path(record.source).name, record.status) for record in records)


@pytest.mark.parametrize("settings", [{}, {"sidecar": "also"}, {"sidecar": "only"}])
def test_results_are_those_of_one_machine(settings, tmp_path, photos, worker):
    run([photos], tmp_path / "out", worker, **settings)
    expected = colorize_locally([photos], tmp_path / "local", worker, **settings)
    assert len(expected) == (6 if settings.get("sidecar") == "also" else 3)
    assert read_folder(tmp_path / "out") == expected


def test_variants_have_a_contact_sheet(tmp_path, write_photograph, drawing_model):
    worker = Worker(model=drawing_model)
    photo = write_photograph(tmp_path / "a.jpg")
    run([photo], tmp_path / "out", worker, variants=2)
    expected = colorize_locally([photo], tmp_path / "local", worker, variants=2)
    assert sorted(expected) == ["a-1.jpg", "a-2.jpg", "a-variants.jpg"]
    assert read_folder(tmp_path / "out") == expected


def test_hints_belong_to_their_photo(tmp_path, write_photograph, worker):
    paths = [write_photograph(tmp_path / "in" / name, 1) for name in ("a.jpg", "b.jpg")]
    hint = Hint(x=0.5, y=0.5, rgb=(200, 0, 0), radius=0.3)
    results = Folder(str(tmp_path / "out"))
    archive = Archive(results, worker)
    units = list(Planner(results=results).plan(list(map(str, paths))))
    archive.plan([dataclasses.replace(units[0], hints=(hint,)), units[1]])
    list(archive.run(InProcess()))
    colored = read_folder(tmp_path / "out")
    assert colored["a.jpg"] != colored["b.jpg"]
    local = dataclasses.replace(worker, hints={paths[0]: (hint,)})
    assert colored == colorize_locally(paths, tmp_path / "local", local)


def test_a_second_run_does_only_what_is_missing_failed_or_changed(tmp_path, photos, worker):
    out = tmp_path / "out"
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff no photo")
    first = run([photos], out, worker)
    assert ("bad.jpg", "failed") in statuses(first)
    before = read_folder(out)

    shutil.copy(photos / "a.jpg", photos / "bad.jpg")  # repaired
    (out / "sub" / "b.jpg").unlink()  # missing
    os.utime(photos / "sub" / "c.png", (1, 1))  # changed
    pool = InProcess()
    second = run([photos], out, worker, pool=pool)
    assert pool.executed == 3
    assert statuses(second) == [
        ("a.jpg", "skipped"),
        ("b.jpg", "colorized"),
        ("bad.jpg", "colorized"),
        ("c.png", "colorized"),
    ]
    assert {name: content for name, content in read_folder(out).items() if name in before} == before


def test_another_option_colorizes_again(tmp_path, photos, worker):
    run([photos], tmp_path / "out", worker)
    weaker = dataclasses.replace(worker, options=Options(strength=0.5))
    assert {each.status for each in run([photos], tmp_path / "out", weaker)} == {"colorized"}
    assert read_folder(tmp_path / "out") == colorize_locally([photos], tmp_path / "local", weaker)


def test_files_of_somebody_else_are_kept(tmp_path, photos, worker):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.jpg").write_bytes(b"mine")
    records = run([photos], out, worker)
    assert ("a.jpg", "skipped") in statuses(records) and (out / "a.jpg").read_bytes() == b"mine"
    (out / "sub" / "b.jpg").write_bytes(b"retouched")
    run([photos], out, dataclasses.replace(worker, options=Options(strength=0.5)))
    assert (out / "sub" / "b.jpg").read_bytes() == b"retouched"
    run([photos], out, dataclasses.replace(worker, overwrite=True))
    assert (out / "a.jpg").read_bytes() != b"mine"


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("mine", ["a.jpg", "a.jpg.colors.json"])
def test_a_file_of_somebody_else_does_not_keep_the_others_from_being_written(
    mine, remote, tmp_path, photos, worker, memory
):
    local = tmp_path / "local"
    out = "memory://archive/out" if remote else str(tmp_path / "out")
    results = Folder(out)
    local.mkdir()
    (local / mine).write_bytes(b"mine")
    results.write(mine, b"mine")
    jobs = plan_jobs([photos / "a.jpg"], local, sidecar="also")
    [done] = run_threads(jobs, dataclasses.replace(worker, journal=local))
    [other] = {path.name for path in jobs[0].files} - {mine}

    [record] = run([photos / "a.jpg"], out, worker, sidecar="also")
    assert record.status == "colorized" and record.kept == (mine,)
    assert [each.replace(out, str(local)) for each in record.warnings] == list(done.warnings)
    for name in (mine, other):
        assert results.read(name) == (local / name).read_bytes()

    pool = InProcess()
    for _ in range(2):
        [record] = run([photos / "a.jpg"], out, worker, pool=pool, sidecar="also")
        assert record.status == "skipped" and pool.executed == 0
    results.remove([other])
    [record] = run([photos / "a.jpg"], out, worker, sidecar="also")
    assert record.status == "colorized" and results.read(mine) == b"mine"
    results.remove([mine])
    [record] = run([photos / "a.jpg"], out, worker, sidecar="also")
    assert record.status == "colorized" and not record.kept
    [record] = run([photos / "a.jpg"], out, worker, pool=pool, sidecar="also")
    assert record.status == "skipped" and pool.executed == 0


def test_engines_take_over_from_each_other(tmp_path, photos, worker):
    out = tmp_path / "out"
    colorize_locally([photos], out, worker)
    pool = InProcess()
    run([photos], out, worker, pool=pool)
    assert pool.executed == 0
    (out / "a.jpg").unlink()
    run([photos], out, worker, pool=pool)
    assert pool.executed == 1
    jobs = plan_jobs([photos], out)
    done = list(run_threads(jobs, dataclasses.replace(worker, journal=out)))
    assert [each.skipped for each in done] == ["exists"] * 3


def test_photos_in_color_are_not_opened_twice(tmp_path, photos, worker):
    skipping = dataclasses.replace(worker, skip_color=True)
    first, second = InProcess(), InProcess()
    assert {each.reason for each in run([photos], tmp_path / "out", skipping, pool=first)} == {
        "in color"
    }
    assert {each.reason for each in run([photos], tmp_path / "out", skipping, pool=second)} == {
        "in color"
    }
    assert (first.executed, second.executed) == (3, 0)
    assert {each.status for each in run([photos], tmp_path / "out", worker)} == {"colorized"}


def test_the_report_describes_every_photo(tmp_path, photos, worker):
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff no photo")
    (photos / "sub" / "c.png").rename(photos / os.fsdecode(b"caf\xe9.png"))
    out = tmp_path / "out"
    run([photos], out, worker)
    rows = {row["result"]: row for row in pq.read_table(out / "results.parquet").to_pylist()}
    assert len(rows) == 4 and r"caf\udce9.png" in rows
    row = rows["sub/b.jpg"]
    assert row["source"] == str(photos / "sub" / "b.jpg") and row["status"] == "colorized"
    for column, path in (("source", photos / "sub" / "b.jpg"), ("result", out / "sub" / "b.jpg")):
        assert row[f"{column}_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert row["model_sha256"] == worker.colorizer.sha256 and row["seconds"] > 0
    assert json.loads(row["options"])["strength"] == 1.0
    assert rows[None]["status"] == "failed" and "bad.jpg" in rows[None]["reason"]
    assert not list((out / ".colorizenet" / "shards").iterdir())
    assert not (out / ".colorizenet" / "work").exists()


def test_a_table_of_somebody_else_is_not_replaced(tmp_path, photos, worker):
    (tmp_path / "out").mkdir()
    pq.write_table(pa.table({"x": [1]}), tmp_path / "out" / "results.parquet")
    with pytest.raises(ConfigError, match="no report of this tool"):
        run([photos], tmp_path / "out", worker)


B_FAILED = [("a.jpg", "colorized"), ("b.jpg", "failed"), ("c.png", "colorized")]


def make_fragile(worker: Worker, name: str, times: int = 1 << 30) -> Worker:
    """A worker whose process ends at the photo ``name``, the first ``times``."""
    left = [times]

    class Fragile(Worker):
        def __call__(self, job):
            if job.source.name == name and left[0] > 0:
                left[0] -= 1
                raise Killed(name)
            return super().__call__(job)

    return Fragile(**worker.__getstate__())


def test_a_photo_that_is_moved_away_after_it_was_read_fails_alone(tmp_path, photos, worker):
    class MovingWorker(Worker):
        def __call__(self, job):
            done = super().__call__(job)
            if job.source.name == "a.jpg":
                job.source.rename(tmp_path / "moved.jpg")
            return done

    moving = MovingWorker(**worker.__getstate__())
    records = run([photos], tmp_path / "out", moving)
    assert statuses(records) == [
        ("a.jpg", "failed"),
        ("b.jpg", "colorized"),
        ("c.png", "colorized"),
    ]
    assert any("a.jpg cannot be read any more" in record.reason for record in records)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_photo_that_ends_the_process_fails_alone(batch_size, tmp_path, photos, worker):
    pool = InProcess()
    fragile = make_fragile(worker, "b.jpg")
    records = run([photos], tmp_path / "out", fragile, pool=pool, batch_size=batch_size)
    assert statuses(records) == [
        ("a.jpg", "colorized"),
        ("b.jpg", "failed"),
        ("c.png", "colorized"),
    ]
    assert pool.deaths == ["b.jpg", "b.jpg"]
    [failed] = [each for each in records if each.status == "failed"]
    assert str(photos / "sub" / "b.jpg") in failed.reason and "ended the process" in failed.reason
    assert len(read_folder(tmp_path / "out")) == 2


def test_a_process_that_ends_once_changes_nothing(tmp_path, photos, worker):
    fragile = make_fragile(worker, "c.png", times=1)
    records = run([photos], tmp_path / "out", fragile, batch_size=3)
    assert {each.status for each in records} == {"colorized"}
    assert read_folder(tmp_path / "out") == colorize_locally([photos], tmp_path / "local", worker)


def test_a_run_whose_driver_was_killed_is_completed(tmp_path, photos, worker):
    out = tmp_path / "out"

    class Stopped(InProcess):
        def execute(self, batches, worker, results):
            yield from list(super().execute(batches[:2], worker, results))[:1]
            raise Killed

    with pytest.raises(Killed):
        run([photos], out, worker, pool=Stopped())
    assert not (out / "results.parquet").exists()
    pool = InProcess()
    run([photos], out, worker, pool=pool)
    assert pool.executed == 1
    assert read_folder(out) == colorize_locally([photos], tmp_path / "local", worker)


def test_shards_become_shards(tmp_path, photos, worker, pack):
    (photos / "notes.txt").write_text("kept")
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff no photo")
    files = sorted(path for path in photos.rglob("*") if path.is_file())
    shard = pack(tmp_path / "shards" / "x" / "one.tar", photos, files)
    records = run([shard.parents[1]], tmp_path / "out", worker, sidecar="also")
    assert statuses(records) == [
        ("a.jpg", "colorized"),
        ("b.jpg", "colorized"),
        ("bad.jpg", "failed"),
        ("c.png", "colorized"),
    ]
    with tarfile.open(tmp_path / "out" / "x" / "one.tar") as result:
        result.extractall(tmp_path / "extracted", filter="data")
    expected = colorize_locally([photos], tmp_path / "local", worker, sidecar="also")
    assert read_folder(tmp_path / "extracted") == expected | {"notes.txt": b"kept"}
    [failed] = [each for each in records if each.status == "failed"]
    assert f"{shard}/bad.jpg" in failed.reason and str(tmp_path / "out") not in failed.reason
    # One that has a failure is tried again, and one without is not.
    pool = InProcess()
    run([shard.parents[1]], tmp_path / "out", worker, sidecar="also", pool=pool)
    assert pool.executed == 1
    whole = pack(tmp_path / "shards" / "x" / "one.tar", photos, [photos / "a.jpg"])
    run([whole], tmp_path / "other", worker)
    run([whole], tmp_path / "other", worker, pool=(again := InProcess()))
    assert again.executed == 0


def test_the_number_of_photos_is_not_known_where_there_are_shards(tmp_path, photos, worker, pack):
    pack(tmp_path / "shards" / "x.tar", photos, [photos / "a.jpg", photos / "sub" / "b.jpg"])
    results = Folder(str(tmp_path / "out"))
    for folder, has_shards in ((photos, False), (tmp_path / "shards", True)):
        archive = Archive(results, worker)
        archive.plan(Planner(results=results).plan([str(folder)]))
        assert archive.has_shards == has_shards


def test_a_damaged_shard_fails_alone(tmp_path, photos, worker, pack):
    shard = pack(tmp_path / "cut.tar", photos, [photos / "a.jpg"])
    shard.write_bytes(shard.read_bytes()[:700])
    records = run([shard, photos], tmp_path / "out", worker)
    assert ("cut.tar", "failed") in statuses(records) and len(records) == 4
    assert not (tmp_path / "out" / "cut.tar").exists()


def test_a_photo_inside_a_shard_that_ends_the_process_fails_alone(tmp_path, photos, worker, pack):
    files = sorted(path for path in photos.rglob("*") if path.is_file())
    shard = pack(tmp_path / "one.tar", photos, files)
    records = run([shard], tmp_path / "out", make_fragile(worker, "b.jpg"))
    assert statuses(records) == [
        ("a.jpg", "colorized"),
        ("b.jpg", "failed"),
        ("c.png", "colorized"),
    ]


@pytest.mark.parametrize("ending", ["txt", "csv", "parquet"])
def test_manifests_name_photos(ending, tmp_path, photos, worker):
    manifest = tmp_path / f"files.{ending}"
    rows = [(str(photos / "a.jpg"), ""), (str(photos / "sub" / "c.png"), "x/renamed.png")]
    if ending == "txt":
        manifest.write_text("".join(f"{source}\n\n" for source, _ in rows))
    elif ending == "csv":
        with manifest.open("w", newline="") as file:
            csv.writer(file).writerows(
                [("number", "source", "target"), *((1, *row) for row in rows)]
            )
    else:
        sources, targets = zip(*rows, strict=True)
        pq.write_table(pa.table({"path": sources, "target": targets}), manifest)
    run([], tmp_path / "out", worker, manifest=str(manifest))
    below = photos.as_posix().lstrip("/")
    second = f"{below}/sub/c.png" if ending == "txt" else "x/renamed.png"
    assert sorted(read_folder(tmp_path / "out")) == sorted([f"{below}/a.jpg", second])


def test_manifests_that_cannot_be_used_are_explained(tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("../a.jpg\n")
    twice = tmp_path / "twice.csv"
    twice.write_text("source,target\na.jpg,x.jpg\nb.jpg,x.jpg\n")
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("name,size\na,1\n")
    planner = Planner(results=Folder(str(tmp_path / "out")))
    for manifest, message in (
        (outside, "outside of the folder"),
        (twice, "same result"),
        (wrong, "expected one of source"),
        (tmp_path / "none.txt", "cannot be read"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=message):
            list(planner.plan([], str(manifest)))
    strange = tmp_path / "files.xml"
    strange.write_text("x")
    with pytest.raises(ConfigError, match=r"expected \.parquet, \.csv or \.txt"):
        list(read_manifest(str(strange)))


@pytest.fixture
def memory(photos, worker):
    """A store in this process, with the photos in memory://in."""
    files, _ = open_store("memory://")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    files.put(f"{photos}/", "/in/", recursive=True)
    yield files
    files.store.clear()


def read_store(files, folder: str) -> dict[str, bytes]:
    names = [name.removeprefix(f"{folder}/") for name in files.find(folder)]
    return {
        name: files.cat_file(f"{folder}/{name}")
        for name in names
        if not name.startswith(".colorizenet/") and name != "results.parquet"
    }


@pytest.mark.parametrize("inputs", ["memory://in", "memory://in/**/*.*"])
def test_stores_get_the_results_of_one_machine(inputs, tmp_path, photos, worker, memory):
    memory.pipe_file("/out/a.jpg", b"mine")
    records = run([inputs], "memory://out", worker)
    assert dict(statuses(records)) == {
        "a.jpg": "skipped",
        "b.jpg": "colorized",
        "c.png": "colorized",
    }
    expected = colorize_locally([photos], tmp_path / "local", worker)
    found = read_store(memory, "/out")
    assert found.pop("a.jpg") == b"mine"
    assert found == {name: each for name, each in expected.items() if name != "a.jpg"}
    pool = InProcess()
    run([inputs], "memory://out", worker, pool=pool)
    assert pool.executed == 0
    memory.rm_file("/out/sub/b.jpg")
    run([inputs], "memory://out", worker, pool=pool)
    assert pool.executed == 1 and read_store(memory, "/out") == {**found, "a.jpg": b"mine"}


def test_an_object_of_equal_size_does_not_count_as_the_new_result(
    tmp_path, photos, worker, memory, monkeypatch
):
    def stop(self, temporary, name):
        memory.pipe_file(f"/out/{name}", bytes(temporary.stat().st_size))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Folder, "publish", stop)  # as if an earlier object were still there
        run(["memory://in"], "memory://out", worker)
    pool = InProcess()
    run(["memory://in"], "memory://out", worker, pool=pool)
    assert pool.executed == 3
    assert read_store(memory, "/out") == colorize_locally([photos], tmp_path / "local", worker)
    run(["memory://in"], "memory://out", worker, pool=pool)
    assert pool.executed == 3


@pytest.mark.parametrize("interrupted", [True, False])
def test_results_of_a_unit_that_fails_afterwards_are_still_its_own(
    interrupted, photos, worker, memory, monkeypatch
):
    def stop(self, temporary, name):
        memory.put_file(str(temporary), f"/out/{name}")
        if interrupted:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(Folder, "publish", stop)
        run(["memory://in"], "memory://out", worker)
    other = dataclasses.replace(worker, options=Options(strength=0.5))
    with monkeypatch.context() as patch:
        patch.setattr(stores, "_PAUSES", ())
        patch.setattr(memory, "get_file", lambda *_: 1 / 0)
        records = run(["memory://in"], "memory://out", other)
        assert {each.status for each in records} == {"failed"}
    for _ in range(2):  # with the records in shards, and in the report
        records = run(["memory://in"], "memory://out", other)
    assert {(each.status, each.result is None) for each in records} == {("skipped", False)}


@pytest.mark.parametrize("request_name", ["cat_file", "ls", "info"])
def test_a_store_that_refuses_is_one_line(request_name, worker, memory, monkeypatch):
    def refuse(*_args, **_settings):
        raise RuntimeError("An error occurred (403):\nForbidden")

    monkeypatch.setattr(stores, "_PAUSES", ())
    monkeypatch.setattr(memory, request_name, refuse)
    with pytest.raises(ColorizeNetError, match=r"^memory://[^\n]* cannot be [^\n]*Forbidden"):
        run(["memory://in"], "memory://out", worker)


def test_results_of_a_unit_that_was_written_in_part_are_its_own(
    write_photograph, tmp_path, drawing_model, monkeypatch
):
    write_photograph(tmp_path / "in" / "a.jpg")
    publish, out = Folder.publish, tmp_path / "out"

    def fail_once(self, temporary, name):
        if name == "a-2.jpg":
            raise ImageError("the disk is full")
        publish(self, temporary, name)

    monkeypatch.setattr(Folder, "publish", fail_once)
    worker = Worker(model=drawing_model)
    [record] = run([tmp_path / "in"], out, worker, variants=3)
    assert (record.status, record.reason) == ("failed", "the disk is full")
    assert [path.name for path in out.glob("*.jpg")] == ["a-1.jpg"]
    monkeypatch.undo()
    [record] = run([tmp_path / "in"], out, worker, variants=3)
    assert record.status == "colorized"
    assert read_folder(out) == colorize_locally(
        [tmp_path / "in"], tmp_path / "local", worker, variants=3
    )


def test_photos_of_a_manifest_in_a_store_are_compared_by_their_workers(tmp_path, worker, memory):
    manifest = tmp_path / "files.txt"
    manifest.write_text("memory://in/a.jpg\nmemory://in/sub/b.jpg\nmemory://in/none.jpg\n")
    first = run([], "memory://out", worker, manifest=str(manifest))
    assert [each.status for each in first] == ["colorized", "colorized", "failed"]
    assert "memory://in/none.jpg does not exist" in first[2].reason
    memory.pipe_file("/in/a.jpg", memory.cat_file("/in/sub/b.jpg"))
    second = run([], "memory://out", worker, manifest=str(manifest))
    assert [each.status for each in second] == ["colorized", "skipped", "failed"]
    rows = pq.read_table(io.BytesIO(memory.cat_file("/out/results.parquet"))).to_pylist()
    assert sorted(row["status"] for row in rows) == ["colorized", "colorized", "failed"]


def test_a_pattern_gives_photos_of_one_folder_different_results(memory):
    names = ["a/scan.jpg", "a/scan.old/x.jpg", "a/scan.png"]  # as a store sorts them
    for name in names:
        memory.pipe_file(f"/photos/{name}", b"")
    planner = Planner(results=Folder("memory://out"), format="jpeg")
    results = [unit.name for unit in planner.plan(["memory://photos/**"])]
    assert len(results) == len(set(results)) == 3


def test_sources_of_too_many_bytes_fail_alone(worker, memory):
    units = [Unit(source="memory://in/a.jpg", targets=("a.jpg",), size=size) for size in (-1, 3000)]
    work = UnitWorker(worker, Folder("memory://out"), Counting(), "0", max_bytes=100)
    for unit in units:
        [record] = work([unit])
        assert record.status == "failed" and "at most 100 are read" in record.reason


def test_a_name_with_another_ending_than_its_content_gets_one_more(worker, memory):
    memory.pipe_file("/in/a.jpg", memory.cat_file("/in/sub/c.png"))
    [record] = run(["memory://in/a.jpg"], "memory://out", worker)
    assert record.result == "a.jpg.png" and record.source.endswith("in/a.jpg")
    pool = InProcess()
    run(["memory://in/a.jpg"], "memory://out", worker, pool=pool)
    assert pool.executed == 0


def test_a_file_of_somebody_else_is_kept_where_the_name_is_found_late(worker, memory):
    memory.pipe_file("/late/photo.jpg", memory.cat_file("/in/sub/c.png"))
    memory.pipe_file("/out/photo.jpg.png", b"mine")
    pool = InProcess()
    for executed in (1, 1):
        [record] = run(["memory://late"], "memory://out", worker, pool=pool)
        assert (record.status, record.kept) == ("skipped", ("photo.jpg.png",))
        assert memory.cat_file("/out/photo.jpg.png") == b"mine" and pool.executed == executed
    [record] = run(["memory://late"], "memory://out", dataclasses.replace(worker, overwrite=True))
    assert record.status == "colorized"
    other = dataclasses.replace(worker, options=Options(strength=0.5))
    [record] = run(["memory://late"], "memory://out", other)
    assert record.status == "colorized" and not record.kept


def test_folders_are_planned_as_on_one_machine(tmp_path, write_photograph):
    for number, name in enumerate(["a.jpg", "a.png", "s/a.jpg", "s/t/b.jpg", "empty/x.txt"]):
        if name.endswith("txt"):
            (tmp_path / "in" / "empty").mkdir()
        else:
            write_photograph(tmp_path / "in" / name, number)
    for inputs, settings in (
        ([tmp_path / "in"], {"format": "png"}),
        ([tmp_path / "in"], {"suffix": "-color"}),
        ([tmp_path / "in" / "s", tmp_path / "in" / "a.jpg"], {}),
        ([tmp_path / "in" / "s"], {}),
    ):
        out = tmp_path / "out"
        units = Planner(results=Folder(str(out)), **settings).plan(list(map(str, inputs)))
        jobs = plan_jobs(inputs, out, **settings)
        planned = sorted((unit.source, unit.targets) for unit in units)
        assert planned == sorted(
            (str(job.source), (job.target.relative_to(out).as_posix(),)) for job in jobs
        )


def test_results_never_replace_their_sources(tmp_path, photos, pack):
    shard = pack(tmp_path / "one.tar", photos, [photos / "a.jpg"])
    with pytest.raises(ConfigError, match="replaced by its result"):
        list(Planner(results=Folder(str(tmp_path))).plan([str(shard)]))


def test_a_manifest_cannot_name_a_result_as_its_source(tmp_path, photos):
    manifest = tmp_path / "photos.csv"
    (tmp_path / "in" / "x").mkdir()
    sources = (photos / "x" / ".." / "a.jpg", f"file://{photos}/a.jpg")
    for source in sources:
        manifest.write_text(f"source,target\n{source},a.jpg\n")
        with pytest.raises(ConfigError, match="replaced by its result"):
            list(Planner(results=Folder(str(photos))).plan([], str(manifest)))


def test_shards_of_one_name_are_not_one_result(tmp_path, photos, pack):
    shards = [pack(tmp_path / name / "x.tar", photos, [photos / "a.jpg"]) for name in "ab"]
    with pytest.raises(ConfigError, match="have the same result"):
        list(Planner(results=Folder(str(tmp_path / "out"))).plan(list(map(str, shards))))


def test_photos_of_two_folders_do_not_share_a_result(tmp_path, photos, write_photograph, worker):
    out = tmp_path / "out"
    run([photos / "a.jpg"], out, worker)
    before = read_folder(out)
    other = tmp_path / "other" / "a.jpg"
    write_photograph(other, 7)
    [record] = run([other], out, worker)
    assert record.status == "failed" and f"is the result of {photos / 'a.jpg'}" in record.reason
    local = run_threads(plan_jobs([other], out), dataclasses.replace(worker, journal=out))
    assert [bool(done.error) for done in local] == [True]
    assert read_folder(out) == before
    [record] = run([other], out, dataclasses.replace(worker, overwrite=True))
    assert record.status == "colorized" and read_folder(out) != before


def test_a_shard_does_not_replace_the_result_of_another(tmp_path, photos, worker, pack):
    out = tmp_path / "out"
    first, other = (
        pack(tmp_path / folder / "x.tar", photos, [photos / name])
        for folder, name in [("one", "a.jpg"), ("two", "sub/b.jpg")]
    )
    run([first], out, worker)
    before = read_folder(out)
    [record] = run([other], out, worker)
    assert record.status == "failed" and f"is the result of {first};" in record.reason
    assert read_folder(out) == before
    [record] = run([first], out, worker)
    assert record.status == "skipped"
    first.unlink()
    [record] = run([other], out, worker)
    assert record.status == "colorized" and read_folder(out) != before


def test_a_result_whose_rename_was_lost_is_made_again(tmp_path, photos, worker):
    out, other = tmp_path / "out", dataclasses.replace(worker, options=Options(strength=0.5))
    run([photos], out, worker)
    old = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.glob("*.jpg")}
    run([photos], out, other)
    for path, (content, time) in old.items():  # as if the second run had ended before
        path.write_bytes(content)
        os.utime(path, ns=(time, time))
    assert {record.status for record in run([photos], out, other)} == {"colorized", "skipped"}
    assert read_folder(out) == colorize_locally([photos], tmp_path / "local", other)


@pytest.mark.parametrize("more", [{"variants": 2}, {"sidecar": "only"}])
def test_members_of_a_tar_have_names_of_their_own(
    more, tmp_path, write_photograph, drawing_model, pack
):
    folder = tmp_path / "in"
    for number, name in enumerate(["x.png", "x.tif"]):
        write_photograph(folder / name, number)
    shard = pack(tmp_path / "one.tar", folder, sorted(folder.iterdir()))
    run([shard], tmp_path / "out", Worker(model=drawing_model), format="jpeg", **more)
    with tarfile.open(tmp_path / "out" / "one.tar") as result:
        names = result.getnames()
    assert len(names) == len(set(names)) == (6 if "variants" in more else 2)


def test_units_survive_their_encoding():
    hint = Hint(x=0.25, y=0.5, rgb=(1, 2, 3))
    units = [
        Unit(source="s3://b/a.jpg", targets=("a-1.jpg", "a-2.jpg"), hints=(hint,), size=3),
        Unit(source="caf\udce9.jpg", targets=("caf\udce9.jpg",), sidecar="only"),
    ]
    assert decode_units(encode_units(units)) == units


def test_urls_are_recognized():
    assert is_url("s3://bucket/a.jpg") and is_url("abfs://x/y")
    assert not any(map(is_url, ["a.jpg", "/a/b", r"C:\a", "c://x", "a:b"]))
    with pytest.raises(ConfigError, match="fsspec"):
        open_store("nowhere://bucket/a.jpg")
    with pytest.raises(ConfigError, match="password") as error:
        open_store("ftp://me:secret@host/a.jpg")
    assert "secret" not in str(error.value)


def test_fingerprints_differ_between_contents():
    one, other = {"size": 3, "ETag": "a"}, {"size": 3, "ETag": "b"}
    assert fingerprint(one) != fingerprint(other) == fingerprint(dict(other))
