"""The contact sheet shows each photo in gray, with its result to the right."""

import numpy as np
import pytest

from colorizenet.errors import ConfigError, ImageError
from colorizenet.imaging.contact_sheet import draw_contact_sheet
from colorizenet.imaging.image import Image
from colorizenet.imaging.writing import write_image


def test_gray_is_left_and_color_is_right(tmp_path, gray, color):
    write_image(tmp_path / "a.jpg", Image(gray))
    write_image(tmp_path / "color.png", Image(color))
    sheet = draw_contact_sheet([(tmp_path / "a.jpg", tmp_path / "color.png")] * 3, tile=100).pixels
    assert sheet.shape == (2 * (61 + 8), 400, 3)
    chroma = np.ptp(sheet.astype(int), axis=2)
    assert chroma[10:60, 10:90].max() <= 1, "left is gray"
    assert chroma[10:60, 110:190].max() > 30, "right is in color"
    assert (sheet[69:, 200:] == 255).all(), "the fourth place is empty"
    first = draw_contact_sheet([(tmp_path / "color.png", tmp_path / "color.png")], tile=100).pixels
    assert np.ptp(first[10:60, 10:90].astype(int), axis=2).max() <= 1, "a color photo in gray, too"


def test_photos_of_every_depth_and_shape_fit_their_tile(tmp_path, gray):
    write_image(tmp_path / "deep.png", Image(np.uint16(257) * gray))
    write_image(tmp_path / "float.tif", Image(gray.astype(np.float32) / 255))
    write_image(tmp_path / "tall.png", Image(gray[:, :20]))
    write_image(tmp_path / "clear.png", Image(gray, np.zeros_like(gray)))
    write_image(tmp_path / "pages.tif", Image(np.concatenate([gray, 255 - gray]), pages=2))
    pairs = [
        (tmp_path / "deep.png", tmp_path / "float.tif"),
        (tmp_path / "pages.tif", tmp_path / "clear.png"),
    ]
    sheet = draw_contact_sheet(pairs, columns=1, tile=108, threads=2).pixels.astype(int)
    assert sheet.shape == (2 * (67 + 8), 216, 3)
    deep, float_ = sheet[4:71, 4:104], sheet[4:71, 112:212]
    assert np.abs(deep - float_).mean() < 2, "equal except for the filter that reduces"
    pages, clear = sheet[79:146, 4:104], sheet[79:146, 112:212]
    assert np.abs(pages - deep).mean() < 2, "the first page"
    assert (clear == 255).all(), "transparent pixels are white"
    tall = draw_contact_sheet([(tmp_path / "tall.png", tmp_path / "tall.png")], tile=108)
    assert tall.pixels.shape == (108, 432, 3)


def test_without_pairs_or_files_it_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="at least one"):
        draw_contact_sheet([])
    with pytest.raises(ImageError, match=r"missing\.jpg cannot be read"):
        draw_contact_sheet([(tmp_path / "missing.jpg", tmp_path / "missing.jpg")])


def test_photos_of_more_pixels_than_allowed_are_refused(tmp_path, gray):
    write_image(tmp_path / "a.jpg", Image(gray))
    groups = [(tmp_path / "a.jpg", tmp_path / "a.jpg")]
    with pytest.raises(ImageError, match="the limit is 1,000"):
        draw_contact_sheet(groups, max_pixels=1000)
