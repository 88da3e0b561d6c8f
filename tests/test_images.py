"""Files in and out: nothing that a photograph carries is lost, and what is lost is said."""

import io
import stat
import struct
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest
import pyvips

from colorizenet.errors import ImageError
from colorizenet.imaging import tiff
from colorizenet.imaging.formats import FORMATS
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import choose_format, encode_image, write_image

BOMB = {"compression": "deflate", "tile": True}
LOSSLESS = ("png", "tiff")


def saved(pixels: np.ndarray, ending: str, **options: object) -> bytes:
    """The bytes that libvips itself writes."""
    array = pixels if pixels.ndim == 3 else pixels[..., None]
    return pyvips.Image.new_from_array(array).write_to_buffer(ending, **options)


def noise(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(
        0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True
    )


@pytest.mark.parametrize("format", LOSSLESS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("alpha", [False, True])
def test_lossless_formats_keep_every_pixel(format, dtype, channels, alpha):
    image = Image(
        noise(37, 23, *channels, dtype=dtype),
        noise(37, 23, dtype=dtype) if alpha else None,
        format=format,
    )
    back = read_image(encode_image(image))
    assert back.format == format
    assert back.pixels.dtype == dtype
    assert np.array_equal(back.pixels, image.pixels)
    assert (back.alpha is None) if not alpha else np.array_equal(back.alpha, image.alpha)


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_lossy_formats_stay_close(format, color):
    back = read_image(encode_image(Image(color, format=format)))
    assert back.format == format
    assert back.pixels.shape == color.shape
    assert np.abs(back.pixels.astype(int) - color).mean() < 4


def test_quality_decides_the_size_of_the_file(color):
    sizes = [len(encode_image(Image(color), "jpeg", quality=quality)) for quality in (30, 60, 95)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] / 2


def test_the_format_is_told_by_content_not_by_name(tmp_path, gray):
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(saved(gray, ".png"))
    assert read_image(path).format == "png"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_then_gone(orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 255  # top left
    turned = pyvips.Image.new_from_array(upright)
    inverse = {2: "fliphor", 3: "rot180", 4: "flipver", 6: "rot270", 8: "rot90"}
    if orientation in inverse:
        turned = getattr(turned, inverse[orientation])()
    elif orientation == 5:
        turned = turned.rot90().fliphor()
    elif orientation == 7:
        turned = turned.rot270().fliphor()
    turned = turned.copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    image = read_image(turned.write_to_buffer(".png"))
    assert np.array_equal(image.pixels, upright)
    again = pyvips.Image.new_from_buffer(encode_image(image), "")
    assert not again.get_typeof("orientation") or again.get("orientation") == 1


def test_exif_xmp_and_resolution_are_carried(gray):
    made = pyvips.Image.new_from_array(gray[..., None]).copy(
        interpretation="b-w", xres=11.811, yres=11.811
    )
    made.set_type(
        pyvips.GValue.gstr_type,
        "exif-ifd0-Artist",
        "Dorothea Lange (Dorothea Lange, ASCII, 15 components)",
    )
    made.set_type(pyvips.GValue.blob_type, "xmp-data", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    image = read_image(made.write_to_buffer(".jpg"))
    back = pyvips.Image.new_from_buffer(encode_image(image.with_pixels(np.dstack([gray] * 3))), "")
    assert "Dorothea Lange" in back.get("exif-ifd0-Artist")
    assert back.get("xmp-data") == b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    assert back.xres == pytest.approx(11.811, rel=1e-3)
    assert back.get_typeof("icc-profile-data"), "results say that they are sRGB"


def test_a_profile_is_honored():
    """The same numbers mean a more saturated color in Display P3 than in sRGB."""
    wide = np.full((8, 8, 3), (200, 60, 60), np.uint8)
    plain = pyvips.Image.new_from_array(wide).copy(interpretation="srgb")
    tagged = plain.icc_transform("p3", input_profile="srgb")  # attaches the P3 profile
    assert not np.array_equal(tagged.numpy(), wide)
    assert np.abs(read_image(tagged.write_to_buffer(".png")).pixels.astype(int) - wide).max() <= 1


def test_cmyk_becomes_srgb():
    ink = pyvips.Image.new_from_array(np.zeros((8, 8, 4), np.uint8)).copy(interpretation="cmyk")
    pixels = read_image(ink.write_to_buffer(".tif")).pixels
    assert pixels.shape == (8, 8, 3) and pixels.min() > 240, "no ink is white paper"


def test_one_bit_is_black_and_white():
    bits = np.zeros((8, 16), np.uint8)
    bits[:, 8:] = 255
    pixels = read_image(saved(bits, ".tif", bitdepth=1)).pixels
    assert np.array_equal(pixels, bits)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_picture_is_an_error(ending, share, color):
    whole = saved(color, ending)
    with pytest.raises(ImageError, match=r"damaged or cut short|not a picture"):
        read_image(whole[: int(len(whole) * share)])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_png_with_a_wrong_checksum_is_an_error(share, color):
    broken = bytearray(saved(color, ".png"))
    broken[int(len(broken) * share)] ^= 0xFF
    with pytest.raises(ImageError, match="damaged"):
        read_image(bytes(broken))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"hello, I am a text", "not a picture we read"),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'/>",
            "not a picture we read",
        ),
        (b"GIF89a" + bytes(32), "damaged or cut short"),
        (b"BM" + bytes(64), "not a picture we read"),
        (b"%PDF-1.7\n", "not a picture we read"),
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(128), "not a picture we read"),
        (b"P5\n# a comment\n4 4\n255\n" + bytes(15), "damaged or cut short"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "not a picture we read"),
    ],
)
def test_what_is_no_picture_is_refused(content, expected):
    with pytest.raises(ImageError, match=expected):
        read_image(content)


