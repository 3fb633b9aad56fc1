"""What open_image accepts and refuses."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from evfsam.errors import InputError
from evfsam.media import images
from evfsam.media.images import open_image
from tests.media.stills import RED, WHITE, chunk, encoded, png_with


def grey(value: int) -> tuple[int, int, int]:
    return value, value, value


def with_hole() -> Image.Image:
    """4 x 4, red, its left half transparent."""
    image = Image.new("RGBA", (4, 4), (*RED, 255))
    image.paste((0, 0, 0, 0), (0, 0, 2, 4))
    return image


def palette_with_hole() -> bytes:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, *RED])
    image.paste(1, (2, 0, 4, 4))
    return encoded(image, "png", transparency=0)


ACCEPTED = {
    # name: (source, colour of the first pixel, colour of the last pixel)
    "png": (encoded(Image.new("RGB", (4, 4), RED), "png"), RED, RED),
    "grey": (encoded(Image.new("L", (4, 4), 77), "png"), grey(77), grey(77)),
    "one bit": (encoded(Image.new("1", (4, 4), 1), "png"), WHITE, WHITE),
    "cmyk": (encoded(Image.new("CMYK", (4, 4), (0, 0, 0, 0)), "tiff"), WHITE, WHITE),
    "alpha over white": (encoded(with_hole(), "png"), WHITE, RED),
    "palette with transparency": (palette_with_hole(), WHITE, RED),
    "grey with alpha": (encoded(Image.new("LA", (4, 4), (0, 0)), "png"), WHITE, WHITE),
    "pil": (Image.new("RGB", (4, 4), RED), RED, RED),
    "pil, opened and not yet decoded": (Image.open(io.BytesIO(png_with())), RED, RED),
    "rgb array": (np.full((4, 4, 3), RED, np.uint8), RED, RED),
    "grey array": (np.full((4, 4), 77, np.uint8), grey(77), grey(77)),
    "one channel": (np.full((4, 4, 1), 77, np.uint8), grey(77), grey(77)),
    "grey and alpha array": (np.dstack([np.full((4, 4), 77), np.tri(4) * 255]).astype(np.uint8), grey(77), grey(77)),
    "transparent grey array": (np.zeros((4, 4, 2), np.uint8), WHITE, WHITE),
    "rgba array": (np.array(with_hole()), WHITE, RED),
    "bool array": (np.ones((4, 4), bool), WHITE, WHITE),
    "uint16 array": (np.full((4, 4, 3), 65535, np.uint16), WHITE, WHITE),
    "big-endian uint16 array": (np.full((4, 4, 3), 65535, ">u2"), WHITE, WHITE),
    "float array": (np.full((4, 4, 3), 1.0), WHITE, WHITE),
    "float16 array": (np.full((4, 4), 0.2, np.float16), grey(51), grey(51)),
    "float rgba array": (np.array(with_hole()) / 255, WHITE, RED),
    "matrix": (np.asmatrix(np.full((4, 4), 77, np.uint8)), grey(77), grey(77)),
    "mirrored view": (np.full((4, 4, 3), RED, np.uint8)[:, ::-1], RED, RED),
    "bytearray": (bytearray(encoded(Image.new("RGB", (4, 4), RED), "png")), RED, RED),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name):
    source, first, last = ACCEPTED[name]
    image = open_image(source)
    assert image.dtype == np.uint8 and image.shape == (4, 4, 3) and image.flags.c_contiguous
    assert tuple(image[0, 0]) == first and tuple(image[-1, -1]) == last


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"]
)
def test_pil_images_of_any_mode(mode):
    assert open_image(Image.new(mode, (6, 4))).shape == (4, 6, 3)


@pytest.mark.parametrize("kind", ["webp", "gif", "tiff", "bmp", "jpeg", "mpo", "avif"])
def test_file_formats(kind, tmp_path):
    path = tmp_path / "an image.bin"  # the content counts, not the name
    path.write_bytes(encoded(Image.new("RGB", (64, 48), RED), kind))
    image = open_image(path)
    assert image.shape == (48, 64, 3)
    assert np.abs(image.astype(int) - RED).max() < 12


@pytest.mark.parametrize("kind", ["eps", "ppm", "tga", "pcx", "ico", "jpeg2000", "dds"])
def test_formats_that_are_not_promised_are_not_opened(kind):
    data = encoded(Image.new("RGB", (64, 48), RED), kind)
    with pytest.raises(InputError, match="JPEG, PNG, WebP"):
        open_image(data)
    with pytest.raises(InputError, match="JPEG, PNG, WebP"):
        open_image(Image.open(io.BytesIO(data)))


def upright(height: int = 16, width: int = 32) -> np.ndarray:
    """Black with a white corner at the top left."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = WHITE
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    # What a camera held that way stores: the inverse of what the tag asks for.
    undo = [[], ["h"], ["r", "r"], ["v"], ["t"], ["r"], ["t", "r", "r"], ["r", "r", "r"]][orientation - 1]
    steps = {"h": np.fliplr, "v": np.flipud, "r": np.rot90, "t": lambda a: a.transpose(1, 0, 2)}
    stored = upright()
    for step in undo:
        stored = steps[step](stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(open_image(encoded(Image.fromarray(stored), "png", exif=exif)), upright())


ODD_TAGS = {
    # (tag, type, count, value): type 2 is text, 3 short, 4 long, 5 rational, 10 signed rational
    "none": (),
    "resolution unit as text": ((0x128, 2, 4, b"cm\0\0"),),
    "resolution as text": ((0x11A, 2, 4, b"72\0\0"),),
    "resolution as bytes": ((0x11A, 1, 4, b"\1\2\3\4"),),
    "width as text": ((0x100, 2, 4, b"abc\0"),),
    "a rational that points outside": ((0x11A, 5, 1, b"\xff\xff\xff\x7f"),),
    "an unknown type": ((0x9003, 99, 1, bytes(4)),),
    "a folder of GPS tags outside": ((0x8825, 4, 1, b"\xff\xff\xff\x7f"),),
    "a folder of EXIF tags as text": ((0x8769, 2, 4, b"abc\0"),),
    "a folder that contains itself": ((0x8769, 4, 1, struct.pack("<I", 8)),),
    "a billion values": ((0x13C, 4, 2**30, bytes(4)),),
}


@pytest.mark.parametrize("name", ODD_TAGS)
def test_odd_exif_tags_do_not_matter(name):
    jpeg = encoded(Image.fromarray(np.rot90(upright(160, 320))), "jpeg", quality=95)
    entries = [struct.pack("<HHI", *tag[:3]) + tag[3] for tag in ((0x112, 3, 1, b"\6\0\0\0"), *ODD_TAGS[name])]
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    image = open_image(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    assert image.shape == (160, 320, 3)
    assert np.abs(image.astype(int) - upright(160, 320))[20:60, 20:140].max() < 10


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_means_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(open_image(encoded(Image.fromarray(upright()), "png", exif=exif)), upright())


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, WHITE)]
    image = open_image(encoded(frames[0], "gif", save_all=True, append_images=frames[1:]))
    assert tuple(image[0, 0]) == RED


