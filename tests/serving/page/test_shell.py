"""The page as a person uses it: photos in, colors, photos out."""

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from colorizenet.imaging import tiff
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image

SCREENS = ["desktop", "phone"]
STUB_EDITOR = Path(__file__).with_name("stub_editor.js")


def choose(page: Page, *files: Path) -> None:
    page.set_input_files("#files", [str(path) for path in files])


def card(page: Page, name: str) -> Locator:
    """The photo of the list with this name."""
    heading = page.get_by_role("heading", name=name, exact=True)
    return page.locator(".card").filter(has=heading)


def wait_until_done(page: Page, count: int) -> None:
    expect(page.locator("[data-state=done]")).to_have_count(count)


def download(page: Page, button: Locator) -> tuple[str, bytes]:
    with page.expect_download() as pending:
        button.click()
    return pending.value.suggested_filename, Path(pending.value.path()).read_bytes()


def choose_in_menu(page: Page, name: str, item: str) -> Locator:
    """Open the menu of a photo; return one of its items."""
    page.get_by_role("button", name=f"More for {name}", exact=True).click()
    return page.locator("#menu").get_by_role("button", name=item)


def colorfulness(encoded: bytes) -> float:
    return float(np.ptp(read_image(encoded).pixels.astype(int), axis=2).mean())


def use_stub_editor(page: Page) -> None:
    page.route(
        "**/editor/editor.js",
        lambda route: route.fulfill(
            body=STUB_EDITOR.read_text(), content_type="text/javascript; charset=utf-8"
        ),
    )


def edit(page: Page, name: str, changes: dict[str, Any], leave: str = "Apply") -> None:
    """Change the settings of one photo in the editor."""
    page.get_by_role("button", name=f"Open {name}", exact=True).click()
    page.get_by_label("Changes").fill(json.dumps(changes))
    page.get_by_role("button", name="Change").click()
    page.get_by_role("button", name=leave).click()


@pytest.mark.parametrize("screen", SCREENS)
def test_a_photo_keeps_its_name_format_depth_and_metadata(visit, tmp_path, gray, screen):
    """Browsers cannot show TIFF: its pictures come from the server."""
    deep = np.repeat(np.repeat(gray.astype(np.uint16) * 257, 2, axis=0), 2, axis=1)
    carried = Metadata(exif=tiff.make_exif_block({315: (tiff.ASCII, b"Dorothea Lange\0")}))
    photo = tmp_path / "grandmother's cat & dog <1921>.tif"
    photo.write_bytes(encode_image(Image(deep, metadata=carried), "tiff"))
    page = visit(screen)
    choose(page, photo)
    name, encoded = download(page, page.get_by_role("button", name="Download grandmother"))
    result = read_image(encoded)
    assert name.endswith(".tif") and name.startswith("grandmother")
    assert b"Dorothea Lange" in encoded
    assert result.pixels.dtype == np.uint16 and result.pixels.shape == (600, 902, 3)
    assert colorfulness(encoded) > 5 * 257
    expect(page.locator(".picture.colored")).to_have_count(1)
    assert page.locator("canvas.after").evaluate("e => e.width / e.height") == pytest.approx(
        902 / 600, rel=0.02
    )


def test_a_very_tall_photo_takes_no_more_memory_in_the_list_than_others(visit, tmp_path):
    photo = tmp_path / "strip.png"
    photo.write_bytes(encode_image(Image(np.full((3000, 6), 128, np.uint8)), "png"))
    page = visit()
    choose(page, photo)
    wait_until_done(page, 1)
    expect(page.locator(".picture.colored")).to_have_count(1)
    width, height = page.locator("canvas.after").evaluate("e => [e.width, e.height]")
    assert height <= 1600 and 1 <= width <= 6


@pytest.mark.parametrize("screen", SCREENS)
def test_a_sample_photo_is_tried(visit, screen):
    page = visit(screen)
    button = page.get_by_role("button", name="Try the sample photo “moose”")
    assert button.locator("img").evaluate("async (e) => (await e.decode(), e.naturalWidth)") > 100
    button.click()
    wait_until_done(page, 1)
    expect(page.locator(".name")).to_have_text("moose.jpg")