def test_what_we_could_only_get_wrong_is_refused_in_words():
    with pytest.raises(ImageError, match="holds int pixels"):
        read_image(pyvips.Image.black(4, 4).cast("int").write_to_buffer(".tif"))
    for wrong in (1.5, -0.1, np.nan):
        with pytest.raises(ImageError, match="floating-point values outside"):
            read_image(saved(np.full((4, 4), wrong, np.float32), ".tif"))


def test_floating_point_is_kept(gray):
    floats = (gray / 255).astype(np.float32)
    image = read_image(saved(floats, ".tif"))
    assert image.pixels.dtype == np.float32 and np.array_equal(image.pixels, floats)
    assert np.array_equal(read_image(encode_image(image)).pixels, floats)


def test_every_page_of_a_tiff_is_kept():
    pages = noise(24, 10)
    roll = pyvips.Image.new_from_array(pages[..., None]).copy()
    roll.set_type(pyvips.GValue.gint_type, "page-height", 8)
    image = read_image(roll.write_to_buffer(".tif"))
    assert image.pages == 3 and np.array_equal(image.pixels, pages)
    back = read_image(encode_image(image))
    assert back.pages == 3 and np.array_equal(back.pixels, pages)
    assert (
        choose_format(image, "png").format == "tiff"
        and "one page" in choose_format(image, "png").reason
    )


def test_of_a_gif_the_first_frame_is_read(color):
    frames = pyvips.Image.new_from_array(
        np.concatenate([color[..., :1], 255 - color[..., :1]])
    ).copy()
    frames.set_type(pyvips.GValue.gint_type, "page-height", len(color))
    image = read_image(frames.write_to_buffer(".gif"))
    assert image.pixels.shape[:2] == color.shape[:2] and image.pages == 1
    assert (
        np.abs(
            image.pixels.reshape(*color.shape[:2], -1)[..., 0].astype(int) - color[..., 0]
        ).mean()
        < 16
    )
    assert choose_format(image).format == "png" and "gif" in choose_format(image).reason


