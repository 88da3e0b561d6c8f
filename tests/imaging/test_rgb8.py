"""Reading to 8-bit sRGB: one color policy, whichever library decodes."""

import io

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
import pyvips

from colorizenet import color as cielab
from colorizenet.errors import ImageError
from colorizenet.evaluation import metrics
from colorizenet.imaging.plain import choose_shrink, decode_plain
from colorizenet.imaging.reading import open_image, read_image, read_rgb8

LIMIT = 1 << 30
ORIENTATIONS = {
    1: (),
    2: ("fliphor",),
    3: ("rot180",),
    4: ("flipver",),
    5: ("rot90", "fliphor"),
    6: ("rot270",),
    7: ("rot270", "fliphor"),
    8: ("rot90",),
}
"""How each EXIF orientation stores an upright picture."""


def vips(pixels: np.ndarray) -> pyvips.Image:
    return pyvips.Image.new_from_array(pixels if pixels.ndim == 3 else pixels[..., None])


def store_turned(pixels: np.ndarray, orientation: int) -> pyvips.Image:
    image = vips(pixels)
    for operation in ORIENTATIONS[orientation]:
        image = getattr(image, operation)()
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image


def read_with_libvips(encoded: bytes, **options: int) -> np.ndarray:
    with open_image(encoded, first_page=True) as file:
        return file.read_rgb8(**options)


def largest_difference(one: np.ndarray, other: np.ndarray) -> int:
    assert one.shape == other.shape and one.dtype == other.dtype == np.uint8
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("profile", [None, "srgb"])
def test_every_format_gives_the_pixels_that_read_image_gives(ending, profile, color):
    options = {"profile": profile} if profile else {}
    encoded = vips(color).write_to_buffer(ending, **options)
    assert np.array_equal(read_rgb8(encoded), read_image(encoded).pixels)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("profile", [None, "srgb"])
def test_opencv_decodes_plain_files_to_the_pixels_of_libvips(ending, profile, color, gray):
    options = {"profile": profile} if profile else {}
    encoded = vips(color).write_to_buffer(ending, **options)
    fast = decode_plain(encoded, "a", max_pixels=LIMIT)
    assert fast is not None and np.array_equal(fast, read_with_libvips(encoded))
    encoded = vips(gray).write_to_buffer(ending)
    fast = decode_plain(encoded, "a", max_pixels=LIMIT)
    assert fast is not None and np.array_equal(fast, read_with_libvips(encoded))


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif"])
def test_a_display_p3_file_comes_out_in_srgb(ending, color):
    """The same numbers mean a more saturated color in Display P3 than in sRGB."""
    color = color // 2 + 64  # inside the gamut of both
    wide = vips(color).copy(interpretation="srgb").icc_transform("p3", input_profile="srgb")
    options = {"Q": 100, "subsample_mode": "off"} if ending == ".jpg" else {}
    options |= {"lossless": True} if ending == ".webp" else {}
    encoded = wide.write_to_buffer(ending, **options)
    ignored = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert ignored is not None
    assert metrics.ciede2000(ignored[..., ::-1], color) > 1
    assert decode_plain(encoded, "a", max_pixels=LIMIT) is None
    rgb = read_rgb8(encoded)
    assert metrics.ciede2000(rgb, color) < 0.7
    assert np.array_equal(rgb, read_image(encoded).pixels)


