"""What the page keeps: reloads, full disks, other tabs, and servers that stop."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect


def choose(page: Page, *files: Path) -> None:
    page.set_input_files("#files", [str(path) for path in files])


def wait_until_done(page: Page, count: int) -> None:
    expect(page.locator("[data-state=done]")).to_have_count(count)


def wait_until_stored(page: Page, what: str, count: int) -> None:
    """Wait until so many files or results are in the database of the page."""
    found = -1
    for _ in range(200):
        found = page.evaluate(
            """(what) => new Promise((resolve) => {
              const request = indexedDB.open("colorizenet");
              request.onsuccess = () => {
                const stored = request.result.transaction(what).objectStore(what).count();
                stored.onsuccess = () => {
                  request.result.close();
                  resolve(stored.result);
                };
              };
            })""",
            what,
        )
        if found == count:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"the database has {found} {what}, not {count}")


@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_results_and_settings_survive_a_reload_until_cleared(visit, samples, screen):
    page = visit(screen)
    choose(page, samples / "temple.jpg", samples / "cat.jpg")
    wait_until_done(page, 2)
    if screen == "phone":
        page.get_by_role("button", name="Settings for all photos").click()
    with page.expect_request("**/v1/colorize"):
        page.get_by_label("Color strength").fill("0.5")
    wait_until_done(page, 2)
    wait_until_stored(page, "results", 2)
    page.route("**/v1/colorize", lambda route: route.abort())  # nothing is done again
    page.reload()
    wait_until_done(page, 2)
    assert page.locator(".name").all_inner_texts() == ["temple.jpg", "cat.jpg"]
    expect(page.get_by_label("Color strength")).to_have_value("0.5")
    with page.expect_download() as pending:
        page.get_by_role("button", name="Download cat.jpg").click()
    assert Path(pending.value.path()).stat().st_size > 10_000
    page.get_by_role("button", name="Remove all").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator(".card")).to_have_count(2)
    page.get_by_role("button", name="Remove all").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove all").click()
    expect(page.locator("#welcome")).to_be_visible()
    wait_until_stored(page, "results", 0)
    page.reload()
    expect(page.locator("#welcome")).to_be_visible()
    expect(page.locator(".card")).to_have_count(0)


def test_work_that_a_reload_interrupts_goes_on(visit, hold_requests, samples):
    page = visit()
    gate = hold_requests(page)
    choose(page, *(samples / f"{name}.jpg" for name in ("cat", "temple", "moose")))
    expect(page.locator("[data-state=uploading], [data-state=coloring]")).to_have_count(2)
    wait_until_stored(page, "files", 3)
    gate.open()
    page.reload()
    wait_until_done(page, 3)


def test_the_browser_asks_before_changes_in_the_editor_are_lost(visit, samples):
    page = visit()
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    choose(page, samples / "cat.jpg")
    wait_until_done(page, 1)
    page.get_by_role("button", name="Open cat.jpg").click()
    strength = page.locator(".editor").get_by_role("slider", name="Color strength")
    with page.expect_response("**/v1/colorize*"):
        strength.press("Home")
    expect(page.get_by_role("button", name="Apply")).to_be_enabled()
    page.wait_for_timeout(400)
    page.reload()
    assert asked == ["beforeunload"]
    wait_until_done(page, 1)
    page.get_by_role("button", name="Open cat.jpg").click()
    expect(page.get_by_role("button", name="Apply")).to_be_disabled()
    page.reload()
    assert asked == ["beforeunload"]


def test_work_goes_on_after_the_server_was_restarted(
    start_server, visit_server, hold_requests, samples
):
    server = start_server()
    page = visit_server(server.address)()
    gate = hold_requests(page)
    choose(page, *(samples / f"{name}.jpg" for name in ("cat", "temple", "moose")))
    expect(page.locator("[data-state=waiting]")).to_have_count(1)
    server.kill()
    gate.open()
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    expect(page.locator("[data-state=waiting]")).to_have_count(3)
    server.start()
    wait_until_done(page, 3)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_full_disk_is_said_and_work_goes_on(visit, samples):
    page = visit()
    page.evaluate(
        """() => {
          IDBObjectStore.prototype.put = () => {
            throw new DOMException("no space", "QuotaExceededError");
          };
        }"""
    )
    choose(page, samples / "cat.jpg", samples / "temple.jpg")
    expect(page.get_by_role("alert")).to_contain_text("This browser has no more space")
    wait_until_done(page, 2)


def test_the_space_of_a_result_whose_photo_was_not_kept_is_freed(visit, samples):
    page = visit()
    page.evaluate(
        """() => {
          const {put} = IDBObjectStore.prototype;
          IDBObjectStore.prototype.put = function (...values) {
            if (this.name === "files") throw new DOMException("no space", "QuotaExceededError");
            return put.apply(this, values);
          };
        }"""
    )
    choose(page, samples / "cat.jpg")
    wait_until_done(page, 1)
    wait_until_stored(page, "results", 1)
    page.reload()
    expect(page.locator("#welcome")).to_be_visible()
    wait_until_stored(page, "results", 0)


def test_a_browser_without_storage_is_said_and_work_goes_on(visit, samples):
    page = visit()
    page.add_init_script("IDBFactory.prototype.open = () => { throw new DOMException('no'); }")
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("does not let the page keep photos")
    choose(page, samples / "cat.jpg")
    wait_until_done(page, 1)


def test_a_second_tab_does_not_take_the_photos_of_the_first(visit, samples):
    page = visit()
    choose(page, samples / "cat.jpg")
    wait_until_done(page, 1)
    other = visit.open(page.context)
    expect(other.get_by_role("alert")).to_contain_text("open in another tab")
    choose(other, samples / "temple.jpg")
    wait_until_done(other, 1)
    other.close()
    page.reload()
    wait_until_done(page, 1)
    expect(page.locator(".name")).to_have_text("cat.jpg")
