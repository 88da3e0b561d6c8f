"""The modules of the page that know nothing about the document, run in the browser."""

import base64
import io
import json
import shlex
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

FAKE_ENGINE = Path(__file__).with_name("fake_engine.js")


@pytest.fixture
def run(visit) -> Any:
    """Run JavaScript that may import the modules of the page, and return its result."""
    page: Page = visit()

    def run(script: str, argument: Any = None) -> Any:
        return page.evaluate(f"async (argument) => {{ {script} }}", argument)

    return run


def run_jobs(run: Any, script: str) -> Any:
    """Run JavaScript with ``jobs``, and an ``engine`` and a ``store`` that record what
    happens."""
    return run(f"{FAKE_ENGINE.read_text()}\n{script}")


def test_two_photos_are_colorized_at_once_in_order(run):
    states = run_jobs(
        run,
        """
        jobs.add(makeFiles("a", "b", "c"));
        await settle();
        const first = listStates();
        engine.finish("b");
        await settle();
        return [first, listStates()];
        """,
    )
    assert states == [
        ["a coloring", "b coloring", "c waiting"],
        ["a coloring", "b done", "c coloring"],
    ]


def test_what_is_stopped_or_removed_ends_in_the_engine_too(run):
    result = run_jobs(
        run,
        """
        const [a, b, c, d] = jobs.add(makeFiles("a", "b", "c", "d"));
        await settle();
        jobs.stop(a.id);
        jobs.remove([b.id]);
        jobs.stop(d.id);
        await settle();
        engine.finish("c");
        await settle();
        const stopped = listStates();
        jobs.retry(d.id);
        jobs.continueAll();
        await settle();
        return [engine.aborted, stopped, listStates()];
        """,
    )
    assert result == [
        ["a", "b", "d"],
        ["a stopped", "c done", "d stopped"],
        ["a coloring", "c done", "d coloring"],
    ]


def test_a_failure_keeps_its_reason_and_does_not_stop_the_others(run):
    result = run_jobs(
        run,
        """
        const [a] = jobs.add(makeFiles("a", "b", "c"));
        await settle();
        engine.fail("a", "damaged", "It is damaged.");
        engine.finish("b");
        await settle();
        engine.finish("c");
        await settle();
        return [listStates(), a.fault, jobs.count()];
        """,
    )
    assert result == [
        ["a failed", "b done", "c done"],
        {"code": "damaged", "message": "It is damaged.", "values": {}},
        {"total": 3, "done": 2, "failed": 1, "stopped": 0, "pending": 0},
    ]


def test_changed_settings_retry_photos_that_failed_because_of_the_settings(run):
    states = run_jobs(
        run,
        """
        jobs.add(makeFiles("deep", "damaged"));
        await settle();
        engine.fail("deep", "unwritable", "JPEG holds 8 bits.");
        engine.fail("damaged", "damaged", "It is damaged.");
        await settle();
        jobs.setDefaults({ format: "png" });
        await settle();
        engine.finish("deep");
        await settle();
        return listStates();
        """,
    )
    assert states == ["deep done", "damaged failed"]


def test_changed_settings_replace_a_result_only_by_the_new_one(run):
    result = run_jobs(
        run,
        """
        const [a, b] = jobs.add(makeFiles("a", "b"));
        await settle();
        engine.finish("a");
        engine.finish("b");
        await settle();
        jobs.apply(b.id, { ...jobs.defaults, strength: 0.5 });
        await settle();
        engine.finish("b");
        await settle();
        jobs.setDefaults({ strength: 2 });
        await settle();
        const meanwhile = [...listStates(), a.result.settings.strength];
        engine.finish("a");
        await settle();
        return [meanwhile, a.result.settings.strength, b.result.settings.strength];
        """,
    )
    assert result == [["a coloring", "b done", 1], 2, 0.5]


