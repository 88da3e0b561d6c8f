"""The page for everybody: keyboards, screen readers, small screens, and languages."""

import json
import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

ROOT = Path(__file__).parents[3]
AXE = ROOT / "node_modules/axe-core/axe.min.js"
STRINGS = ROOT / "src/colorizenet/serving/page/strings"

needs_axe = pytest.mark.skipif(
    not AXE.exists() and "CI" not in os.environ, reason="needs axe-core: npm ci"
)


def choose(page: Page, *files: Path) -> None:
    page.set_input_files("#files", [str(path) for path in files])


def find_violations(page: Page) -> list[str]:
    """What axe-core holds to be an obstacle for people with disabilities."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{each['id']}: {node['html'][:120]}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_axe_finds_no_violations(visit, hold_requests, samples, tmp_path, screen, scheme):
    """In each state: empty, working, stopped, done, failed, and all dialogs."""
    (tmp_path / "letter.jpg").write_bytes(b"Dear Grandmother")
    # Colors in the middle of a transition are not those of the page.
    page = visit(screen, color_scheme=scheme, reduced_motion="reduce")
    assert find_violations(page) == []
    gate = hold_requests(page)
    names = ("cat", "temple", "moose")
    choose(page, *(samples / f"{name}.jpg" for name in names), tmp_path / "letter.jpg")
    expect(page.locator("[data-state=waiting]")).to_have_count(2)
    page.get_by_role("button", name="Stop moose.jpg").click()
    assert find_violations(page) == []
    gate.open()
    expect(page.locator("[data-state=failed]")).to_have_count(1)
    expect(page.locator("[data-state=done]")).to_have_count(2)
    assert find_violations(page) == []
    page.get_by_role("button", name="More for cat.jpg").click()
    assert find_violations(page) == []
    page.locator("#menu").get_by_role("button", name="Command line").click()
    assert find_violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="About").click()
    assert find_violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Remove all").click()
    assert find_violations(page) == []


def test_the_page_works_with_the_keyboard_alone(visit, samples):
    page = visit()
    page.on("filechooser", lambda _: None)  # opens none of the system's from now on

    def tab_to(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "document.activeElement.ariaLabel || document.activeElement.textContent.trim()"
            )
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none" or focused.startswith("Skip"), focused
            if focused.startswith(name):
                return
        raise AssertionError(f"the keyboard does not reach {name}")

    tab_to("Choose photos")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([samples / "cat.jpg", samples / "temple.jpg"])
    expect(page.locator("[data-state=done]")).to_have_count(2)
    tab_to("More for cat.jpg")
    page.keyboard.press("Enter")
    expect(page.locator("#menu button").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="More for cat.jpg")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to("Remove")
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.get_by_role("button", name="Open temple.jpg")).to_be_focused()
    tab_to("Download temple.jpg")
    with page.expect_download():
        page.keyboard.press("Enter")


def test_screen_readers_hear_what_is_said_in_a_dialog(visit, samples):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    choose(page, samples / "cat.jpg")
    expect(page.locator("[data-state=done]")).to_have_count(1)
    page.get_by_role("button", name="More for cat.jpg").click()
    page.locator("#menu").get_by_role("button", name="Command line").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("dialog:modal [aria-live]")).to_contain_text("Copied")
    page.keyboard.press("Escape")
    expect(page.locator("body > [aria-live]")).to_have_count(1)


def test_changes_are_said_to_screen_readers_but_not_each_step(visit, samples, tmp_path):
    (tmp_path / "letter.jpg").write_bytes(b"Dear Grandmother")
    page = visit()
    page.evaluate(
        """() => {
          window.said = [];
          new MutationObserver((records) => {
            for (const { addedNodes } of records) {
              for (const node of addedNodes) window.said.push(node.textContent);
            }
          }).observe(document.getElementById("live"), { childList: true });
        }"""
    )
    choose(page, samples / "cat.jpg", tmp_path / "letter.jpg")
    expect(page.locator("#live")).to_contain_text("Finished: 1 colorized, 1 failed")
    said = page.evaluate("window.said")
    assert said[0] == "2 photos added" and said[-1] == "Finished: 1 colorized, 1 failed"
    assert said[1].startswith("letter.jpg failed: The file is not a photo") and len(said) == 3


@pytest.mark.parametrize("language", ["en-US", "de-DE"])
def test_nothing_is_cut_off_at_320_pixels(visit, hold_requests, samples, language):
    options = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "locale": language}
    page = visit(**options)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    gate = hold_requests(page)
    choose(page, samples / "nagasaki-boats-1865.jpg", samples / "black-canyon-1871.jpg")
    expect(page.locator("[data-state=uploading], [data-state=coloring]")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    gate.open()
    expect(page.locator("[data-state=done]")).to_have_count(2)
    # It is hidden a moment later, which must not fall between finding and measuring it.
    expect(page.locator("#stop-all")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    controls = page.locator("button:visible, select:visible").evaluate_all(
        """(elements) => elements.map((element) => {
          const { left, right, height } = element.getBoundingClientRect();
          return [element.innerText, left, right, height, element.classList.contains("link")];
        })"""
    )
    assert len(controls) > 5
    for text, left, right, height, is_link in controls:
        assert left >= 0 and right <= 320 and (height >= 44 or is_link), text


@pytest.mark.parametrize(
    ("locale", "language", "title"),
    [
        ("de-AT", "de", "Ihre alten Fotos, in Farbe"),
        ("en-GB", "en", "Your old photos, in color"),
        ("fr-FR", "en", "Your old photos, in color"),
    ],
)
def test_the_page_speaks_the_language_of_the_browser(visit, samples, locale, language, title):
    page = visit(locale=locale)
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def test_no_text_of_the_german_page_is_english(visit, hold_requests, samples, tmp_path):
    """Every text of the page in German is one of the German strings."""
    (tmp_path / "letter.jpg").write_bytes(b"Dear Grandmother")
    page = visit(locale="de-DE")
    gate = hold_requests(page)
    english = {text for text in read_strings("en").values() if len(text) > 3 and text not in KEPT}

    def check() -> None:
        texts = page.evaluate(
            """() => [...document.querySelectorAll("body *")].flatMap((element) => [
              element.ariaLabel ?? "",
              ...[...element.childNodes].filter((node) => node.nodeType === 3).map((n) => n.data),
            ]).map((text) => text.trim())"""
        )
        assert english & set(texts) == set()

    check()
    choose(page, samples / "cat.jpg", tmp_path / "letter.jpg")
    expect(page.locator(".card")).to_have_count(2)
    check()
    gate.open()
    expect(page.locator("[data-state=done]")).to_have_count(1)
    expect(page.locator(".reason")).to_contain_text("Diese Datei ist kein Foto")
    page.get_by_role("button", name="Mehr zu cat.jpg").click()
    check()
    page.locator("#menu").get_by_role("button", name="Befehlszeile").click()
    check()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Info").click()
    check()


@pytest.mark.parametrize(
    ("status", "problem", "reason"),
    [
        (422, {"code": "damaged"}, "Dieses Foto ist beschädigt"),
        (
            413,
            {"code": "too-many-pixels", "values": {"pixels": 2.1e8, "limit": 1e8}},
            "Dieses Foto hat 210 Megapixel, die Grenze ist 100 Megapixel.",
        ),
        (
            413,
            {"code": "too-many-bytes", "values": {"bytes": 7.6e9, "limit": 4e9}},
            "Diese Datei hat 7,6 GB, die Grenze ist 4 GB.",
        ),
        (413, {"code": "too-many-pages", "values": {"pages": 30, "limit": 20}}, "hat 30 Seiten"),
        (503, {"code": "timeout", "values": {"limit": 120}}, "hat zu lange gedauert"),
        (500, {"code": "crashed"}, "Der Server konnte dieses Foto nicht"),
        # A code that is newer than the page, and one without its values.
        (422, {"code": "too-blue"}, "The photo is too blue. Use another one."),
        (413, {"code": "too-many-pages"}, "The photo is too blue. Use another one."),
        (504, {}, "hat zu lange gedauert"),
    ],
)
def test_reasons_of_the_server_are_translated(visit, samples, status, problem, reason):
    page = visit(locale="de-DE")
    body = json.dumps({"detail": "the photo is too blue; use another one", **problem})
    page.route("**/v1/colorize", lambda route: route.fulfill(status=status, body=body))
    choose(page, samples / "cat.jpg")
    expect(page.locator(".reason")).to_contain_text(reason)


def test_warnings_of_the_server_are_translated(visit, samples):
    page = visit(locale="de-DE")
    warnings = ["the picture is already in color", "the picture is too blue; look at it"]
    codes = [{"code": "already-colored"}, {"code": "too-blue"}]
    headers = {
        "Content-Type": "image/jpeg",
        "Colorizenet-Warnings": json.dumps(warnings),
        "Colorizenet-Warning-Codes": json.dumps(codes),
    }
    photo = (samples / "cat.jpg").read_bytes()
    page.route("**/v1/colorize", lambda route: route.fulfill(body=photo, headers=headers))
    choose(page, samples / "cat.jpg")
    notes = page.get_by_role("list", name="Bitte beachten").get_by_role("listitem")
    expect(notes).to_have_count(2)
    known, unknown = notes.all()
    expect(known).to_have_text("Das Foto ist schon in Farbe; seine Farben werden ersetzt.")
    assert known.get_attribute("lang") is None
    expect(unknown).to_have_text("The picture is too blue. Look at it.")
    assert unknown.get_attribute("lang") == "en"


def test_every_warning_of_the_server_has_a_text():
    sources = (ROOT / "src/colorizenet").rglob("*.py")
    source = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    codes = set(re.findall(r'Notice\(text, "([\w-]+)"', source))
    assert len(codes) > 5
    assert {f"warning.{code}" for code in codes} <= read_strings("en").keys()


KEPT = {"default"}
"""Texts that are the same in both languages."""


def read_strings(language: str) -> dict[str, str]:
    """The texts of a language, by key."""
    source = (STRINGS / f"{language}.js").read_text(encoding="utf-8")
    pairs = re.findall(r'^  ("[\w.-]+"):\s+("(?:[^"\\]|\\.)*"),$', source, re.M)
    return {json.loads(key): json.loads(text) for key, text in pairs}


def test_both_languages_have_the_same_texts_with_the_same_values():
    english, german = read_strings("en"), read_strings("de")
    assert english.keys() == german.keys() and len(english) > 100
    for key, text in english.items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", german[key])), key