@pytest.mark.parametrize(
    ("header", "dtype", "top"), [(b"P5", "u1", 255), (b"P5", ">u2", 65535), (b"P5", ">u2", 1023)]
)
def test_gray_pnm_of_any_depth(header, dtype, top):
    values = np.linspace(0, top, 12).round().astype(dtype).reshape(3, 4)
    image = read_image(header + b"\n# scanned\n4 3\n%d\n" % top + values.tobytes())
    full = 255 if top == 255 else 65535
    assert np.abs(image.pixels - np.round(values.astype(float) * full / top)).max() <= 1
    assert image.pixels.dtype == ("uint8" if top == 255 else "uint16")


def test_pnm_in_color_and_of_one_bit():
    rgb = noise(3, 4, 3)
    assert np.array_equal(read_image(b"P6 4 3 255\n" + rgb.tobytes()).pixels, rgb)
    assert np.array_equal(read_image(b"P4 8 2\n\x0f\xff").pixels, [[255] * 4 + [0] * 4, [0] * 8])
    with pytest.raises(ImageError, match="100000 x 100000 pixels and the limit"):
        read_image(b"P6 100000 100000 255\n" + bytes(64))


def test_a_palette_becomes_color(color):
    image = read_image(pyvips.Image.new_from_array(color).write_to_buffer(".png", palette=True))
    assert (
        image.pixels.shape == color.shape and np.abs(image.pixels.astype(int) - color).mean() < 12
    )


@pytest.mark.parametrize("format", ["avif", "heic", "jxl"])
@pytest.mark.parametrize("alpha", [False, True])
def test_newer_formats_stay_close(format, alpha, color, gray):
    back = read_image(encode_image(Image(color, gray if alpha else None, format=format)))
    assert back.format == format and np.abs(back.pixels.astype(int) - color).mean() < 4
    assert (back.alpha is not None) == alpha
    again = read_image(encode_image(Image(gray, format=format)))
    assert np.abs(again.pixels.reshape(*gray.shape, -1)[..., 0].astype(int) - gray).mean() < 4


@pytest.mark.parametrize("format", ["avif", "heic"])
def test_newer_formats_keep_more_than_8_bits(format):
    ramp = np.repeat(np.linspace(20_000, 24_000, 256)[None], 64, axis=0)
    deep = np.dstack([ramp] * 3).astype(np.uint16)
    back = read_image(encode_image(Image(deep, format=format), quality=100)).pixels
    assert back.dtype == np.uint16 and len(np.unique(back[32, :, 1])) > 32, (
        "8 bits have 16 levels there"
    )


def test_a_missing_extra_is_said(gray, monkeypatch):
    encoded = encode_image(Image(gray, format="heic"))
    monkeypatch.setattr("colorizenet.imaging.formats.find_spec", lambda name: None)
    with pytest.raises(ImageError, match=r"pip install 'colorizenet\[formats\]'"):
        read_image(encoded)