def test_a_sample_photo_that_cannot_be_fetched_can_be_tried_again(visit):
    page = visit()
    page.route("**/samples/moose.jpg", lambda route: route.abort())
    button = page.get_by_role("button", name="Try the sample photo “moose”")
    button.click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(button).to_be_enabled()


@pytest.mark.parametrize("screen", SCREENS)
def test_bad_files_are_explained_and_do_not_stop_the_others(visit, samples, tmp_path, screen):
    (tmp_path / "broken.jpg").write_bytes((samples / "cat.jpg").read_bytes()[:9000])
    (tmp_path / "letter.jpg").write_bytes(b"Dear Grandmother")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "large.jpg").write_bytes(bytes(2_000_001))
    bad = [tmp_path / f"{name}.jpg" for name in ("broken", "letter", "empty", "large")]
    page = visit(screen)
    expect(page.locator("#limits")).to_contain_text("Up to 2 MB and")
    uploads: list[int] = []
    page.on(
        "request",
        lambda request: uploads.append(1) if "/v1/colorize" in request.url else None,
    )
    choose(page, bad[0], samples / "cat.jpg", *bad[1:], samples / "temple.jpg")
    wait_until_done(page, 2)
    expect(page.locator("[data-state=failed]")).to_have_count(4)
    for name, reason in {
        "broken.jpg": "damaged or cut short",
        "letter.jpg": "not a photo in a supported format",
        "empty.jpg": "This file is empty",
        "large.jpg": "This file has 2 MB and the limit is 2 MB. Use a smaller file.",
    }.items():
        expect(card(page, name).locator(".reason")).to_contain_text(reason)
    assert len(uploads) == 4  # the empty one and the large one are not sent
    expect(page.locator("#summary")).to_have_text("Finished: 2 colorized, 4 failed")
    page.get_by_role("button", name="Show the 4 that failed").click()
    expect(page.locator(".card")).to_have_count(4)
    page.get_by_role("button", name="Remove empty.jpg").press("Enter")
    expect(page.locator(".card")).to_have_count(3)
    expect(page.locator(".card button:focus")).to_have_count(1)
    page.get_by_role("button", name="Try again: letter.jpg").press("Enter")
    expect(page.locator(".card")).to_have_count(3)  # it has left the list, and is back
    expect(page.locator(".card button:focus")).to_have_count(1)
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".card")).to_have_count(5)


def test_a_folder_keeps_its_structure_in_the_archive(visit, samples, tmp_path):
    folder = tmp_path / "Großeltern"
    (folder / "1921/été").mkdir(parents=True)
    shutil.copy(samples / "cat.jpg", folder / "cat.jpg")
    shutil.copy(samples / "temple.jpg", folder / "1921/été/cat.jpg")
    (folder / "letter.txt").write_text("Dear Grandmother")
    (folder / ".hidden.jpg").write_bytes(b"")
    page = visit()
    page.set_input_files("#folder", str(folder))
    expect(page.get_by_role("alert")).to_contain_text("1 file in the folder is not a photo")
    wait_until_done(page, 2)
    choose(page, samples / "cat.jpg", samples / "cat.jpg")
    wait_until_done(page, 4)
    name, archive = download(page, page.get_by_role("button", name="Download all"))
    assert name == "colorized.zip"
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        assert file.testzip() is None
        assert sorted(file.namelist()) == [
            "Großeltern/1921/été/cat.jpg",
            "Großeltern/cat.jpg",
            "cat.jpg",
            "cat.jpg.2.jpg",
        ]
        assert all(colorfulness(file.read(name)) > 3 for name in file.namelist())


def drop(page: Page, *files: Path) -> None:
    """Drop files or folders onto the page, which must say where they go."""
    session = page.context.new_cdp_session(page)
    for event in ("dragEnter", "dragOver", "drop"):
        data = {"items": [], "files": [str(each) for each in files], "dragOperationsMask": 1}
        session.send("Input.dispatchDragEvent", {"type": event, "x": 600, "y": 400, "data": data})
        if event == "dragOver":
            expect(page.locator("#overlay")).to_be_visible()
    expect(page.locator("#overlay")).to_be_hidden()


