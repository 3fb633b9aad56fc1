"""What open_image accepts and refuses."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from evfsam.errors import InputError
from evfsam.media.images import open_image

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def with_hole() -> Image.Image:
    """4 x 4, red, its left half transparent."""
    picture = Image.new("RGBA", (4, 4), (*RED, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 2, 4))
    return picture


def palette_with_hole() -> bytes:
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([0, 0, 0, *RED])
    picture.paste(1, (2, 0, 4, 4))
    return encoded(picture, "png", transparency=0)


def sixteen_bit(value: int) -> bytes:
    return encoded(Image.fromarray(np.full((4, 4), value, np.uint16)), "png")


ACCEPTED = {
    # name: (source, colour of the first pixel, colour of the last pixel)
    "png": (encoded(Image.new("RGB", (4, 4), RED), "png"), RED, RED),
    "grey": (encoded(Image.new("L", (4, 4), 77), "png"), (77, 77, 77), (77, 77, 77)),
    "one bit": (encoded(Image.new("1", (4, 4), 1), "png"), WHITE, WHITE),
    "16 bit": (sixteen_bit(40000), (156, 156, 156), (156, 156, 156)),
    "16 bit, dark": (sixteen_bit(200), (1, 1, 1), (1, 1, 1)),
    "cmyk": (encoded(Image.new("CMYK", (4, 4), (0, 0, 0, 0)), "tiff"), WHITE, WHITE),
    "alpha over white": (encoded(with_hole(), "png"), WHITE, RED),
    "palette with transparency": (palette_with_hole(), WHITE, RED),
    "grey with alpha": (encoded(Image.new("LA", (4, 4), (0, 0)), "png"), WHITE, WHITE),
    "pil": (Image.new("RGB", (4, 4), RED), RED, RED),
    "rgb array": (np.full((4, 4, 3), RED, np.uint8), RED, RED),
    "grey array": (np.full((4, 4), 77, np.uint8), (77, 77, 77), (77, 77, 77)),
    "one channel": (np.full((4, 4, 1), 77, np.uint8), (77, 77, 77), (77, 77, 77)),
    "rgba array": (np.array(with_hole()), WHITE, RED),
    "bool array": (np.ones((4, 4), bool), WHITE, WHITE),
    "uint16 array": (np.full((4, 4, 3), 65535, np.uint16), WHITE, WHITE),
    "float array": (np.full((4, 4, 3), 1.0), WHITE, WHITE),
    "mirrored view": (np.full((4, 4, 3), RED, np.uint8)[:, ::-1], RED, RED),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name):
    source, first, last = ACCEPTED[name]
    picture = open_image(source)
    assert picture.dtype == np.uint8 and picture.shape == (4, 4, 3) and picture.flags.c_contiguous
    assert tuple(picture[0, 0]) == first and tuple(picture[-1, -1]) == last


@pytest.mark.parametrize("kind", ["webp", "gif", "tiff", "bmp", "jpeg", "avif"])
def test_file_formats(kind, tmp_path):
    path = tmp_path / "a picture.bin"  # the content counts, not the name
    path.write_bytes(encoded(Image.new("RGB", (64, 48), RED), kind))
    picture = open_image(path)
    assert picture.shape == (48, 64, 3)
    assert np.abs(picture.astype(int) - RED).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = WHITE
    # What a camera held that way stores: the inverse of what the tag asks for.
    undo = [[], ["h"], ["r", "r"], ["v"], ["t"], ["r"], ["t", "r", "r"], ["r", "r", "r"]][orientation - 1]
    steps = {"h": np.fliplr, "v": np.flipud, "r": np.rot90, "t": lambda a: a.transpose(1, 0, 2)}
    stored = upright
    for step in undo:
        stored = steps[step](stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(open_image(encoded(Image.fromarray(stored), "png", exif=exif)), upright)


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, WHITE)]
    picture = open_image(encoded(frames[0], "gif", save_all=True, append_images=frames[1:]))
    assert tuple(picture[0, 0]) == RED


NOISE = Image.effect_noise((64, 64), 50)
GOOD_JPEG = encoded(NOISE, "jpeg")
REFUSED = {
    "empty": (b"", "empty"),
    "text": (b"hello, I am a text file", "not a picture"),
    "truncated jpeg": (GOOD_JPEG[: len(GOOD_JPEG) // 2], "damaged"),
    "truncated png": (encoded(NOISE, "png")[:2000], "damaged"),
    "one channel too many": (np.zeros((4, 4, 5), np.uint8), "shape"),
    "a clip": (np.zeros((2, 4, 4, 3), np.uint8), "shape"),
    "no pixels": (np.zeros((0, 4, 3), np.uint8), "no pixels"),
    "floats of 0..255": (np.full((4, 4, 3), 255.0), "0..1"),
    "nan": (np.full((4, 4, 3), np.nan), "0..1"),
    "int64 array": (np.zeros((4, 4, 3), np.int64), "int64"),
    "nothing": (None, "NoneType"),
    "a list": ([[1, 2]], "list"),
    "no such file": ("/nowhere/at all.png", "no file"),
    "a folder": ("/", "folder"),
    "a name with NUL": ("a\0b.png", "cannot be opened"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_one_sentence(name):
    source, words = REFUSED[name]
    with pytest.raises(InputError, match=words) as caught:
        open_image(source)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message


@pytest.mark.parametrize("size", [(20_000, 20_000), (100, 60)])
def test_too_large_is_refused_before_decoding(size):
    # The first is a decompression bomb by Pillow's own count, the second only by our limit.
    bomb = encoded(Image.new("1", size), "png")
    with pytest.raises(InputError, match="too large"):
        open_image(bomb, max_pixels=5000)
