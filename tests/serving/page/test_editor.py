"""The editor of one photo, as a person uses it."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from colorizenet import color
from colorizenet.hintfiles import read_hints
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image

AXE = Path(__file__).parents[3] / "node_modules" / "axe-core" / "axe.min.js"
SCREENS = pytest.mark.parametrize("screen", ["desktop", "phone"])
BLUE = "#3050c0"


@pytest.fixture(scope="module")
def address(start_server, write_noise_model, tmp_path_factory) -> str:
    """The URL of a server with two models that do not draw variants, and one that
    does."""
    drawing = write_noise_model(tmp_path_factory.mktemp("models") / "drawing.onnx")
    return start_server(*(f"--model={name}" for name in ("default", "small", drawing))).address


@pytest.fixture
def edit(visit, samples) -> Callable[..., Page]:
    """Open a photo in the editor, and wait until its preview is in color."""

    def edit(screen: str = "desktop", photo: Path | None = None, **options: Any) -> Page:
        page = visit(screen, **options)
        page.set_default_timeout(60_000)
        expect.set_options(timeout=30_000)  # machines that run tests are often busy
        photo = photo or samples / "cat.jpg"
        page.set_input_files("#files", photo)
        expect(page.locator("[data-state=done]")).to_have_count(1, timeout=60_000)
        page.get_by_role("button", name=f"Open {photo.name}", exact=True).click()
        page.get_by_role("toolbar", name="View").wait_for()
        page.evaluate("""() => {
            globalThis.changes = [];
            const editor = document.querySelector(".editor");
            editor.addEventListener("settings-changed", ({detail}) => changes.push(detail));
        }""")
        expect(page.locator(".viewer-pane[data-side=after] img").first).to_be_visible()
        wait_for_color(page)
        return page

    return edit


def wait_for_color(page: Page) -> None:
    """Wait until the preview has the settings of the moment."""
    page.wait_for_timeout(50)
    page.locator(".editor:not(.is-busy)").wait_for()


def read_settings(page: Page) -> dict[str, Any]:
    """The settings that the editor has sent last."""
    page.wait_for_timeout(400)
    return page.evaluate("changes.at(-1)")


def read_pane(page: Page, side: str = "after") -> np.ndarray:
    """The picture of one side in full: ``(h, w, 3)``."""
    url = page.locator(f".viewer-pane[data-side={side}] img").first.evaluate(
        """(image) => {
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            canvas.getContext("2d").drawImage(image, 0, 0);
            return canvas.toDataURL("image/png");
        }"""
    )
    return read_image(base64.b64decode(url.partition(",")[2])).pixels[..., :3].astype(float)


def find_photo(page: Page, side: str) -> dict[str, float]:
    """Where one side of the photo is in the window."""
    # In one step: the editor puts a new picture in place of the old one at any time. It
    # places the photo in a frame behind that in which the window has changed.
    return page.evaluate(
        """async (photo) => {
            for (const _ of [1, 2, 3]) await new Promise(requestAnimationFrame);
            return document.querySelector(photo).getBoundingClientRect().toJSON();
        }""",
        f".viewer-pane[data-side={side}] img",
    )


def find_point(page: Page, x: float, y: float, side: str = "after") -> tuple[float, float]:
    """Where a place of the photo is in the window."""
    box = find_photo(page, side)
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def find_place(page: Page, x: float, y: float, side: str = "after") -> tuple[float, float]:
    """Which place of the photo is at a point of the window."""
    box = find_photo(page, side)
    return (x - box["x"]) / box["width"], (y - box["y"]) / box["height"]


def ask_color(page: Page, x: float, y: float) -> Locator:
    """Click a place of the photo; return the popover that asks for its color."""
    page.mouse.click(*find_point(page, x, y))
    popover = page.get_by_role("dialog", name="What color is this?")
    popover.wait_for()
    return popover


def add_hint(page: Page, x: float, y: float, value: str = BLUE) -> None:
    popover = ask_color(page, x, y)
    popover.get_by_label("Color as #RRGGBB").fill(value)
    popover.get_by_label("Color as #RRGGBB").press("Enter")
    wait_for_color(page)
    popover.get_by_role("button", name="Done").click()


def average(pixels: np.ndarray, x: float, y: float) -> np.ndarray:
    """a* and b* around a place."""
    row, column = int(y * pixels.shape[0]), int(x * pixels.shape[1])
    patch = pixels[row - 2 : row + 3, column - 2 : column + 3].mean(axis=(0, 1))
    return color.rgb_to_lab(patch / 255)[1:]


def hints_of(page: Page) -> Locator:
    return page.get_by_role("list", name="Hints").get_by_role("listitem")


@SCREENS
def test_a_hint_colors_its_place_and_undo_restores_the_picture(edit, screen):
    page = edit(screen)
    before = read_pane(page)
    add_hint(page, 0.3, 0.4)
    after = read_pane(page)
    wanted = color.rgb_to_lab(np.array([0x30, 0x50, 0xC0]) / 255)[1:]
    change = np.linalg.norm(average(after, 0.3, 0.4) - average(before, 0.3, 0.4))
    toward = np.linalg.norm(average(before, 0.3, 0.4) - wanted) - np.linalg.norm(
        average(after, 0.3, 0.4) - wanted
    )
    assert change > 20 and toward > 15
    [hint] = read_settings(page)["hints"]
    assert (hint["x"], hint["y"]) == (pytest.approx(0.3, abs=0.01), pytest.approx(0.4, abs=0.01))
    assert hint["color"] == BLUE

    expect(hints_of(page)).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    wait_for_color(page)
    expect(hints_of(page)).to_have_count(0)
    assert (read_pane(page) == before).all()
    page.get_by_role("button", name="Redo").click()
    wait_for_color(page)
    assert (read_pane(page) == after).all()


def test_undo_and_redo_have_no_limit(edit):
    page = edit()
    for step in range(6):
        add_hint(page, 0.2 + 0.1 * step, 0.5)
    stage = page.get_by_role("application", name="Photo")
    stage.focus()
    for _ in range(6):
        page.keyboard.press("Control+z")
    expect(hints_of(page)).to_have_count(0)
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    for _ in range(6):
        page.keyboard.press("Control+Shift+z")
    expect(hints_of(page)).to_have_count(6)
    expect(page.get_by_role("button", name="Redo")).to_be_disabled()


def test_keys_work_after_a_button_has_disabled_itself(edit):
    page = edit()
    add_hint(page, 0.3, 0.4)
    page.get_by_role("button", name="Remove all hints").click()
    expect(hints_of(page)).to_have_count(0)
    page.keyboard.press("Control+z")
    expect(hints_of(page)).to_have_count(1)
    page.get_by_role("button", name="Undo").press("Enter")
    expect(hints_of(page)).to_have_count(0)
    page.keyboard.press("Control+y")
    expect(hints_of(page)).to_have_count(1)


def test_suggestions_and_the_plane_have_the_lightness_of_the_place(edit):
    page = edit("phone")
    place = color.rgb_to_lab(read_pane(page, "before") / 255)[..., 0]
    height, width = place.shape
    row, column = int(0.7 * height), int(0.6 * width)
    lightness = place[row - 2 : row + 3, column - 2 : column + 3].mean()
    popover = ask_color(page, 0.6, 0.7)
    suggestions = popover.get_by_role("list", name="Likely colors").get_by_role("button")
    expect(suggestions).to_have_count(5)
    shares = [int(re.findall(r"(\d+) %", each)[0]) for each in suggestions.all_inner_texts()]
    assert shares == sorted(shares, reverse=True) and shares[0] > 0

    suggestions.nth(1).click()
    suggested = read_settings(page)["hints"][0]["color"]
    assert suggested == suggestions.nth(1).get_attribute("data-color")
    plane = popover.get_by_role("slider", name="Color", exact=True)
    box = plane.bounding_box()
    assert box
    plane.click(position={"x": box["width"] * 0.6, "y": box["height"] * 0.4})
    picked = read_settings(page)["hints"][0]["color"]
    plane.press("ArrowLeft")
    moved = read_settings(page)["hints"][0]["color"]
    assert len({suggested, picked, moved}) == 3
    for each in (suggested, picked, moved):
        rgb = np.frombuffer(bytes.fromhex(each[1:]), np.uint8) / 255
        assert color.rgb_to_lab(rgb)[0] == pytest.approx(lightness, abs=4)


def test_a_typed_color_that_is_wrong_is_explained_before_the_popover_closes(edit):
    page = edit()
    popover = ask_color(page, 0.3, 0.4)
    popover.get_by_role("listitem").get_by_role("button").first.wait_for()
    field = popover.get_by_label("Color as #RRGGBB")
    shown = field.input_value()
    field.fill("reddish brown")
    popover.get_by_role("button", name="Done").click()
    problem = popover.get_by_role("alert")
    expect(problem).to_have_text(
        "“reddish brown” is not a color. Give one such as #2e6b3a or #f80."
    )
    expect(field).to_be_focused()
    field.fill("")
    field.press("Enter")
    expect(problem).to_be_hidden()
    expect(field).to_have_value(shown)
    field.fill("#12")
    field.press("Enter")
    expect(problem).to_be_visible()
    field.fill(" #F80")
    popover.get_by_role("button", name="Done").click()
    expect(popover).to_be_hidden()
    assert [each["color"] for each in read_settings(page)["hints"]] == ["#ff8800"]


def test_the_editor_works_with_the_keyboard_alone(edit):
    page = edit()
    stage = page.get_by_role("application", name="Photo")
    expect(stage).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    popover = page.get_by_role("dialog", name="What color is this?")
    expect(popover).to_be_focused()
    popover.get_by_role("listitem").get_by_role("button").first.wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    wait_for_color(page)
    page.keyboard.press("Shift+Tab")  # goes around within the popover
    expect(popover.get_by_role("button", name="Done")).to_be_focused()
    page.keyboard.press("Escape")
    expect(popover).to_be_hidden()
    mark = page.locator(".hint-mark")
    expect(mark).to_be_focused()

    x = read_settings(page)["hints"][0]["x"]
    page.keyboard.press("ArrowRight")
    assert read_settings(page)["hints"][0]["x"] == pytest.approx(x + 0.01, abs=1e-4)
    page.keyboard.press("Enter")
    expect(popover).to_be_focused()
    page.keyboard.press("Escape")
    expect(mark).to_be_focused()
    page.keyboard.press("Delete")
    expect(hints_of(page)).to_have_count(0)
    expect(stage).to_be_focused()
    page.keyboard.press("Escape")  # leaves the editor
    expect(stage).to_be_hidden()


def test_presses_that_move_a_hint_are_one_step_until_something_else_is_done(edit):
    page = edit()
    add_hint(page, 0.6, 0.4)
    added = read_settings(page)["hints"][0]
    mark = page.locator(".hint-mark")
    mark.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowRight"):
        page.keyboard.press(key)
    moved = read_settings(page)["hints"][0]
    assert moved["x"] == pytest.approx(added["x"] + 0.022, abs=1e-4)
    page.wait_for_timeout(1100)
    page.keyboard.press("ArrowUp")
    again = read_settings(page)["hints"][0]
    assert again["y"] == pytest.approx(added["y"], abs=1e-4)
    for expected in (moved, added):
        page.keyboard.press("Control+z")
        assert read_settings(page)["hints"] == [expected]
    page.keyboard.press("ArrowLeft")  # not added to what was undone
    page.keyboard.press("Control+z")
    assert read_settings(page)["hints"] == [added]
    page.keyboard.press("Control+z")
    assert read_settings(page)["hints"] == []
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()


def test_a_hint_is_dragged_resized_made_neutral_and_removed(edit):
    page = edit()
    add_hint(page, 0.6, 0.4)
    mark = page.locator(".hint-mark")
    page.mouse.move(*find_point(page, 0.6, 0.4))
    page.mouse.down()
    page.mouse.move(*find_point(page, 0.7, 0.5), steps=5)
    page.mouse.up()
    hint = read_settings(page)["hints"][0]
    assert (hint["x"], hint["y"]) == (pytest.approx(0.7, abs=0.01), pytest.approx(0.5, abs=0.01))
    mark.click()
    popover = page.get_by_role("dialog", name="What color is this?")
    radius = popover.get_by_role("slider", name="Size of the place")
    radius.press("PageUp")
    assert read_settings(page)["hints"][0]["radius"] > hint["radius"]
    popover.get_by_role("button", name="Keep gray").click()
    wait_for_color(page)
    assert read_settings(page)["hints"][0]["color"] is None
    assert np.abs(average(read_pane(page), 0.7, 0.5)).max() < 2
    popover.get_by_role("button", name="Remove the hint").click()
    expect(mark).to_have_count(0)
    expect(popover).to_be_hidden()
    assert read_settings(page)["hints"] == []


def test_escape_cancels_the_drag_of_a_hint(edit):
    page = edit()
    add_hint(page, 0.6, 0.4)
    hints = read_settings(page)["hints"]
    page.mouse.move(*find_point(page, 0.6, 0.4))
    page.mouse.down()
    page.mouse.move(*find_point(page, 0.7, 0.5), steps=5)
    assert read_settings(page)["hints"] != hints
    page.keyboard.press("Escape")
    page.mouse.move(*find_point(page, 0.8, 0.5))
    page.mouse.up()
    assert read_settings(page)["hints"] == hints
    expect(page.get_by_role("application", name="Photo")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(hints_of(page)).to_have_count(0)


def test_escape_cancels_a_drag_also_where_what_is_dragged_has_no_focus(edit):
    page = edit()
    add_hint(page, 0.6, 0.4)
    page.mouse.move(*find_point(page, 0.6, 0.4))
    page.mouse.down()
    page.evaluate("document.activeElement.blur()")  # Safari does not focus buttons
    page.mouse.move(*find_point(page, 0.7, 0.5), steps=5)
    page.keyboard.press("Escape")
    page.mouse.up()
    [hint] = read_settings(page)["hints"]
    assert hint["x"] == pytest.approx(0.6, abs=0.01)
    expect(page.get_by_role("application", name="Photo")).to_be_visible()


def test_escape_cancels_the_drag_of_the_divider(edit):
    page = edit()
    divider = page.get_by_role("slider", name="Part that shows the original")
    page.mouse.move(*find_point(page, 0.5, 0.5))
    page.mouse.down()
    page.mouse.move(*find_point(page, 0.7, 0.5), steps=5)
    expect(divider).not_to_have_attribute("aria-valuenow", "50")
    page.keyboard.press("Escape")
    page.mouse.move(*find_point(page, 0.8, 0.5))
    page.mouse.up()
    expect(divider).to_have_attribute("aria-valuenow", "50")
    page.keyboard.press("Escape")
    expect(page.get_by_role("application", name="Photo")).to_be_hidden()


def test_escape_while_the_strength_is_dragged_does_not_apply_it(edit):
    page = edit()
    strength = page.locator(".editor").get_by_role("slider", name="Color strength")
    box = strength.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], middle, steps=5)
    page.keyboard.press("Escape")
    expect(strength).to_be_visible()
    page.mouse.up()
    page.get_by_role("button", name="Undo").click()
    expect(strength).to_have_value("1")


def test_escape_cancels_the_drag_of_the_photo(edit):
    page = edit()
    page.mouse.move(*find_point(page, 0.7, 0.5))
    for _ in range(4):
        page.mouse.wheel(0, -300)
    page.wait_for_timeout(100)
    before = find_photo(page, "after")
    x, y = 300, 300
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 80, y - 60, steps=5)
    page.wait_for_timeout(100)
    assert find_photo(page, "after")["x"] == pytest.approx(before["x"] - 80, abs=1)
    page.keyboard.press("Escape")
    page.mouse.move(x - 120, y - 90, steps=3)
    page.mouse.up()
    page.wait_for_timeout(300)  # until a click could have asked for a color
    assert find_photo(page, "after") == before
    expect(page.get_by_role("application", name="Photo")).to_be_visible()
    expect(page.get_by_role("dialog", name="What color is this?")).to_be_hidden()


def test_escape_cancels_the_choice_of_a_color_that_has_not_ended(edit):
    page = edit()
    popover = ask_color(page, 0.3, 0.4)
    box = popover.get_by_role("slider", name="Color", exact=True).bounding_box()
    assert box
    page.mouse.move(box["x"] + 80, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 60, steps=3)
    expect(hints_of(page)).to_have_count(1)
    page.keyboard.press("Escape")
    page.mouse.move(box["x"] + 40, box["y"] + 60, steps=3)
    page.mouse.up()
    expect(popover).to_be_hidden()
    expect(hints_of(page)).to_have_count(0)
    assert read_settings(page)["hints"] == []


def test_saved_hints_are_accepted_by_the_command_line_and_loaded_again(edit, samples, tmp_path):
    page = edit()
    add_hint(page, 0.3, 0.4)
    ask_color(page, 0.6, 0.7).get_by_role("button", name="Keep gray").click()
    page.keyboard.press("Escape")
    hints = read_settings(page)["hints"]
    with page.expect_download() as pending:
        page.get_by_role("button", name="Save", exact=True).click()
    assert pending.value.suggested_filename == "cat.hints.json"
    saved = tmp_path / "cat.hints.json"
    pending.value.save_as(saved)
    assert [(each.x, each.y) for each in read_hints(saved)] == [(h["x"], h["y"]) for h in hints]
    command = [sys.executable, "-m", "colorizenet", "colorize", samples / "cat.jpg"]
    subprocess.run([*command, "--hints", saved, "--out", tmp_path / "out"], check=True, timeout=60)
    result = read_image((tmp_path / "out" / "cat.jpg").read_bytes()).pixels.astype(float)
    assert np.linalg.norm(average(result, 0.3, 0.4) - average(read_pane(page), 0.3, 0.4)) < 4

    page.get_by_role("button", name="Remove all hints").click()
    expect(hints_of(page)).to_have_count(0)
    page.locator(".editor input[type=file]").set_input_files(saved)
    expect(hints_of(page)).to_have_count(2)
    assert read_settings(page)["hints"] == hints

    wrong = tmp_path / "wrong.hints.json"
    wrong.write_text('{"version": 1, "hints": [{"x": 2, "y": 0, "color": "#2e6b3a"}]}')
    page.locator(".editor input[type=file]").set_input_files(wrong)
    expect(page.get_by_role("alert").filter(has_text="wrong.hints.json")).to_contain_text(
        "Hint 1 has 2 for x. Give a number from 0 to 1."
    )
    expect(hints_of(page)).to_have_count(2)


def test_what_is_wrong_with_a_hint_file_is_said_until_the_hints_change(edit, tmp_path):
    page = edit()
    file = tmp_path / "cat.hints.json"
    file.write_text("{")
    page.set_input_files(".editor input[type=file]", file)
    message = page.get_by_role("alert").filter(has_text="The file is not JSON")
    expect(message).to_be_visible()
    add_hint(page, 0.3, 0.4)
    expect(message).to_be_hidden()


@SCREENS
def test_the_zoom_keeps_the_place_below_the_pointer_on_both_sides(edit, samples, screen):
    page = edit(screen, samples / "moose.jpg")
    zoom = page.get_by_role("button", name="Zoom is")
    x, y = find_point(page, 0.7, 0.4)
    page.mouse.move(x, y)
    fitted = zoom.inner_text()
    for _ in range(4):
        page.mouse.wheel(0, -400)
    expect(zoom).not_to_have_text(fitted)
    page.wait_for_timeout(1000)
    for side in ("before", "after"):
        assert find_place(page, x, y, side) == pytest.approx((0.7, 0.4), abs=0.003)
    page.get_by_role("application", name="Photo").focus()
    page.keyboard.press("1")
    expect(zoom).to_have_text("100 %")
    for _ in range(4):
        page.keyboard.press("+")
    expect(zoom).to_have_text("384 %")
    expect(page.locator(".viewer-pane[data-side=after] .is-pixelated").first).to_be_visible()
    place = find_place(page, x, y)
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(1000)
    assert find_place(page, x, y)[0] > place[0]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=4)
    page.mouse.up()
    page.wait_for_timeout(1000)
    assert find_place(page, x + 40, y)[0] > place[0]
    expect(page.get_by_role("dialog", name="What color is this?")).to_be_hidden()
    page.keyboard.press("0")
    expect(zoom).to_have_text(fitted)
    page.mouse.dblclick(x, y)
    expect(zoom).to_have_text("100 %")
    expect(page.get_by_role("dialog", name="What color is this?")).to_be_hidden()


def test_two_fingers_zoom_around_the_point_between_them(edit):
    page = edit("phone")
    x, y = find_point(page, 0.5, 0.5)
    touch = page.context.new_cdp_session(page)

    def send(kind: str, distance: float) -> None:
        points = [{"x": x - distance, "y": y, "id": 1}, {"x": x + distance, "y": y, "id": 2}]
        touch.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [] if kind == "touchEnd" else points},
        )

    width = find_photo(page, "after")["width"]
    send("touchStart", 40)
    for distance in (50, 60, 70, 80):
        send("touchMove", distance)
    send("touchEnd", 80)
    page.wait_for_timeout(1000)
    assert find_photo(page, "after")["width"] == pytest.approx(2 * width, rel=0.02)
    assert find_place(page, x, y) == pytest.approx((0.5, 0.5), abs=0.02)


def test_the_slider_moves_by_keyboard_and_by_mouse(edit):
    page = edit()
    slider = page.get_by_role("slider", name="Part that shows the original")
    pane = page.locator(".viewer-pane[data-side=after]")
    slider.press("Home")
    expect(pane).to_have_css("clip-path", "inset(0px 0px 0px 0%)")
    slider.press("PageUp")
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "12 % original")
    expect(pane).to_have_css("clip-path", "inset(0px 0px 0px 12%)")
    box = slider.bounding_box()
    stage = page.get_by_role("application", name="Photo").bounding_box()
    assert box and stage
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(stage["x"] + 0.8 * stage["width"], box["y"] + 9, steps=4)
    page.mouse.up()
    assert int(slider.get_attribute("aria-valuenow") or 0) == pytest.approx(80, abs=1)


@pytest.mark.parametrize("width", [1, 5])
def test_the_divider_does_not_hide_a_narrow_photo(edit, gray, tmp_path, width):
    path = tmp_path / "strip.png"
    path.write_bytes(encode_image(Image(gray[:, 100 : 100 + width]), "png"))
    page = edit(photo=path)
    handle = page.locator(".viewer-handle").bounding_box()
    assert handle
    assert handle["x"] + handle["width"] < find_photo(page, "after")["x"]


def test_the_divider_begins_in_the_middle_of_other_photos(edit):
    divider = edit("phone").get_by_role("slider", name="Part that shows the original")
    expect(divider).to_have_attribute("aria-valuenow", "50")


def test_the_original_is_shown_while_a_button_or_a_key_is_held(edit):
    page = edit("phone")
    page.get_by_role("radiogroup", name="Compare").locator("label").nth(2).click()
    pane = page.locator(".viewer-pane[data-side=after]")
    button = page.get_by_role("button", name="Hold to see the original")
    box = button.bounding_box()
    assert box
    page.mouse.move(box["x"] + 9, box["y"] + 9)
    page.mouse.down()
    expect(pane).to_have_css("visibility", "hidden")
    page.mouse.up()
    expect(pane).to_have_css("visibility", "visible")
    page.get_by_role("application", name="Photo").focus()
    page.keyboard.down("o")
    expect(pane).to_have_css("visibility", "hidden")
    page.keyboard.up("o")
    expect(pane).to_have_css("visibility", "visible")


def test_models_are_compared_side_by_side_and_chosen(edit):
    page = edit()
    before, usual = read_pane(page, "before"), read_pane(page)
    models = page.get_by_role("radiogroup", name="Model")
    expect(models.locator("img")).to_have_count(3, timeout=60_000)
    page.get_by_role("radiogroup", name="Compare").locator("label").nth(1).click()
    left, right = (
        page.locator(f".viewer-pane[data-side={side}]").bounding_box()
        for side in ("before", "after")
    )
    assert left and right
    assert (left["width"], left["height"]) == (right["width"], right["height"])
    assert (left["x"], left["y"]) != (right["x"], right["y"])
    page.get_by_label("Compare with").select_option("small")
    page.wait_for_timeout(3000)
    small = read_pane(page, "before")
    assert (small != before).any() and (small != usual).any()
    models.locator("label", has_text="small").click()
    wait_for_color(page)
    assert read_settings(page)["model"] == "small"
    assert (read_pane(page) == small).all()


def test_a_variant_is_chosen_so_that_its_settings_repeat_it(edit):
    page = edit()
    variants = page.get_by_role("region", name="Variants")
    expect(variants).to_be_hidden()
    page.get_by_role("radiogroup", name="Model").locator("label", has_text="drawing").click()
    wait_for_color(page)
    usual = read_pane(page)
    variants.get_by_role("button", name="Show variants").click()
    expect(variants.locator("img")).to_have_count(6)
    variants.locator("label", has_text="Variant 3").click()
    wait_for_color(page)
    chosen = read_pane(page)
    assert (chosen != usual).any()
    settings = read_settings(page)
    assert (settings["variants"], settings["variant"], settings["seed"]) == (6, 3, 0)

    variants.get_by_label("Seed").fill("7")
    variants.get_by_label("Seed").press("Enter")
    expect(variants.locator("img")).to_have_count(6)
    variants.get_by_role("button", name="Other ones").click()
    seed = int(variants.get_by_label("Seed").input_value())
    expect(variants.locator("img")).to_have_count(6)
    variants.locator("label", has_text="Variant 2").click()
    wait_for_color(page)
    assert (read_settings(page)["variant"], read_settings(page)["seed"]) == (2, seed)
    variants.locator("label", has_text="Usual one").click()
    wait_for_color(page)
    assert "variants" not in read_settings(page)
    assert (read_pane(page) == usual).all()


def test_variants_of_other_settings_are_marked_until_they_are_drawn_again(edit):
    page = edit()
    page.get_by_role("radiogroup", name="Model").locator("label", has_text="drawing").click()
    wait_for_color(page)
    variants = page.get_by_role("region", name="Variants")
    choice = page.get_by_role("radiogroup", name="Variants")
    outdated = variants.get_by_role("status")
    variants.get_by_role("button", name="Show variants").click()
    expect(variants.locator("img")).to_have_count(6)
    again = variants.get_by_role("button", name="Draw again")
    expect(again).to_be_hidden()

    page.locator(".editor").get_by_role("slider", name="Color strength").press("Home")
    expect(outdated).to_have_text("The pictures show earlier settings.")
    expect(choice).to_have_class(re.compile("is-outdated"))
    page.get_by_role("button", name="Undo").click()
    expect(outdated).to_be_empty()
    expect(choice).not_to_have_class(re.compile("is-outdated"))

    add_hint(page, 0.3, 0.4)
    expect(outdated).not_to_be_empty()
    old = {image.get_attribute("src") for image in variants.locator("img").all()}
    again.click()
    expect(outdated).to_be_empty()
    expect(again).to_be_hidden()
    expect(variants.get_by_role("button", name="Other ones")).to_be_focused()
    expect(variants.locator("img")).to_have_count(6)
    assert old.isdisjoint(image.get_attribute("src") for image in variants.locator("img").all())


def test_variants_that_failed_are_explained_until_they_are_drawn(edit):
    page = edit()
    page.get_by_role("radiogroup", name="Model").locator("label", has_text="drawing").click()
    wait_for_color(page)
    variants = page.get_by_role("region", name="Variants")
    page.route("**/v1/colorize", lambda route: route.abort())
    variants.get_by_role("button", name="Show variants").click()
    message = page.get_by_role("alert").filter(has_text="The server cannot be reached")
    expect(message).to_be_visible()
    page.unroute("**/v1/colorize")
    variants.get_by_role("button", name="Show variants").click()
    expect(variants.locator("img")).to_have_count(6)
    expect(message).to_be_hidden()


@pytest.mark.parametrize("text", ["-3", "2.5", "9007199254740992", ""])
def test_a_wrong_seed_stays_and_draws_nothing_until_it_is_corrected(edit, text):
    page = edit()
    page.get_by_role("radiogroup", name="Model").locator("label", has_text="drawing").click()
    wait_for_color(page)
    variants = page.get_by_role("region", name="Variants")
    seed = variants.get_by_label("Seed")
    seed.fill(text)
    variants.get_by_role("button", name="Show variants").click()
    expect(seed).to_be_focused()  # with the message of the browser, which tests cannot see
    expect(seed).to_have_value(text)
    expect(variants.locator("label.choice")).to_have_count(0)
    seed.fill("7")
    seed.press("Enter")
    expect(variants.locator("img")).to_have_count(6)


def test_a_variant_among_pictures_of_another_seed_stays_chosen(edit):
    page = edit()
    page.get_by_role("radiogroup", name="Model").locator("label", has_text="drawing").click()
    wait_for_color(page)
    variants = page.get_by_role("region", name="Variants")
    seed = variants.get_by_label("Seed")
    variants.get_by_role("button", name="Show variants").click()
    expect(variants.locator("img")).to_have_count(6)
    variants.locator("label", has_text="Variant 3").click()
    seed.fill("7")
    seed.press("Enter")
    expect(variants.locator("img")).to_have_count(6)
    expect(variants.get_by_role("status")).to_be_empty()
    assert read_settings(page)["seed"] == 0
    variants.locator("label", has_text="Variant 2").click()
    assert (read_settings(page)["variant"], read_settings(page)["seed"]) == (2, 7)
    page.get_by_role("button", name="Undo").click()
    expect(seed).to_have_value("0")
    expect(variants.get_by_role("status")).not_to_be_empty()  # the pictures are of seed 7


def test_the_strength_is_previewed_and_applied(edit):
    page = edit()
    strength = page.locator(".editor").get_by_role("slider", name="Color strength")
    page.route("**/v1/colorize", lambda route: page.wait_for_timeout(300) or route.continue_())
    strength.press("Home")
    expect(page.locator(".viewer-pane[data-side=after] img").first).to_be_visible()
    wait_for_color(page)
    assert np.ptp(read_pane(page), axis=2).max() < 3
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("[data-state=done]")).to_have_count(1)
    page.get_by_role("button", name="Open cat.jpg").click()
    expect(strength).to_have_value("0")
    expect(page.get_by_role("button", name="Apply")).to_be_disabled()


def test_a_result_that_comes_while_the_photo_is_open_is_shown(visit, tmp_path, gray):
    photo = tmp_path / "large.jpg"
    photo.write_bytes(encode_image(Image(np.tile(gray, (8, 6))), "jpeg"))
    page = visit()
    held: list[Route] = []  # the first request, and not those for previews
    page.route("**/v1/colorize", lambda route: route.continue_() if held else held.append(route))
    page.set_input_files("#files", photo)
    page.get_by_role("button", name="Open large.jpg").click()
    apply = page.get_by_role("button", name="Apply")
    full = page.locator(".viewer-pane[data-side=after] img").nth(1)
    page.get_by_role("toolbar", name="View").wait_for()
    wait_for_color(page)
    page.get_by_role("application", name="Photo").press("1")
    expect(apply).to_be_enabled()
    held[0].continue_()
    expect(apply).to_be_disabled()
    expect(full).to_be_visible()


def test_at_100_percent_the_result_is_shown_at_full_resolution(edit, tmp_path, gray):
    """Until it is applied, a change is shown as a preview, which the editor says."""
    photo = tmp_path / "large.jpg"
    photo.write_bytes(encode_image(Image(np.tile(gray, (8, 6))), "jpeg"))
    page = edit(photo=photo)
    full = page.locator(".viewer-pane[data-side=after] img").nth(1)
    expect(full).to_be_hidden()
    page.get_by_role("application", name="Photo").focus()
    page.keyboard.press("1")
    expect(full).to_be_visible()
    assert full.evaluate("image => image.naturalWidth") == gray.shape[1] * 6
    expect(page.locator(".viewer-pane[data-side=before] img").nth(1)).to_be_visible()
    page.locator(".editor").get_by_role("slider", name="Color strength").press("ArrowLeft")
    wait_for_color(page)
    expect(full).to_be_hidden()
    expect(page.get_by_role("status").filter(has_text="Preview")).to_be_visible()


def test_a_file_that_is_too_much_for_the_browser_is_edited_as_a_preview(edit, tmp_path, gray):
    photo = tmp_path / "scan.tif"
    photo.write_bytes(encode_image(Image(np.tile(gray.astype(np.uint16) * 257, (5, 5))), "tiff"))
    page = edit(photo=photo)
    add_hint(page, 0.3, 0.4)
    assert len(read_settings(page)["hints"]) == 1
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("application", name="Photo").focus()
    page.keyboard.press("1")
    expect(page.get_by_role("status").filter(has_text="Preview: this browser")).to_be_visible()


def test_a_server_that_fails_is_reported_and_the_old_picture_stays(edit):
    page = edit()
    shown = read_pane(page)
    problem = json.dumps({"detail": "the photo took too long; try again"})
    page.route("**/v1/colorize", lambda route: route.fulfill(status=504, body=problem))
    page.locator(".editor").get_by_role("slider", name="Color strength").press("ArrowLeft")
    expect(page.get_by_role("alert").filter(has_text="too long")).to_be_visible()
    assert (read_pane(page) == shown).all()
    page.unroute("**/v1/colorize")
    page.locator(".editor").get_by_role("slider", name="Color strength").press("ArrowLeft")
    expect(page.get_by_role("alert").filter(has_text="too long")).to_be_hidden()


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core: npm ci")
@pytest.mark.parametrize(("screen", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_axe_finds_no_violations(edit, screen, scheme):
    page = edit(screen, color_scheme=scheme)
    page.evaluate(AXE.read_text())

    def check() -> None:
        report = page.evaluate("axe.run('.editor')")
        faults = [(each["id"], each["nodes"][0]["html"]) for each in report["violations"]]
        assert faults == []

    check()
    ask_color(page, 0.6, 0.5).get_by_role("listitem").get_by_role("button").nth(2).click()
    wait_for_color(page)
    check()


def test_the_buttons_of_the_popover_cover_nothing_that_has_the_focus(edit):
    page = edit()
    page.set_viewport_size({"width": 640, "height": 430})  # as at a zoom of 200 percent
    popover = ask_color(page, 0.8, 0.3)
    popover.get_by_role("listitem").get_by_role("button").first.wait_for()
    top = popover.get_by_role("button", name="Done").evaluate(
        "button => button.parentElement.getBoundingClientRect().top"
    )

    def bottom(element: Locator) -> float:
        box = element.bounding_box()
        assert box
        return box["y"] + box["height"]

    for _ in range(5):
        page.keyboard.press("Tab")
        assert bottom(popover.locator("button:focus")) <= top + 1
    radius = popover.get_by_role("slider", name="Size of the place")
    radius.focus()
    assert bottom(radius) <= top + 1
    popover.get_by_label("Color as #RRGGBB").fill("reddish")
    page.keyboard.press("Enter")
    expect(popover.get_by_role("alert")).to_be_visible()
    assert bottom(popover.get_by_role("alert")) <= top + 1


def test_the_editor_fits_a_window_of_320_pixels(edit):
    page = edit("phone")
    page.set_viewport_size({"width": 320, "height": 568})
    add_hint(page, 0.6, 0.5)
    page.get_by_role("radiogroup", name="Compare").locator("label").nth(1).click()
    for element in page.locator(".editor *:visible:not(.viewer-stage *, option)").all():
        box = element.bounding_box()
        assert box is None or (box["x"] > -2 and box["x"] + box["width"] <= 321), element