def test_a_gray_profile_is_honored(gray):
    file = io.BytesIO()
    PIL.Image.fromarray(gray).save(file, "PNG", icc_profile=gray_profile(gamma=1.0))
    rgb = read_rgb8(file.getvalue())
    assert rgb.mean() > gray.mean() + 20
    assert np.array_equal(rgb, np.dstack([read_image(file.getvalue()).pixels] * 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_the_shadows_of_a_gray_scan_with_a_profile_keep_their_lightness(gamma, dtype):
    white = np.iinfo(dtype).max
    scan = np.arange(white + 1, dtype=dtype).reshape(256, -1)
    file = io.BytesIO()
    PIL.Image.fromarray(scan).save(file, "PNG", icc_profile=gray_profile(gamma=gamma))
    expected = cielab.linear_to_rgb((scan / white) ** (round(gamma * 256) / 256)) * white
    assert np.abs(read_image(file.getvalue()).pixels - expected).max() <= 0.51
    shown = np.rint(expected / white * 255).astype(np.uint8)
    assert largest_difference(read_rgb8(file.getvalue()), np.dstack([shown] * 3)) <= 1


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        (0, [1.6]),
        (1, [2.0, 0.9, 0.1]),
        (2, [2.0, 0.8, 0.1, 0.19]),
        (3, [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]),
        (4, [2.0, 0.85, 0.1, 0.2, 0.2, 0.0975, 0.1304]),
    ],
)
@pytest.mark.parametrize("space", [b"XYZ ", b"Lab "])
def test_curves_of_gray_profiles_mean_what_little_cms_takes_them_for(space, kind, numbers):
    curve = b"para\0\0\0\0" + kind.to_bytes(2, "big") + bytes(2)
    curve += b"".join(round(number * 65536).to_bytes(4, "big") for number in numbers)
    profile = gray_profile(curve=curve, space=space)
    ramp = np.arange(256, dtype=np.uint8)[None]
    file = io.BytesIO()
    PIL.Image.fromarray(ramp).save(file, "PNG", icc_profile=profile)
    expected = PIL.ImageCms.profileToProfile(
        PIL.Image.fromarray(ramp),
        PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        PIL.ImageCms.createProfile("sRGB"),
        PIL.ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
    )
    assert largest_difference(read_rgb8(file.getvalue()), np.asarray(expected)) <= 2


def gray_profile(gamma: float = 1.0, curve: bytes = b"", space: bytes = b"XYZ ") -> bytes:
    """An ICC profile of gray with a power curve or another one, built from the parts
    that libvips needs."""
    white = b"XYZ \0\0\0\0" + b"".join(round(v * 65536).to_bytes(4, "big") for v in D50)
    power = b"curv\0\0\0\0\0\0\0\1" + round(gamma * 256).to_bytes(2, "big") + b"\0\0"
    name = b"desc\0\0\0\0\0\0\0\5gray\0" + bytes(79)
    parts = {b"wtpt": white, b"kTRC": curve or power, b"desc": name}
    table, content, at = len(parts).to_bytes(4, "big"), b"", 128 + 4 + 12 * len(parts)
    for tag, part in parts.items():
        part += bytes(-len(part) % 4)
        table += tag + (at + len(content)).to_bytes(4, "big") + len(part).to_bytes(4, "big")
        content += part
    head = bytearray(128)
    head[0:4] = (at + len(content)).to_bytes(4, "big")
    head[8:12], head[12:24], head[36:40] = b"\x02\x10\0\0", b"mntrGRAY" + space, b"acsp"
    head[68:80] = white[8:]
    return bytes(head) + table + content


D50 = (0.9642, 1.0, 0.8249)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("min_side", [None, 16])
def test_pictures_come_out_upright(orientation, ending, min_side):
    upright = np.zeros((32, 64, 3), np.uint8)
    upright[:16, :32] = 255  # top left
    encoded = store_turned(upright, orientation).write_to_buffer(ending)
    rgb = read_rgb8(encoded, min_side=min_side)
    if ending == ".jpg" and min_side:
        assert largest_difference(rgb, upright[::2, ::2]) < 16
    else:
        assert largest_difference(rgb, upright) < 16


def test_gray_is_expanded_and_alpha_is_ignored(color, gray):
    assert np.array_equal(read_rgb8(vips(gray).pngsave_buffer()), np.dstack([gray] * 3))
    for pixels, expected in ((gray, np.dstack([gray] * 3)), (color, color)):
        with_alpha = vips(np.dstack([pixels, 255 - gray])).copy(
            interpretation="b-w" if pixels.ndim == 2 else "srgb"
        )
        for ending in (".png", ".tif"):
            assert np.array_equal(read_rgb8(with_alpha.write_to_buffer(ending)), expected)


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_sixteen_bits_and_floating_point_become_eight(ending, color):
    deep = vips(color.astype(np.uint16) * 257).copy(interpretation="rgb16")
    assert np.array_equal(read_rgb8(deep.write_to_buffer(ending)), color)
    floats = vips((color / 255).astype(np.float32)).copy(interpretation="srgb")
    assert np.array_equal(read_rgb8(floats.tiffsave_buffer()), color)
    with pytest.raises(ImageError, match=r"outside 0\.\.1"):
        read_rgb8(vips(np.full((4, 4), 1.5, np.float32)).tiffsave_buffer())