def test_files_and_folders_are_dropped(visit, samples, tmp_path):
    (tmp_path / "album/summer").mkdir(parents=True)
    shutil.copy(samples / "cat.jpg", tmp_path / "album/summer/cat.jpg")
    shutil.copy(samples / "temple.jpg", tmp_path / "temple.jpg")
    page = visit()
    drop(page, tmp_path / "album", tmp_path / "temple.jpg")
    wait_until_done(page, 2)
    expect(page.locator(".name").nth(0)).to_have_text("album/summer/cat.jpg")
    expect(page.locator(".name").nth(1)).to_have_text("temple.jpg")


def test_the_editor_says_that_photos_are_dropped_behind_it(visit, samples):
    page = visit()
    page.set_input_files("#files", samples / "cat.jpg")
    wait_until_done(page, 1)
    page.get_by_role("button", name="Open cat.jpg", exact=True).click()
    page.get_by_role("toolbar", name="View").wait_for()
    note = page.locator("#editor").get_by_role("status").filter(has_text="1 photo added")
    drop(page, samples / "temple.jpg")
    expect(note).to_be_visible()
    expect(note).to_be_hidden()
    page.get_by_role("button", name="Close the editor").click()
    wait_until_done(page, 2)


def test_a_picture_is_pasted(visit, samples):
    page = visit()
    page.evaluate(
        """(bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "image.jpg", { type: "image/jpeg" }));
          const options = { clipboardData: data, bubbles: true };
          document.body.dispatchEvent(new ClipboardEvent("paste", options));
        }""",
        list((samples / "cat.jpg").read_bytes()),
    )
    wait_until_done(page, 1)
    expect(page.locator(".name")).to_have_text("image.jpg")


def test_a_phone_offers_its_camera(visit):
    expect(visit("phone").get_by_role("button", name="Take a photo")).to_be_visible()
    page = visit("desktop")
    expect(page.get_by_role("button", name="Take a photo")).to_be_hidden()
    assert page.locator("#camera").get_attribute("capture") == "environment"


@pytest.mark.parametrize("screen", SCREENS)
def test_work_is_stopped_continued_and_removed_at_any_time(visit, hold_requests, samples, screen):
    page = visit(screen)
    gate = hold_requests(page)
    choose(page, *(samples / f"{name}.jpg" for name in ("cat", "temple", "moose", "astronaut")))
    expect(page.locator("[data-state=waiting]")).to_have_count(2)
    expect(page.locator("#summary")).to_have_text("0 of 4 done")
    page.get_by_role("button", name="Stop cat.jpg").click()
    expect(card(page, "cat.jpg")).to_have_attribute("data-state", "stopped")
    expect(page.locator("[data-state=waiting]")).to_have_count(1)  # the next one has begun
    page.get_by_role("button", name="Remove temple.jpg").click()
    expect(page.locator(".card")).to_have_count(3)
    page.get_by_role("button", name="Stop all").click()
    expect(page.locator("[data-state=stopped]")).to_have_count(3)
    expect(page.get_by_role("button", name="Continue")).to_be_focused()
    gate.open()
    page.get_by_role("button", name="Try again: cat.jpg").click()
    wait_until_done(page, 1)
    page.get_by_role("button", name="Continue").click()
    wait_until_done(page, 3)
    expect(page.locator("#photos")).to_be_focused()


def test_messages_are_seen_wherever_a_person_has_scrolled(visit, samples):
    page = visit("phone")
    choose(page, *(samples / f"{name}.jpg" for name in ("cat", "temple", "moose")))
    wait_until_done(page, 3)
    page.route("**/editor/editor.js", lambda route: route.abort())
    page.get_by_role("button", name="Open moose.jpg").click()
    message = page.get_by_role("alert").filter(has_text="The editor could not be opened")
    expect(message).to_be_in_viewport(ratio=1)
    page.unroute("**/editor/editor.js")
    page.get_by_role("button", name="Open moose.jpg").click()
    expect(page.get_by_role("toolbar", name="View")).to_be_visible()
    page.get_by_role("button", name="Close the editor").click()
    expect(message).to_have_count(0)