@pytest.mark.parametrize("damaged", [b"no profile " * 30, None], ids=["junk", "cut short"])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_damaged_profile_is_reported_and_srgb_assumed(damaged, mode, color):
    sound = pyvips.Image.jpegload_buffer(saved(color, ".jpg", profile="p3")).get("icc-profile-data")
    file = io.BytesIO()
    PIL.Image.fromarray(color).convert(mode).save(
        file, "TIFF", icc_profile=damaged or sound[: len(sound) // 2]
    )
    image = read_image(file.getvalue())
    (warning,) = image.warnings
    assert "damaged color profile" in warning and warning.endswith("sRGB was assumed")
    plain = io.BytesIO()
    PIL.Image.fromarray(color).convert(mode).save(plain, "TIFF")
    assert np.array_equal(image.pixels, read_image(plain.getvalue()).pixels)


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits"])
def test_a_tiff_is_compressed_as_it_came(compression, gray):
    encoded = saved(gray, ".tif", compression=compression)
    image = read_image(encoded)
    assert image.compression == compression
    back = encode_image(image)
    assert read_image(back).compression == compression
    if compression == "none":
        assert len(back) >= gray.size


@pytest.mark.parametrize("bigtiff", [False, True])
def test_exif_of_a_tiff_is_kept_in_a_tiff_and_in_a_jpeg(gray, bigtiff):
    made = pyvips.Image.new_from_array(gray[..., None])
    file = io.BytesIO(made.write_to_buffer(".tif", bigtiff=bigtiff))
    taken = {36867: (2, b"1936:03:09 12:00:00\0"), 33437: (5, struct.pack("<II", 28, 10))}
    tiff.add_tags(file, {271: (2, b"Graflex\0"), 315: (2, b"Dorothea Lange\0"), 34665: (4, taken)})
    image = read_image(file.getvalue())
    for format in ("tiff", "jpeg", "png"):
        encoded = encode_image(replace(image, note="ColorizeNet 9"), format)
        again = read_image(encoded)
        assert np.abs(again.pixels.astype(int) - gray).mean() < 4
        tags = tiff.exif_tags(again.carried["exif-data"][1])
        assert (
            tags[271][1].rstrip(b"\0") == b"Graflex"
            and tags[315][1].rstrip(b"\0") == b"Dorothea Lange"
        )
        assert tags[305][1].rstrip(b"\0") == b"ColorizeNet 9"
        assert tags[34665][1][36867][1] == b"1936:03:09 12:00:00\0"
        assert struct.unpack("<II", tags[34665][1][33437][1]) == (28, 10)


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/tiff" '
    'xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" e:DigitalSourceType="http://example.com/camera"/>'
    "</rdf:RDF></x:xmpmeta>"
)


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp", "avif", "heic"])
@pytest.mark.parametrize("before", [b"", XMP.encode()])
def test_the_note_is_in_exif_and_in_xmp(format, before, gray):
    carried = {"xmp-data": (pyvips.GValue.blob_type, before)} if before else {}
    plain = Image(np.dstack([gray] * 3), format=format, carried=carried)
    noted = read_image(
        encode_image(replace(plain, note="ColorizeNet 9: colors (all) reconstructed"))
    )
    assert tiff.exif_tags(noted.carried["exif-data"][1])[305][1].startswith(
        b"ColorizeNet 9: colors (all) reconstructed"
    )
    xmp = ElementTree.fromstring(noted.carried["xmp-data"][1])
    name = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    (source,) = [element.attrib[name] for element in xmp.iter() if name in element.attrib]
    assert source.endswith("/compositeWithTrainedAlgorithmicMedia")
    assert (b"image/tiff" in noted.carried["xmp-data"][1]) == bool(before)
    silent = read_image(encode_image(plain))
    assert (
        "Software" not in str(silent.carried) and b"Algorithmic" not in str(silent.carried).encode()
    )


def test_software_that_made_the_scan_is_kept_beside_the_note(gray):
    made = pyvips.Image.new_from_array(gray[..., None]).copy()
    made.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Software", "VueScan 9 (pro) (ASCII)")
    image = replace(read_image(made.write_to_buffer(".jpg")), note="ColorizeNet 9")
    once = read_image(encode_image(image))
    twice = read_image(encode_image(replace(once, note="ColorizeNet 9")))
    for again in (once, twice):
        assert (
            tiff.exif_tags(again.carried["exif-data"][1])[305][1].rstrip(b"\0")
            == b"VueScan 9 (pro); ColorizeNet 9"
        )


def test_what_a_format_cannot_hold_has_another_that_can():
    deep, glass = Image(noise(4, 4, 3, dtype="uint16")), Image(noise(4, 4, 3), noise(4, 4))
    wide = Image(np.zeros((1, 16_384), np.uint8))
    assert [choose_format(deep, format).format for format in ("jpeg", "webp", "avif")] == [
        "png",
        "png",
        "avif",
    ]
    assert (
        choose_format(glass, "jpeg").format == "png"
        and choose_format(glass, "webp").format == "webp"
    )
    assert (
        choose_format(wide, "webp").format == "png"
        and "16,383" in choose_format(wide, "webp").reason
    )
    assert choose_format(Image(np.zeros((65_501, 1), np.uint8)), "jpeg").format == "png"