def test_bmp_is_read_and_bounded(color):
    encoded = cv2.imencode(".bmp", color[..., ::-1])[1].tobytes()
    assert np.array_equal(read_rgb8(encoded), color)
    with open_image(encoded, first_page=True) as file:
        assert file.shape == color.shape[:2]
        assert np.array_equal(file.read_rgb8(), color)
    with pytest.raises(ImageError, match="the limit is 1,000"):
        read_rgb8(encoded, max_pixels=1000)
    assert np.array_equal(read_image(encoded).pixels, color)


def test_of_a_tiff_with_pages_of_different_sizes_the_first_is_read(color):
    file = io.BytesIO()
    first, thumbnail = PIL.Image.fromarray(color), PIL.Image.fromarray(color[::8, ::8])
    first.save(file, "TIFF", save_all=True, append_images=[thumbnail])
    assert np.array_equal(read_rgb8(file.getvalue()), color)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_picture_is_an_error(ending, part, color):
    encoded = cv2.imencode(ending, color[..., ::-1])[1].tobytes()
    with pytest.raises(ImageError, match=r"^photo\.x (is|has) "):
        read_rgb8(encoded[: int(part * len(encoded))], name="photo.x")


def test_cmyk_and_palettes_are_converted(color):
    inks = vips(color).copy(interpretation="srgb").icc_transform("cmyk", input_profile="srgb")
    encoded = inks.jpegsave_buffer(Q=95)
    assert metrics.psnr(read_rgb8(encoded), color) > 20
    palette = vips(color).pngsave_buffer(palette=True)
    assert np.array_equal(read_rgb8(palette), read_image(palette).pixels)


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_a_damaged_profile_is_ignored(ending, color):
    plain = vips(color).write_to_buffer(ending)
    file = io.BytesIO()
    PIL.Image.open(io.BytesIO(plain)).save(
        file, {".jpg": "JPEG", ".png": "PNG"}[ending], icc_profile=b"no profile" * 20, quality=100
    )
    assert metrics.psnr(read_rgb8(file.getvalue()), read_rgb8(plain)) > 40


def test_paths_and_errors_carry_the_name_of_the_file(tmp_path, color):
    path = tmp_path / "a.png"
    path.write_bytes(vips(color).pngsave_buffer())
    assert np.array_equal(read_rgb8(path), color)
    with pytest.raises(ImageError, match="451 x 300 pixels and the limit is 10"):
        read_rgb8(path, max_pixels=10)
    with pytest.raises(ImageError, match=r"nowhere\.png cannot be read: No such file"):
        read_rgb8(tmp_path / "nowhere.png")
    with pytest.raises(ImageError, match="the picture is empty"):
        read_rgb8(b"")


@pytest.mark.parametrize("min_side", [64, 100, 128, 200])
def test_a_large_jpeg_is_shrunk_while_it_is_decoded(min_side, color_photograph):
    large = cv2.resize(color_photograph, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    encoded = cv2.imencode(".jpg", large[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    rgb = read_rgb8(encoded, min_side=min_side)
    factor = choose_shrink(1200, min_side)
    assert rgb.shape == (1200 // factor, 1800 // factor, 3) and 1200 // factor >= min_side
    assert np.array_equal(rgb, read_with_libvips(encoded, min_side=min_side))
    reference = cv2.resize(large, rgb.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert metrics.psnr(rgb, reference) > 30


def test_shrinking_leaves_at_least_the_side_that_is_needed():
    assert [choose_shrink(800, side) for side in (1, 100, 101, 200, 401, 900)] == [8, 8, 4, 4, 1, 1]
