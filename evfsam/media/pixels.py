"""Pixel values of any kind as 8-bit RGB: orientation, bit depths, colour modes and alpha."""

from __future__ import annotations

from contextlib import suppress

import cv2
import numpy as np
from PIL import ExifTags, Image

from evfsam.errors import InputError

TRANSPOSE_OF = {  # EXIF's orientation -> what makes the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
BITS_PER_SAMPLE, PHOTOMETRIC, MAX_SAMPLE_VALUE = 258, 262, 281  # TIFF tags
WHITE_IS_ZERO = 0
FULL = 65535
KEY_FACTORS = {"L;2": 85, "L;4": 17}  # how a grey value of 2 or 4 bits becomes one of 8
USUAL_DEPTHS = (8, 10, 12)  # of cameras and microscopes whose programs write 16-bit files


def image_to_rgb(image: Image.Image, data: bytes = b"") -> np.ndarray:
    """A PIL image of any mode as uint8 RGB (H, W, 3), upright and over white.

    Values of 8, 10 or 12 bits that were stored in 16 bits are recognised: by what the file declares, else by their
    largest value.

    Args:
        image: decoded here if it is not yet.
        data: the file it comes from, if there is one.

    Raises InputError for values without a meaning, and whatever Pillow raises for a damaged file.
    """
    stored = " ".join(str(tile.args) for tile in getattr(image, "tile", ()))
    has_deep_colours = ";16" in stored
    image.load()
    orientation = 1  # upright
    with suppress(Exception):  # other tags of EXIF may be damaged in any way
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        rgb = array_to_rgb(_grey_values(image, data))
    elif has_deep_colours and data and _is_dark(image):
        rgb = array_to_rgb(_deep_colours(image, data))
    elif image.mode == "RGB" and "transparency" not in image.info:
        rgb = np.array(image)
    else:
        rgb = _over_white(_with_scaled_key(image, stored) if "transparency" in image.info else image)
    return np.array(Image.fromarray(rgb).transpose(TRANSPOSE_OF[orientation])) if orientation in TRANSPOSE_OF else rgb


def array_to_rgb(array: np.ndarray) -> np.ndarray:
    """(H, W, 1), grey and alpha (H, W, 2), (H, W, 3) or (H, W, 4) as uint8 RGB (H, W, 3), over white.

    Raises InputError unless it is bool, uint8, uint16 in 0..65535, or floats in 0..1.
    """
    array = _to_uint8(array)
    if array.shape[2] in (2, 4):
        return _over_white(Image.fromarray(np.ascontiguousarray(array)))
    return np.ascontiguousarray(array if array.shape[2] == 3 else np.repeat(array, 3, axis=2))


def _to_uint8(array: np.ndarray) -> np.ndarray:
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        return array.astype(np.uint8) * 255
    if kind == "u" and size == 1:
        return array
    if kind == "u" and size == 2:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise InputError("An image of floats must lie in 0..1: divide by 255, or pass uint8.")
        return np.rint(array.astype(np.float32) * 255).astype(np.uint8)
    raise InputError(f"An image array must be bool, uint8, uint16 or floats in 0..1, not {array.dtype}: convert it.")


def _with_scaled_key(image: Image.Image, stored: str) -> Image.Image:
    """The image with the value that a PNG calls transparent scaled as Pillow scales the pixels, to 8 bits."""
    key = image.info["transparency"]
    if stored in KEY_FACTORS and isinstance(key, int):
        key *= KEY_FACTORS[stored]
    elif stored == "RGB;16B" and isinstance(key, tuple):
        key = tuple(value >> 8 for value in key)
    else:
        return image
    image = image.copy()
    image.info["transparency"] = key
    return image


def _over_white(image: Image.Image) -> np.ndarray:
    """An image with 8 bits per channel as uint8 RGB (H, W, 3)."""
    if image.has_transparency_data:
        image = image.convert("LA") if image.mode == "La" else image
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return np.array(image.convert("RGB"))


def _grey_values(image: Image.Image, data: bytes) -> np.ndarray:
    """(H, W, 1 or 2) in a form that :func:`array_to_rgb` takes, from a mode with more than 8 bits."""
    values, key = np.asarray(image)[:, :, None], image.info.get("transparency")
    top = values.max()
    if not np.isfinite(values).all() or values.min() < 0 or top > FULL:
        raise InputError("The image has values outside 0..65535: convert it to 8 or 16 bits per channel.")
    if image.mode == "F" and top <= 1:
        return values
    if not image.mode.startswith("I;16") and top <= 255:
        return np.rint(values).astype(np.uint8)
    values = np.rint(values).astype(np.uint16)
    scaled = values / np.float32(_white(values, image, data))
    if isinstance(key, int):  # the value that a PNG calls transparent
        return np.concatenate([scaled, values != key], axis=2, dtype=np.float32)
    # Pillow inverts such files only where they have 8 bits.
    return 1 - scaled if _tiff_tag(image, PHOTOMETRIC) == WHITE_IS_ZERO else scaled


def _is_dark(image: Image.Image) -> bool:
    """Whether the colours stay below a sixteenth of the range, as 12-bit values in 16 bits do."""
    return max(high for _, high in image.getextrema()[:3]) < 16


def _deep_colours(image: Image.Image, data: bytes) -> np.ndarray:
    """Floats (H, W, 3 or 4) in 0..1 from a file with 16 bits per colour, of which Pillow keeps the upper 8 only."""
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if values is None or values.dtype != np.uint16 or values.shape[:2] != image.size[::-1] or values.ndim != 3:
        raise InputError("The image has dark colours of 16 bits that cannot be read: save it with 8 bits per channel.")
    colours, alpha = values[:, :, 2::-1], values[:, :, 3:]  # OpenCV has blue first
    parts = [part / np.float32(_white(part, image, data)) for part in (colours, alpha) if part.size]
    return np.concatenate(parts, axis=2)


def _white(values: np.ndarray, image: Image.Image, data: bytes) -> int:
    """The largest value that uint16 values could have: 65535, or less where they have fewer than 16 bits."""
    top = int(values.max())
    if bits := _significant_bits(data):
        # PNG says that such values fill the 16 bits, their upper bits repeated in the lower. Not every program obeys.
        unscaled = top < 2**bits and (values & (2 ** (16 - bits) - 1)).any()
        return 2**bits - 1 if unscaled else FULL
    bits, declared = _tiff_tag(image, BITS_PER_SAMPLE), _tiff_tag(image, MAX_SAMPLE_VALUE)
    if bits and bits < 16 and top < 2**bits:
        declared = declared if declared and declared < 2**bits else 2**bits - 1
    if declared and top <= declared <= FULL:
        return declared
    return next((2**bits - 1 for bits in USUAL_DEPTHS if top < 2**bits), FULL)


def _tiff_tag(image: Image.Image, tag: int) -> int | None:
    value = getattr(image, "tag_v2", {}).get(tag)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else None


def _significant_bits(data: bytes) -> int | None:
    """How many bits of the first channel count, by a PNG's sBIT chunk."""
    at = 8 if data.startswith(b"\x89PNG") else len(data)
    while (kind := data[at + 4 : at + 8]) not in (b"IDAT", b""):
        if kind == b"sBIT":
            return data[at + 8] if 0 < data[at + 8] <= 16 else None
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return None