def test_small_pictures_belong_to_the_result_that_they_show(run):
    result = run_jobs(
        run,
        """
        const [a] = jobs.add(makeFiles("a"));
        await settle();
        engine.finish("a");
        await settle();
        const old = a.result;
        jobs.setDefaults({ strength: 0 });
        await settle();
        engine.finish("a");
        await settle();
        const pictures = { before: new Blob(["b"]), after: new Blob(["a"]) };
        jobs.keepPictures(a, old, pictures);
        const late = a.result.pictures;
        jobs.keepPictures(a, a.result, pictures);
        return [late ?? null, a.result.pictures === pictures, a.result.settings.strength];
        """,
    )
    assert result == [None, True, 0]


def test_photos_wait_for_an_engine_that_does_not_answer(run):
    result = run_jobs(
        run,
        """
        const connections = [];
        jobs.addEventListener("connection", (event) => connections.push(event.detail));
        jobs.add(makeFiles("a", "b"));
        await settle();
        engine.reachable = false;
        engine.fail("a", "network", "It does not answer.");
        engine.fail("b", "network", "It does not answer.");
        await settle(100);
        const meanwhile = listStates();
        engine.reachable = true;
        await settle(300);
        const then = listStates();
        engine.fail("a", "network", "It does not answer.");
        await settle(100);
        return [meanwhile, then, listStates(), connections];
        """,
    )
    assert result == [
        ["a waiting", "b waiting"],
        ["a coloring", "b coloring"],
        ["a failed", "b coloring"],  # it fails again though the engine answers
        [False, True],
    ]


def test_a_photo_that_is_retried_while_its_file_is_checked_is_colorized_once(run):
    counts = run_jobs(
        run,
        """
        const { colorize } = engine;
        let count = 0;
        engine.colorize = (...given) => (count++, colorize(...given));
        const [found] = makeFiles("a");
        let answer = () => {};
        const slow = new Promise((resolve) => (answer = resolve));
        found.file.slice = () => ({ arrayBuffer: () => slow }); // on a slow drive
        const [a] = jobs.add([found]);
        await settle();
        engine.fail("a", "network", "It does not answer.");
        await settle();
        jobs.stop(a.id);
        jobs.retry(a.id);
        await settle();
        const retried = count;
        answer(new ArrayBuffer(1));
        await settle(200);
        return [retried, count, listStates()];
        """,
    )
    assert counts == [2, 2, ["a coloring"]]


def test_interrupted_jobs_start_again_after_a_restart(run):
    result = run_jobs(
        run,
        """
        const [, b] = jobs.add(makeFiles("a", "b", "c", "d"));
        await settle();
        engine.finish("a");
        await settle();
        jobs.stop(b.id);
        await settle();
        const stored = [...store.jobs.values()];
        const again = new Jobs(engine, store);
        again.restore(stored, { strength: 0.5 });
        await settle();
        const [{ id }] = again.add(makeFiles("e"));
        return [
          again.all.map(({ path, state }) => `${path} ${state}`),
          again.defaults.strength,
          Math.max(...again.all.map(({ order }) => order)) === again.get(id).order,
        ];
        """,
    )
    assert result == [
        ["a done", "b stopped", "c coloring", "d coloring", "e waiting"],
        0.5,
        True,
    ]


@pytest.mark.parametrize(
    ("path", "settings", "words"),
    [
        ("a.jpg", {}, ["a.jpg"]),
        ("-a.jpg", {"strength": 0.85}, ["./-a.jpg", "--strength", "0.85"]),
        ("o'hara $1.jpg", {"tta": True}, ["o'hara $1.jpg", "--tta"]),
        ("x/ü b.jpg", {"model": "my model"}, ["x/ü b.jpg", "--model", "my model"]),
        (
            "a.tif",
            {"format": "png", "variants": 4, "variant": 3, "seed": 7},
            ["a.tif", "--format", "png", "--variants", "4", "--seed", "7"],
        ),
    ],
)
def test_the_command_line_is_quoted_for_the_shell(run, path, settings, words):
    job = {"path": path, "result": {"format": "png", "settings": settings}}
    command = run(
        """
        const { describeCommand } = await import("./jobs.js");
        const defaults = { model: null, strength: 1, format: null, hints: [] };
        argument.result.settings = { ...defaults, ...argument.result.settings };
        return describeCommand(argument);
        """,
        job,
    )
    assert shlex.split(command) == ["colorizenet", "colorize", *words]