def test_results_are_downloaded_together_also_after_new_work_was_stopped(
    visit, hold_requests, samples
):
    page = visit()
    choose(page, samples / "cat.jpg", samples / "temple.jpg")
    wait_until_done(page, 2)
    gate = hold_requests(page)
    page.get_by_label("Color strength").fill("0")
    expect(page.locator("[data-state=done]")).to_have_count(0)
    page.get_by_role("button", name="Stop all").click()
    _, archive = download(page, page.get_by_role("button", name="Download all"))
    assert zipfile.ZipFile(io.BytesIO(archive)).namelist() == ["cat.jpg", "temple.jpg"]
    gate.open()


def test_the_old_picture_stays_until_the_new_one_is_there(visit, hold_requests, samples):
    page = visit()
    choose(page, samples / "cat.jpg")
    wait_until_done(page, 1)
    first = download(page, page.get_by_role("button", name="Download cat.jpg"))[1]
    expect(page.locator(".picture.colored")).to_have_count(1)
    gate = hold_requests(page)
    page.get_by_label("Color strength").fill("0")
    expect(page.locator("[data-state=done]")).to_have_count(0)
    expect(page.locator(".picture.colored")).to_have_count(1)
    assert download(page, page.get_by_role("button", name="Download cat.jpg"))[1] == first
    gate.open()
    wait_until_done(page, 1)
    assert colorfulness(download(page, page.get_by_role("button", name="Download"))[1]) == 0


def test_settings_for_all_leave_photos_with_their_own_alone(visit, samples):
    page = visit()
    use_stub_editor(page)
    choose(page, samples / "cat.jpg", samples / "temple.jpg")
    wait_until_done(page, 2)
    edit(page, "cat.jpg", {"strength": 0})
    expect(card(page, "cat.jpg")).to_contain_text("own settings")
    wait_until_done(page, 2)
    page.get_by_label("Save as").select_option("PNG")
    page.get_by_label("Model").select_option("small")
    expect(card(page, "temple.jpg")).to_contain_text("PNG")
    wait_until_done(page, 2)
    name, encoded = download(page, page.get_by_role("button", name="Download temple.jpg"))
    assert name == "temple.png" and encoded.startswith(b"\x89PNG")
    name, encoded = download(page, page.get_by_role("button", name="Download cat.jpg"))
    assert name == "cat.jpg" and colorfulness(encoded) == 0
    choose_in_menu(page, "cat.jpg", "Use the settings for all").click()
    expect(card(page, "cat.jpg")).to_contain_text("PNG")
    wait_until_done(page, 2)


def test_the_editor_says_that_it_opens_and_can_be_left_meanwhile(visit, samples):
    page = visit()
    choose(page, samples / "cat.jpg")
    wait_until_done(page, 1)
    held: list[Route] = []
    page.route("**/editor/editor.js", lambda route: held.append(route))  # a slow network
    page.get_by_role("button", name="Open cat.jpg").click()
    expect(page.get_by_role("dialog", name="cat.jpg")).to_contain_text("Opening …")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    for route in held:
        route.continue_()
    page.wait_for_timeout(500)
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Open cat.jpg").click()
    expect(page.get_by_role("toolbar", name="View")).to_be_visible()


def test_leaving_the_editor_without_changes_does_nothing(visit, hold_requests, samples):
    page = visit()
    use_stub_editor(page)
    choose(page, samples / "cat.jpg")
    wait_until_done(page, 1)
    opener = page.get_by_role("button", name="Open cat.jpg")
    opener.click()
    opened = json.loads(page.locator("#editor output").inner_text())
    assert opened["name"] == "cat.jpg" and opened["colored"] and opened["settings"]["strength"] == 1
    gate = hold_requests(page)
    page.keyboard.press("Escape")
    expect(page.locator("#editor")).to_be_hidden()
    expect(opener).to_be_focused()
    expect(card(page, "cat.jpg")).not_to_contain_text("own settings")
    assert gate.held == []
    gate.open()
    edit(page, "cat.jpg", {"strength": 0.5}, leave="Leave")
    expect(card(page, "cat.jpg")).to_contain_text("own settings")


