"""``scripts/train_default.py --smoke``: from photos to the model."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from colorizenet.modelfile import load_model
from colorizenet.training import callbacks

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_default.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_default", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_default"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["train_default"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory, write_photograph) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(40):
        write_photograph(folder / f"{number:02}.jpg", number, height=80, width=96)
    return folder


def list_times(work: Path) -> dict[str, int]:
    """When each file of the chain was written, except ``provenance.json``."""
    return {
        str(path.relative_to(work)): path.stat().st_mtime_ns
        for path in work.rglob("*")
        if path.is_file() and path.name != "provenance.json"
    }


def test_interrupted_chain_continues_and_a_finished_one_is_left(
    script, photos, tmp_path, monkeypatch
):
    work = tmp_path / "work"
    saves = 0
    save = callbacks.LastCheckpoint._save

    def interrupt(callback, trainer):
        nonlocal saves
        save(callback, trainer)
        saves += 1
        if saves == 6:  # in the middle of the second stage
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(callbacks.LastCheckpoint, "_save", interrupt)
        with pytest.raises(SystemExit) as end:
            script.main([str(photos), str(work), "--smoke"])
    assert end.value.code == 130
    first, second, third = (work / stage.name for stage in script.STAGES)
    assert (second / "last.ckpt").is_file() and not third.exists()
    assert not (work / "model.onnx").exists()
    finished = (first / "last.ckpt").stat().st_mtime_ns

    script.main([str(photos), str(work), "--smoke"])
    assert (first / "last.ckpt").stat().st_mtime_ns == finished
    record = json.loads((work / "provenance.json").read_text())
    assert [stage["name"] for stage in record["stages"]] == [each.name for each in script.STAGES]
    assert record["model"] == script.hash_file(work / "model.onnx")
    manifest = work / "shards" / "manifest.tsv"
    assert record["data"]["manifest.tsv"] == script.hash_file(manifest)
    assert len(record["data"]) >= 3
    card = load_model(work / "model.onnx").card
    assert card.pictures_seen == 16
    assert card.average_with["alpha"] == script.ALPHA
    assert card.init_from["init_from"]["recipe"] == script.STAGES[0].recipe

    before = list_times(work)
    script.main([str(photos), str(work), "--smoke"])
    assert list_times(work) == before


def test_stages_are_valid_and_start_from_earlier_ones(script, tmp_path):
    names = [stage.name for stage in script.STAGES]
    for number, stage in enumerate(script.STAGES):
        config = script.make_config(stage, tmp_path)
        assert stage.init_from in ["", *names[:number]]
        assert config.data.val_size == 160 and config.network.queries == 20
    assert script.AVERAGE_WITH in names[:-1]
    last = script.make_config(script.STAGES[-1], tmp_path)
    assert (last.loss.lpips, last.loss.delta, last.data.size) == (0.3, 10, 128)
