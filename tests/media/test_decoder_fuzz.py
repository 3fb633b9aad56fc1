"""Files damaged at random, always the same ones: each is read, or refused with one sentence, and in time."""

from __future__ import annotations

import io
import random
import re
import time
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evfsam.errors import InputError, VideoError
from evfsam.media.images import open_image
from evfsam.media.pipe import PipedVideo
from evfsam.media.video import VideoReader
from tests.media.clips import numbered, write_clip, write_frames

LONGEST_S = 10  # for one file, on a busy machine; usually it takes milliseconds
EXTREMES = (0, 1, 7, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


def image(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(numbered(5)).convert(mode)


def translucent() -> Image.Image:
    rgba = image("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(rgba.size))
    return rgba


def palette() -> Image.Image:
    return image().quantize(16)


def sixteen_bit() -> Image.Image:
    return Image.fromarray(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21)


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags.update({0x0112: 6, 0x010F: "a camera", 0x011A: 72.0})
    tags.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    return tags


MORE = {"save_all": True, "append_images": [Image.fromarray(numbered(i)) for i in (6, 7)]}
IMAGES = {
    # name: (image, format, options)
    "jpeg with exif": (image, "jpeg", {"exif": exif}),
    "progressive jpeg": (image, "jpeg", {"progressive": True}),
    "cmyk jpeg": (lambda: image("CMYK"), "jpeg", {}),
    "16-bit png": (sixteen_bit, "png", {}),
    "palette png": (palette, "png", {"transparency": bytes(range(0, 256, 16))}),
    "apng": (image, "png", MORE),
    "webp with alpha": (translucent, "webp", {"lossless": True}),
    "animated webp": (image, "webp", MORE),
    "animated gif": (image, "gif", MORE),
    "multi-page tiff": (image, "tiff", MORE),
    "lzw tiff": (sixteen_bit, "tiff", {"compression": "tiff_lzw"}),
    "avif": (translucent, "avif", {}),
    "bmp": (palette, "bmp", {}),
}
VIDEOS = {
    # name: (suffix, arguments of write_clip)
    "mp4": (".mp4", {}),
    "vp8 webm": (".webm", {"codec": "libvpx"}),
    "vp9 webm with alpha": (".webm", {}),
    "mkv": (".mkv", {"audio": "aac"}),
    "mov": (".mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le"}),
    "avi": (".avi", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
}
FORMATS = (*IMAGES, *VIDEOS)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Name of a format -> the bytes of a good file."""
    folder = tmp_path_factory.mktemp("originals")

    @cache
    def make(name: str) -> bytes:
        if name in IMAGES:
            build, kind, options = IMAGES[name]
            buffer = io.BytesIO()
            build().save(buffer, kind, **{key: value() if callable(value) else value for key, value in options.items()})
            return buffer.getvalue()
        suffix, arguments = VIDEOS[name]
        path = folder / f"{name}{suffix}"
        if "alpha" in name:
            frames = [np.dstack([numbered(i), np.full((48, 64), 25 * i, np.uint8)]) for i in range(10)]
            return write_frames(path, frames, "libvpx-vp9", "yuva420p", {"auto-alt-ref": "0"}).read_bytes()
        return write_clip(path, count=10, **arguments).read_bytes()

    return make


def truncated(data: bytearray, draw: random.Random, other: bytes) -> bytes:
    return data[: draw.randrange(len(data))]


def bits_flipped(data: bytearray, draw: random.Random, other: bytes) -> bytes:
    # Half of them in the header, where there is most to break.
    reach = draw.choice((len(data), min(len(data), 200)))
    for _ in range(draw.choice((1, 3, 30))):
        data[draw.randrange(reach)] ^= 1 << draw.randrange(8)
    return data


def length_edited(data: bytearray, draw: random.Random, other: bytes) -> bytes:
    """Another number beside one of the four-letter names by which chunks and boxes go, or anywhere."""
    named = [match.start() for match in re.finditer(rb"[A-Za-z][A-Za-z0-9 ]{3}", bytes(data))]
    at = draw.choice(named) + draw.choice((-4, 4, 8)) if named and draw.random() < 0.7 else draw.randrange(len(data))
    at, size = max(0, at), draw.choice((2, 4, 4))
    value = draw.choice((*EXTREMES, draw.randrange(2**32)))
    data[at : at + size] = (value % 256**size).to_bytes(size, draw.choice(("big", "little")))
    return data


def header_swapped(data: bytearray, draw: random.Random, other: bytes) -> bytes:
    count = draw.choice((4, 12, 32, 100))
    return other[:count] + data[count:]


def piece_moved(data: bytearray, draw: random.Random, other: bytes) -> bytes:
    start, length = draw.randrange(len(data)), draw.randrange(1, 400)
    piece, at = data[start : start + length], draw.randrange(len(data))
    if draw.random() < 0.5:
        del data[start : start + length]
    return data[:at] + piece * draw.choice((0, 1, 1, 50)) + data[at:]


def overwritten(data: bytearray, draw: random.Random, other: bytes) -> bytes:
    start, length = draw.randrange(len(data)), draw.randrange(1, 300)
    data[start : start + length] = draw.choice((bytes(length), b"\xff" * length, draw.randbytes(length)))
    return data


MUTATIONS = (truncated, bits_flipped, length_edited, header_swapped, piece_moved, overwritten)


def mutated(name: str, number: int, original) -> bytes:
    """File number so-and-so of a format; every run makes the same ones from the same original."""
    draw = random.Random(f"{name} {number}")
    data = bytearray(original(name))
    for _ in range(draw.choice((1, 1, 2))):
        other = original(draw.choice(FORMATS))
        data = bytearray(MUTATIONS[number % len(MUTATIONS)](data, draw, other)) or bytearray(b"\0")
        number = draw.randrange(len(MUTATIONS))
    return bytes(data)


def read(name: str, data: bytes, folder: Path) -> str:
    """How it went: "read" or "refused". Anything but a good array or one sentence fails."""
    outcomes = {read_image(data)} if name in IMAGES else {read_video(name, data, folder), read_pipe(data)}
    return "read" if "read" in outcomes else "refused"


def one_sentence(error: Exception) -> str:
    text = str(error)
    assert text.endswith(".") and "\n" not in text and len(text) < 300, text
    return "refused"


def read_image(data: bytes) -> str:
    try:
        array = open_image(data)
    except InputError as error:
        return one_sentence(error)
    assert array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3
    return "read"


def read_video(name: str, data: bytes, folder: Path) -> str:
    path = folder / f"clip{VIDEOS[name][0]}"
    path.write_bytes(data)
    try:
        reader = VideoReader(path, max_long_side=256, max_frames=100)
    except VideoError as error:
        return one_sentence(error)
    last = len(reader) - 1
    outcomes = set()
    for walk in (lambda: iter(reader), lambda: [reader.frame(last)], lambda: reader.backwards(last)):
        try:
            for frame in walk():
                assert frame.dtype == np.uint8 and frame.shape == (*reader.info.size_hw, 3)
            outcomes.add("read")
        except VideoError as error:
            outcomes.add(one_sentence(error))
    assert reader.index_at(1.0) <= last and reader.time_of(last)[1] >= 0 and reader.info.fps > 0
    return "read" if "read" in outcomes else "refused"


def read_pipe(data: bytes) -> str:
    try:
        with PipedVideo(io.BytesIO(data), max_long_side=256) as clip:
            for index, _ in zip(range(100), clip, strict=False):
                clip.time_of(index)
    except VideoError as error:
        return one_sentence(error)
    return "read"


def fuzz(name: str, numbers: range, original, folder: Path) -> Counter:
    outcomes: Counter = Counter()
    for number in numbers:
        data = mutated(name, number, original)
        start = time.perf_counter()
        try:
            outcomes[read(name, data, folder)] += 1
        except Exception as error:
            raise AssertionError(f"file {number} of {name!r}: {type(error).__name__}: {error}") from error
        assert time.perf_counter() - start < LONGEST_S, f"file {number} of {name!r} took too long"
    return outcomes


@pytest.mark.parametrize("name", FORMATS)
def test_the_originals_are_good(name, original, tmp_path):
    assert read(name, original(name), tmp_path) == "read"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_three_damaged_files(name, original, tmp_path):
    assert fuzz(name, range(3), original, tmp_path).total() == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_a_hundred_damaged_files(name, original, tmp_path):
    """19 formats x 106 files = 2,014 in all."""
    outcomes = fuzz(name, range(3, 109), original, tmp_path)
    print(f"{name}: {dict(outcomes)}")
    assert outcomes.total() == 106