NOISE = Image.effect_noise((64, 64), 50)
GOOD_JPEG = encoded(NOISE, "jpeg")
CLOSED = Image.open(io.BytesIO(GOOD_JPEG))
CLOSED.close()


BOMB = zlib.compress(bytes(80_000_000))


def text_bomb(kind: bytes) -> bytes:
    return png_with(chunk(kind, {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}[kind] + BOMB))


def jpeg_of_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    jpeg = encoded(NOISE, "jpeg", progressive=True)
    end = jpeg.rindex(b"\xff\xd9")
    return jpeg[:end] + jpeg[jpeg.rindex(b"\xff\xda") : end] * count + jpeg[end:]


def tiff_of_strips(count: int, kind: int = 4) -> bytes:
    """One pixel wide, one strip per row; ``kind`` 1 has the offsets as bytes."""
    tags = {256: (4, 1, 1), 257: (4, 1, count), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 1)}
    offsets = 8 + 2 + 12 * (len(tags) + 3) + 4
    size = 4 if kind == 4 else 1
    tags |= {273: (kind, count, offsets), 278: (4, 1, 1), 279: (kind, count, offsets + size * count)}
    entries = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in tags.items())
    values = b"".join(value.to_bytes(size, "little") * count for value in (8, 1))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + values


