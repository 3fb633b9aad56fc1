"""Files and images with more than eight bits per channel: bright where they should be, whatever their depth."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from evfsam.media.images import open_image
from tests.media.stills import chunk, encoded, png_with


def deep(bits: int, dtype=np.uint16) -> np.ndarray:
    """A ramp of values with so many bits, (4, 64): the first and last grey are black and white."""
    return np.tile(np.round(np.linspace(0, 2**bits - 1, 64)).astype(dtype), (4, 1))


def deep_colour(suffix: str, bits: int, alpha: bool = False) -> bytes:
    ramp = deep(bits)
    channels = [ramp, ramp, ramp, np.full_like(ramp, 65535)] if alpha else [ramp] * 3
    done, data = cv2.imencode(suffix, np.dstack(channels))
    assert done
    return data.tobytes()


def packed_12_bit_tiff() -> bytes:
    row = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in deep(12)[0].reshape(-1, 2).tolist())
    tags = {256: (4, 64), 257: (4, 4), 258: (3, 12), 259: (3, 1), 262: (3, 1), 273: (4, 8), 277: (3, 1), 278: (4, 4)}
    tags[279] = (4, 4 * len(row))
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in sorted(tags.items()))
    offset = 8 + 4 * len(row)
    return b"II*\0" + struct.pack("<I", offset) + row * 4 + struct.pack("<H", len(tags)) + entries + bytes(4)


def deep_grey(kind: str, bits: int, **options) -> bytes:
    return encoded(Image.fromarray(deep(bits)), kind, **options)


def significant(bits: int, count: int = 1) -> bytes:
    return chunk(b"sBIT", bytes([bits] * count))


DEEP = {
    "png": deep_grey("png", 16),
    "tiff": deep_grey("tiff", 16),
    "png, 8 bits inside": deep_grey("png", 8),
    "png, 10 bits inside": deep_grey("png", 10),
    "png, 12 bits inside": deep_grey("png", 12),
    "tiff, 8 bits inside": deep_grey("tiff", 8),
    "tiff, 12 bits inside": deep_grey("tiff", 12),
    "tiff, 14 bits by MaxSampleValue": deep_grey("tiff", 14, tiffinfo={281: 2**14 - 1}),
    "tiff, 12 bits packed": packed_12_bit_tiff(),
    "png, 14 bits by sBIT, not scaled up": png_with(significant(14), png=deep_grey("png", 14)),
    "png, 12 bits by sBIT, not scaled up": png_with(significant(12), png=deep_grey("png", 12)),
    "png, 12 bits by sBIT, scaled up as it should be": png_with(significant(12), png=deep_grey("png", 16)),
    "colour png": deep_colour(".png", 16),
    "colour png, 8 bits inside": deep_colour(".png", 8),
    "colour png, 12 bits inside": deep_colour(".png", 12),
    "colour png, 12 bits by sBIT": png_with(significant(12, 3), png=deep_colour(".png", 12)),
    "colour png with alpha, 12 bits inside": deep_colour(".png", 12, alpha=True),
    "colour tiff": deep_colour(".tiff", 16),
    "colour tiff, 12 bits inside": deep_colour(".tiff", 12),
    "PIL, 12 bits": Image.fromarray(deep(12)),
    "PIL, 12 bits in 32": Image.fromarray(deep(12, np.int32)),
    "PIL, 8 bits in 32": Image.fromarray(deep(8, np.int32)),
    "PIL, floats": Image.fromarray(deep(16) / np.float32(65535)),
    "PIL, floats up to 255": Image.fromarray(deep(8).astype(np.float32)),
    "uint16 array": deep(16),
}


@pytest.mark.parametrize("name", DEEP)
def test_values_of_more_than_eight_bits(name):
    image = open_image(DEEP[name])
    assert image.shape == (4, 64, 3)
    assert np.abs(image[..., 0].astype(int) - deep(8)).max() <= 1
    assert (image == image[..., :1]).all()


def test_a_dark_image_stays_dark_where_the_file_says_so():
    image = png_with(significant(16), png=deep_grey("png", 12))
    assert open_image(image).max() == 16


@pytest.mark.parametrize("bits, colour", [*((bits, False) for bits in (1, 2, 4, 8, 16)), (8, True), (16, True)])
def test_the_value_that_a_png_calls_transparent_is_white(bits, colour):
    top = 2**bits - 1
    values = [0, 1, top // 2, 1, top, 1, 0, top]
    channels = [channel for value in values for channel in [value] * (3 if colour else 1)]
    row = b"\0" + int("".join(f"{channel:0{bits}b}" for channel in channels), 2).to_bytes(len(channels) * bits // 8)
    key = chunk(b"tRNS", struct.pack(">H", 0) * (3 if colour else 1))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 1, bits, 2 if colour else 0, 0, 0, 0))
    image = open_image(b"\x89PNG\r\n\x1a\n" + header + key + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND"))
    expected = np.round(np.array(values) * 255 / top)
    # Pillow keeps the upper 8 of a colour's 16 bits: a value that differs in the lower ones is transparent too.
    expected[np.array(values) >> (8 if colour and bits == 16 else 0) == 0] = 255
    assert np.abs(image[0, :, 0] - expected).max() <= 1 and (image == image[..., :1]).all()


def test_a_16_bit_tiff_whose_zero_is_white():
    data = encoded(Image.fromarray(deep(16)[:, ::-1]), "tiff", tiffinfo={262: 0})
    assert np.abs(open_image(data)[..., 0].astype(int) - deep(8)).max() <= 1