def test_the_command_line_repeats_the_result(visit, samples, tmp_path):
    """Run the command that the page shows, with the hints that it saves."""
    shutil.copy(samples / "temple.jpg", tmp_path / "our temple.jpg")
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    use_stub_editor(page)
    choose(page, tmp_path / "our temple.jpg")
    wait_until_done(page, 1)
    hints = [{"x": 0.4, "y": 0.6, "color": "#2e6b3a"}, {"x": 0.8, "y": 0.2, "color": None}]
    edit(page, "our temple.jpg", {"strength": 1.2, "model": "small", "hints": hints})
    expect(page.locator("[data-state=done]")).to_contain_text("own settings")
    _, expected = download(page, page.get_by_role("button", name="Download our temple"))
    choose_in_menu(page, "our temple.jpg", "Command line").click()
    name, saved = download(page, page.get_by_role("button", name="Save the hints"))
    (tmp_path / name).write_bytes(saved)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command == page.locator("#command code").inner_text()
    assert command == (
        'colorizenet colorize "our temple.jpg" --model small --strength 1.2 '
        '--hints "our temple.hints.json"'
    )
    arguments = [sys.executable, "-m", *shlex.split(command)]
    subprocess.run(arguments, cwd=tmp_path, check=True, capture_output=True)
    written = (tmp_path / "colorized/our temple.jpg").read_bytes()
    assert np.array_equal(read_image(written).pixels, read_image(expected).pixels)


def test_the_menu_of_a_photo_is_narrow_and_at_its_button(visit, samples):
    page = visit()
    page.set_input_files("#files", [samples / "cat.jpg", samples / "temple.jpg"])
    wait_until_done(page, 2)
    button = page.get_by_role("button", name="More for cat.jpg")
    button.click()
    menu = page.locator("#menu").bounding_box()
    place = button.bounding_box()
    assert menu and place
    assert menu["width"] < 450
    assert menu["x"] + menu["width"] == pytest.approx(place["x"] + place["width"], abs=1)


def test_before_and_after_are_saved_as_one_picture(visit, samples):
    page = visit()
    choose(page, samples / "cat.jpg")
    wait_until_done(page, 1)
    item = choose_in_menu(page, "cat.jpg", "Before and after")
    name, encoded = download(page, item)
    pixels = read_image(encoded).pixels.astype(int)
    width = read_image((samples / "cat.jpg").read_bytes()).pixels.shape[1]
    assert name == "cat-before-after.jpg" and pixels.shape[1] == 2 * width + 12
    assert np.ptp(pixels[:, : width - 8], axis=2).mean() < 2
    assert np.ptp(pixels[:, -width:], axis=2).mean() > 5


def test_the_panel_about_the_page_says_what_it_is(visit):
    page = visit()
    page.get_by_role("button", name="About").click()
    panel = page.get_by_role("dialog", name="About ColorizeNet")
    for text in ("Version", "guesses", "trained on", "MiniPlaces", "Apache-2.0", "small"):
        expect(panel).to_contain_text(text)
    expect(panel.get_by_role("link")).to_have_attribute("href", re.compile("^https://"))
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.get_by_role("button", name="About")).to_be_focused()


def test_warnings_of_a_result_are_shown(visit, tmp_path, gray):
    colored = np.stack([gray, gray[::-1], gray[:, ::-1]], axis=2)
    (tmp_path / "colored.png").write_bytes(encode_image(Image(colored), "png"))
    page = visit()
    choose(page, tmp_path / "colored.png")
    expect(page.get_by_role("list", name="Please note")).to_contain_text("already in color")