def test_large_jpegs_have_half_the_chroma_and_small_ones_all_of_it(color):
    def subsampling(pixels: np.ndarray) -> object:
        return pyvips.Image.jpegload_buffer(encode_image(Image(pixels, format="jpeg"))).get(
            "jpeg-chroma-subsample"
        )

    assert subsampling(color) == "4:4:4"
    assert subsampling(np.tile(color, (3, 3, 1))) == "4:2:0"


def test_loaders_that_are_unsafe_for_strangers_files_are_off(tmp_path):
    (tmp_path / "m.csv").write_text("1,2\n")
    with pytest.raises(pyvips.Error):
        pyvips.Image.csvload(str(tmp_path / "m.csv"))


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_a_bomb_is_refused_by_its_header(ending):
    bomb = pyvips.Image.black(50_000, 50_000).write_to_buffer(
        ending, **({} if ending == ".png" else BOMB)
    )
    assert len(bomb) < 20_000_000
    with pytest.raises(ImageError, match="50000 x 50000 pixels and the limit is 2,000,000,000"):
        read_image(bomb)


def test_too_many_pixels_are_refused_before_decoding(gray):
    with pytest.raises(ImageError, match=r"451 x 300 pixels and the limit is 100,000"):
        read_image(saved(gray, ".png"), max_pixels=100_000)


def test_what_a_format_cannot_hold_is_refused():
    deep = Image(noise(4, 4, 3, dtype="uint16"))
    glass = Image(noise(4, 4, 3), noise(4, 4))
    for format in ("jpeg", "webp"):
        with pytest.raises(ImageError, match="8 bits"):
            encode_image(deep, format)
    with pytest.raises(ImageError, match="transparency"):
        encode_image(glass, "jpeg")


def test_a_picture_too_large_for_its_format_is_refused():
    with pytest.raises(ImageError, match=r"cannot be written as webp: .*16,383.*; choose png"):
        encode_image(Image(np.zeros((1, 16384), np.uint8)), "webp")


def test_a_missing_file_is_an_image_error(tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "nowhere.jpg")
    with pytest.raises(ImageError, match="Is a directory"):
        read_image(tmp_path)


def test_an_error_stays_one_line(tmp_path):
    path = tmp_path / "two\nlines\x1b[31m.jpg"
    path.write_bytes(b"no picture")
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", [name for name, kind in FORMATS.items() if kind.written])
def test_files_are_written_by_their_ending_and_leave_nothing_beside(name, tmp_path, color):
    path = tmp_path / f"picture{FORMATS[name].suffixes[0]}"
    write_image(path, Image(color))
    assert read_image(path).format == name
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "old.jpg"
    path.write_bytes(b"precious")
    with pytest.raises(ImageError):
        write_image(path, Image(noise(4, 4, dtype="uint16")))
    assert path.read_bytes() == b"precious"
    with pytest.raises(ImageError, match="names no format"):
        write_image(tmp_path / "picture.xyz", Image(noise(4, 4)))
    with pytest.raises(ImageError, match="cannot be written"):
        write_image(tmp_path / "missing" / "picture.png", Image(noise(4, 4)))


def test_written_files_have_the_rights_of_new_files(tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    path = tmp_path / "picture.png"
    write_image(path, Image(noise(4, 4)))
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_the_samples_are_gray(samples: list[Path]):
    assert len(samples) >= 6
    assert all(read_image(path).pixels.ndim == 2 for path in samples)


def test_a_jpeg_damaged_in_its_middle_is_an_error(color):
    whole = saved(color, ".jpg")
    third = len(whole) // 3
    with pytest.raises(ImageError, match="damaged"):
        read_image(whole[:third] + bytes(third) + whole[2 * third :])
    assert read_image(whole + b"trailing bytes, as cameras leave them").pixels.shape == color.shape


def test_channels_that_are_no_colors_are_refused():
    with pytest.raises(ImageError, match="channels that are no colors"):
        read_image(saved(noise(8, 8, 5), ".tif"))
    with pytest.raises(ImageError, match="channels that are no colors"):
        read_image(saved(noise(8, 8, 6), ".tif"))
