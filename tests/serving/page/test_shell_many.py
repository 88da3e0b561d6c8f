"""Hundreds of photos on the page, and a very large one."""

import re

import cv2
import pyvips
from playwright.sync_api import expect

from colorizenet.imaging.image import Image
from colorizenet.imaging.writing import encode_image


def test_three_hundred_photos_stay_responsive(visit, gray, tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    small = encode_image(Image(gray[:60, :80]), "jpeg")
    for number in range(300):
        (folder / f"{number:03}.jpg").write_bytes(small)
    page = visit()
    page.set_input_files("#folder", str(folder))
    expect(page.locator("#summary")).to_contain_text(re.compile(r"of 300 done"))
    assert page.locator(".card").count() < 100
    expect(page.locator("#summary")).to_contain_text(re.compile(r"\d of 300 done · about .* left"))
    page.get_by_role("button", name="About").click()
    page.keyboard.press("Escape")
    expect(page.locator("#summary")).to_have_text("All 300 photos are colorized", timeout=120_000)
    while page.locator(".card").count() < 300:
        page.locator("#show-more").evaluate("e => e.scrollIntoView()")
    page.get_by_role("button", name="Open album/299.jpg").scroll_into_view_if_needed()
    expect(page.locator(".card").last.locator(".picture.colored")).to_have_count(1)
    assert page.locator(".picture.colored").count() < 60  # pictures far away are released


def test_the_keyboard_goes_on_where_more_photos_appear(visit, hold_requests, gray, tmp_path):
    small = encode_image(Image(gray[:60, :80]), "jpeg")
    for number in range(50):
        (tmp_path / f"{number:03}.jpg").write_bytes(small)
    page = visit()
    hold_requests(page)
    page.set_input_files("#files", sorted(tmp_path.glob("*.jpg")))
    more = page.get_by_role("button", name="Show more")
    more.evaluate("e => e.focus({preventScroll: true})")  # scrolling would show them, too
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(50)
    expect(page.get_by_role("button", name="Open 048.jpg")).to_be_focused()
    expect(more).to_be_hidden()


def test_a_photo_of_100_megapixels(start_server, visit_server, gray, tmp_path):
    large = cv2.resize(gray, (12_500, 8_000), interpolation=cv2.INTER_CUBIC)
    (tmp_path / "map.jpg").write_bytes(encode_image(Image(large), "jpeg"))
    page = visit_server(start_server().address)()
    page.set_input_files("#files", str(tmp_path / "map.jpg"))
    expect(page.locator("[data-state=done]")).to_have_count(1, timeout=180_000)
    expect(page.locator(".picture.colored")).to_have_count(1)
    with page.expect_download() as pending:
        page.get_by_role("button", name="Download map.jpg").click()
    result = pyvips.Image.new_from_file(str(pending.value.path()), access="sequential")
    assert (result.width, result.height, result.bands) == (12_500, 8_000, 3)
    small = result.resize(0.02).numpy().astype(int)
    assert (small.max(axis=2) - small.min(axis=2)).mean() > 3