@pytest.mark.parametrize(
    ("path", "format", "settings", "name"),
    [
        ("a.JPEG", "jpeg", {}, "a.JPEG"),
        ("x/a.jpg", "png", {}, "x/a.png"),
        ("no extension", "tiff", {}, "no extension.tif"),
        ("a.b.tiff", "tiff", {"variants": 4, "variant": 3}, "a.b-3.tiff"),
        (".hidden", "png", {}, ".hidden.png"),
    ],
)
def test_results_are_named_as_the_command_line_names_them(run, path, format, settings, name):
    job = {"path": path, "result": {"format": format, "settings": settings}}
    script = 'return (await import("./commands.js")).nameResult(argument);'
    assert run(script, job) == name


def pack(run: Any, files: str) -> bytes:
    """The archive of an array of files."""
    return bytes(
        run(
            f"""
            const {{ writeZip }} = await import("./zip.js");
            const archive = await writeZip({files});
            return [...new Uint8Array(await archive.arrayBuffer())];
            """
        )
    )


def test_archives_hold_names_contents_and_times(run):
    archive = pack(
        run,
        """[
          { name: "été/人.jpg", blob: new Blob([new Uint8Array(70_001).map((_, i) => i * i)]),
            modified: new Date(2001, 1, 3, 4, 5, 6) },
          { name: "empty", blob: new Blob([]), modified: new Date(1970, 0, 1) },
        ]""",
    )
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        assert file.testzip() is None
        first, second = file.infolist()
        assert first.filename == "été/人.jpg" and first.date_time == (2001, 2, 3, 4, 5, 6)
        assert file.read(first) == bytes(i * i % 256 for i in range(70_001))
        assert second.file_size == 0 and second.date_time[0] == 1980


def test_archives_hold_more_files_than_the_old_format(run):
    archive = run(
        """
        const { joinFiles } = await import("./zip.js");
        const blob = new Blob([]); // many blobs with content would make the test slow
        const indices = [...Array(65_600).keys()];
        const archive = joinFiles(indices.map((index) => ({ name: `${index}`, blob, crc: 0 })));
        const bytes = new Uint8Array(await archive.arrayBuffer());
        let text = "";
        for (let at = 0; at < bytes.length; at += 8192) {
          text += String.fromCharCode(...bytes.subarray(at, at + 8192));
        }
        return btoa(text);
        """
    )
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))) as file:
        assert len(file.infolist()) == 65_600
        assert file.testzip() is None


def test_hints_are_written_as_the_command_line_reads_them(run):
    hints = [
        {"x": 0.25, "y": 0.5, "color": None},
        {"x": 1, "y": 0, "color": "#112233", "radius": 0.1},
    ]
    text = run(
        'return (await import("./commands.js")).writeHints(argument).text();', {"hints": hints}
    )
    assert json.loads(text) == {
        "version": 1,
        "hints": [
            {"x": 0.25, "y": 0.5, "color": "neutral"},
            {"x": 1, "y": 0, "color": "#112233", "radius": 0.1},
        ],
    }