def gif_with_comments(count: int) -> bytes:
    gif = encoded(Image.new("P", (4, 4)), "gif")
    start = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    return gif[:start] + b"\x21\xfe" + b"\xff".ljust(256, b"a") * count + b"\0" + gif[start:]


REFUSED = {
    "empty": (b"", "empty"),
    "text": (b"hello, I am a text file", "not an image"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not an image"),
    "half a jpeg": (GOOD_JPEG[: len(GOOD_JPEG) // 2], "damaged"),
    "half a png": (encoded(NOISE, "png")[:2000], "damaged"),
    "half a webp": (encoded(NOISE, "webp")[:600], "damaged"),
    "half an avif": (encoded(NOISE, "avif")[:600], "damaged"),
    "half a tiff": (encoded(NOISE, "tiff", compression="tiff_lzw")[:600], "damaged|not an image"),
    "half a bmp": (encoded(NOISE, "bmp")[:2000], "damaged"),
    "half a gif": (encoded(NOISE, "gif")[:2000], "damaged"),
    "the header of a png": (encoded(NOISE, "png")[:33], "damaged"),
    "half the header of a png": (encoded(NOISE, "png")[:20], "damaged|not an image"),
    "the header of a bmp": (encoded(NOISE, "bmp")[:30], "damaged|not an image"),
    "a png without pixels": (png_with(png=encoded(NOISE, "png")[:33] + chunk(b"IEND")), "damaged"),
    "a chunk of negative length": (png_with(b"\xff\xff\xff\xf0tEXt"), "damaged|not an image"),
    "a zTXt bomb": (text_bomb(b"zTXt"), "damaged"),
    "an iTXt bomb": (text_bomb(b"iTXt"), "damaged"),
    "an iCCP bomb": (text_bomb(b"iCCP"), "damaged"),
    "a png of 100,000 chunks": (png_with(chunk(b"teST") * 100_000), "too many"),
    "a jpeg of 100,000 segments": (GOOD_JPEG[:2] + b"\xff\xef\0\2" * 100_000 + GOOD_JPEG[2:], "too many"),
    "a jpeg of padding": (GOOD_JPEG[:2] + b"\xff" * 1_000_000 + GOOD_JPEG[2:], "too many"),
    "a gif of comments": (gif_with_comments(100_000), "too many"),
    "a jpeg of 1,000 scans": (jpeg_of_scans(1000), "too many"),
    "a tiff of 300,000 strips": (tiff_of_strips(300_000), "too many"),
    "a tiff of 300,000 strips as bytes": (tiff_of_strips(300_000, kind=1), "too many"),
    "one channel too many": (np.zeros((4, 4, 5), np.uint8), "shape"),
    "channels first": (np.zeros((3, 40, 40), np.uint8), "shape"),
    "a clip": (np.zeros((2, 4, 4, 3), np.uint8), "shape"),
    "a number": (np.array(3), "shape"),
    "no pixels": (np.zeros((0, 4, 3), np.uint8), "no pixels"),
    "no pixels in PIL": (Image.new("RGB", (0, 4)), "no pixels"),
    "floats of 0..255": (np.full((4, 4, 3), 255.0), "0..1"),
    "nan": (np.full((4, 4, 3), np.nan), "0..1"),
    "infinity": (np.full((4, 4, 3), np.inf), "0..1"),
    "negative floats": (np.full((4, 4, 3), -0.1), "0..1"),
    "floats with nan in PIL": (Image.fromarray(np.full((4, 4), np.nan, np.float32)), "0..65535"),
    "negative numbers in PIL": (Image.fromarray(np.full((4, 4), -1, np.int32)), "0..65535"),
    "int32 array": (np.zeros((4, 4, 3), np.int32), "int32"),
    "int64 array": (np.zeros((4, 4, 3), np.int64), "int64"),
    "complex array": (np.zeros((4, 4, 3), complex), "complex"),
    "array of objects": (np.full((4, 4, 3), None), "object"),
    "array of text": (np.full((4, 4, 3), "a"), "U1"),
    "a closed image": (CLOSED, "closed"),
    "nothing": (None, "NoneType"),
    "a list": ([[1, 2]], "list"),
    "a number of Python": (7, "int"),
    "no such file": ("/nowhere/at all.png", "no file"),
    "an address": ("https://example.org/a.png", "no file"),
    "no name": ("", "folder"),
    "a folder": ("/", "folder"),
    "a name with NUL": ("a\0b.png", "cannot be opened"),
    "a name of 5,000 letters": ("a" * 5000, "cannot be opened"),
    "a device": ("/dev/zero", "pipe or a device"),
}


def refused(source, words: str, **arguments) -> None:
    with pytest.raises(InputError, match=words) as caught:
        open_image(source, **arguments)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_one_sentence(name):
    refused(*REFUSED[name])


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    refused(tmp_path / "a.png", "pipe or a device")


def test_a_link_to_a_file_is_read(tmp_path):
    (tmp_path / "a.png").write_bytes(png_with())
    (tmp_path / "b.png").symlink_to("a.png")
    assert open_image(tmp_path / "b.png").shape == (4, 4, 3)


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"two\nlines.png", b"\x1b[31m.png", b"a" * 250])
def test_odd_names_make_printable_sentences(name, tmp_path):
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "wb") as file:
        file.write(png_with())
    assert open_image(os.fsdecode(path)).shape == (4, 4, 3)
    with open(path, "wb") as file:
        file.write(b"no image")
    with pytest.raises(InputError, match="not an image") as caught:
        open_image(os.fsdecode(path))
    assert str(caught.value).isprintable() and str(caught.value).encode() and len(str(caught.value)) < 250