def test_a_model_that_only_draws_for_another_one_is_no_choice(run):
    choices, names = run(
        """
        const { findModel, selectChoices } = await import("./modelinfo.js");
        const choices = selectChoices(argument);
        const found = ["small", null, "diverse"].map((name) => findModel(choices, name));
        return [choices.map(({ name }) => name), found.map((each) => each?.name ?? null)];
        """,
        [
            {"name": "small", "default": False, "drawsFor": None},
            {"name": "default", "default": True, "drawsFor": None},
            {"name": "diverse", "default": False, "drawsFor": "default"},
        ],
    )
    assert choices == ["small", "default"]
    assert names == ["small", "default", None]


def test_colors_are_named_by_hue_strength_and_lightness(run):
    names = {
        "#3050c0": "vivid blue",
        "#0000ff": "vivid blue",
        "#000080": "vivid blue",
        "#87ceeb": "blue",
        "#800080": "vivid purple",
        "#6a5acd": "vivid purple",
        "#8a2be2": "vivid purple",
        "#ff0000": "vivid red",
        "#3e4a63": "grayish blue",
        "#c8d0e0": "pale blue",
        "#654321": "brown",
        "#808080": "gray",
        "#ffffff": "white",
    }
    found = run(
        """
        const { describeColor } = await import("./editor/popover.js");
        const { t } = await import("./strings.js");
        return argument.map((color) => describeColor(t, color));
        """,
        list(names),
    )
    assert dict(zip(names, found, strict=True)) == names


def test_opening_a_photo_twice_before_the_editor_is_loaded_makes_one_editor(run):
    result = run(
        """
        const { Editing } = await import("./editing.js");
        const opened = [];
        const open = (file, { signal }) => {
          opened.push(signal);
          return new Promise(() => {});
        };
        const settings = { model: null, strength: 1, format: null, hints: [] };
        const jobs = Object.assign(new EventTarget(), { settingsOf: () => settings, apply() {} });
        const editing = new Editing(jobs, { kind: "server", open }, { models: [] });
        const job = { path: "a.jpg", file: new File(["a"], "a.jpg"), result: null };
        void editing.open(job);
        void editing.open(job);
        while (opened.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
        editing.dialog.close();
        await new Promise((resolve) => setTimeout(resolve, 50));
        return opened.map(({ aborted }) => aborted);
        """
    )
    assert result == [True, True]


def test_a_photo_that_was_left_does_not_appear_in_the_editor_of_the_next(run):
    result = run(
        """
        const { PhotoEditor } = await import("./editor/editor.js");
        const { t } = await import("./strings.js");
        const canvas = new OffscreenCanvas(4, 4);
        canvas.getContext("2d");
        const picture = await canvas.convertToBlob();
        const rendered = [];
        const makePreview = (name, before) => ({
          width: 4,
          height: 4,
          before: () => before,
          async render() {
            rendered.push(name);
            return picture;
          },
          close() {},
        });
        let finish;
        const slow = new Promise((resolve) => (finish = resolve));
        const previews = {
          first: makePreview("first", slow),
          second: makePreview("second", Promise.resolve(picture)),
        };
        const engine = { open: async ({ name }) => previews[name] };
        const editor = new PhotoEditor({ engine, strings: t });
        document.body.append(editor.element);
        const settings = { model: null, strength: 1, format: null, hints: [] };
        const open = (name) =>
          editor.open(new File([picture], name), { settings, info: { models: [] } });
        const left = open("first");
        await new Promise((resolve) => setTimeout(resolve, 50));
        await open("second");
        finish(picture);
        await left;
        await new Promise((resolve) => setTimeout(resolve, 200));
        return rendered;
        """
    )
    assert result == ["second"]