def test_a_file_above_the_limit_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(png_with(chunk(b"teST", bytes(2_000_000))))
    assert open_image(path).shape == (4, 4, 3)
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 1_000_000)
    refused(path, "more than 1 MB")


@pytest.mark.parametrize("size", [(20_000, 20_000), (100, 60)])
@pytest.mark.parametrize("kind", ["png", "tiff", "pil", "array"])
def test_too_large_is_refused_before_decoding(size, kind):
    # The first is a decompression bomb by Pillow's own count, the second only by our limit.
    bomb = Image.new("1", size)
    if kind == "array":
        bomb = np.broadcast_to(np.zeros((), np.uint8), (*size, 3))
    elif kind != "pil":
        bomb = encoded(bomb, kind, **({"compression": "group4"} if kind == "tiff" else {}))
    refused(bomb, "too large", max_pixels=5000)


def test_a_common_camera_size_is_read():
    assert open_image(encoded(Image.new("L", (6048, 4024)), "jpeg")).shape == (4024, 6048, 3)


def test_a_progressive_jpeg_with_some_scans_and_a_tiff_with_some_strips_are_read():
    assert open_image(jpeg_of_scans(20)).shape == (64, 64, 3)
    assert open_image(tiff_of_strips(1000)).shape == (1000, 1, 3)


def test_much_text_is_no_bomb():
    info = PngImagePlugin.PngInfo()
    for i in range(500):
        info.add_itxt(f"key {i}", "a workflow " * 100, zip=True)
    assert open_image(encoded(Image.new("RGB", (4, 4), RED), "png", pnginfo=info)).shape == (4, 4, 3)