def test_a_photo_that_is_being_opened_has_no_places_for_hints(run):
    result = run(
        """
        const { PhotoEditor } = await import("./editor/editor.js");
        const { t } = await import("./strings.js");
        const canvas = new OffscreenCanvas(40, 40);
        canvas.getContext("2d");
        const picture = await canvas.convertToBlob();
        const suggested = [];
        const makePreview = (name) => ({
          width: 40,
          height: 40,
          before: async () => picture,
          render: async () => picture,
          suggest: async () => (suggested.push(name), []),
          close() {},
        });
        const engine = {
          open: ({ name }) => (name === "slow" ? new Promise(() => {}) : makePreview(name)),
        };
        const editor = new PhotoEditor({ engine, strings: t });
        document.body.append(editor.element);
        const settings = { model: null, strength: 1, format: null, hints: [] };
        const open = (name) =>
          editor.open(new File([picture], name), { settings, info: { models: [] } });
        const click = async () => {
          const viewer = editor.element.querySelector(".viewer");
          viewer.dispatchEvent(new CustomEvent("place", { detail: { x: 0.5, y: 0.5 } }));
          await new Promise((resolve) => setTimeout(resolve, 200));
          return suggested.length;
        };
        await open("first");
        const before = await click();
        void open("slow");
        return [before > 0, (await click()) - before];
        """
    )
    assert result == [True, 0]


def test_a_color_is_that_of_the_hint_that_was_chosen_last(run):
    result = run(
        """
        const { HintEditor } = await import("./editor/hints.js");
        const { Viewer } = await import("./editor/viewer.js");
        const { t } = await import("./strings.js");
        const viewer = new Viewer({ t });
        document.body.append(viewer.element);
        let changed;
        const change = (hints) => (changed = hints);
        const editor = new HintEditor({ t, viewer, change, explain: String });
        document.body.append(editor.popover.element);
        const canvas = new OffscreenCanvas(4, 4);
        canvas.getContext("2d");
        const picture = await canvas.convertToBlob();
        let finish;
        const slow = new Promise((resolve) => (finish = resolve));
        editor.open({ before: () => slow, suggest: async () => [] }, new File([""], "a.jpg"));
        editor.show([{ x: 0.5, y: 0.5, color: "#102030" }], null);
        const send = (element, type, detail) =>
          element.dispatchEvent(new CustomEvent(type, { detail }));
        send(viewer.element, "place", { x: 0.1, y: 0.1 });
        send(editor.list.element, "hint-open", { index: 0 });
        finish(picture);
        while (!editor.popover.isOpen) await new Promise((resolve) => setTimeout(resolve, 10));
        send(editor.popover.element, "choose", { color: "#ff0000", isFinal: true });
        return changed.map(({ x, color }) => [x, color]);
        """
    )
    assert result == [[0.5, "#ff0000"]]


def test_a_button_that_is_released_above_the_plane_chooses_only_if_it_was_pressed_there(run):
    result = run(
        """
        const { ColorPlane } = await import("./editor/plane.js");
        const plane = new ColorPlane({ label: "Color", describe: String });
        document.body.append(plane.element);
        let count = 0;
        plane.element.addEventListener("color", () => count++);
        plane.element.dispatchEvent(new PointerEvent("pointerup", { clientX: 5, clientY: 5 }));
        return count;
        """
    )
    assert result == 0


def test_the_worker_forgets_a_photo_whose_opening_is_stopped(run):
    result = run(
        """
        const sent = [];
        globalThis.Worker = class extends EventTarget {
          postMessage(message) {
            sent.push(message);
            const { id, type } = message;
            const data = { id, result: { version: "1", model: {}, formats: [] } };
            if (type === "start") {
              setTimeout(() => this.dispatchEvent(new MessageEvent("message", { data })));
            }
          }
          terminate() {}
        };
        const { BrowserEngine } = await import("./browser/engine.js");
        const engine = new BrowserEngine();
        const controller = new AbortController();
        const opening = engine.open(new File(["a"], "a.jpg"), { signal: controller.signal });
        while (!sent.some(({ type }) => type === "open")) {
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        controller.abort();
        await opening.catch(() => {});
        const { photo } = sent.find(({ type }) => type === "open");
        return sent.filter((each) => each.type === "close" && each.photo === photo).length;
        """
    )
    assert result == 1
