"""Pictures from outside as RGB arrays: the only place that knows EXIF, alpha and colour modes."""

from __future__ import annotations

import io
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from evfsam.errors import InputError

MAX_PIXELS = 64_000_000  # a logit map of that size takes 256 MB a phrase
READABLE = "JPEG, PNG, WebP, AVIF, GIF, TIFF or BMP"

ImageSource = str | PathLike | bytes | Image.Image | np.ndarray


def open_image(source: ImageSource, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A picture as RGB uint8 (H, W, 3), upright, transparent parts over white, the first frame if it moves.

    Args:
        source: a path, a file's bytes, a PIL picture, or an array: (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4) of bool, uint8, uint16 or floats in 0..1.
        max_pixels: larger pictures are refused before they are decoded.

    Raises InputError if it is missing, empty, damaged, too large or no picture.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, Image.Image):
        return _from_pil(source, max_pixels, "The picture")
    if isinstance(source, bytes | bytearray):
        return _from_bytes(bytes(source), max_pixels, "The picture")
    if isinstance(source, str | PathLike):
        path = Path(source)
        return _from_bytes(_read(path), max_pixels, f"'{path.name}'")
    raise InputError(f"A picture must be a file, bytes, a PIL picture or an array, not a {type(source).__name__}.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"There is no file '{path}': check the path.") from None
    except IsADirectoryError:
        raise InputError(f"'{path}' is a folder: name a picture in it.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"'{path}' cannot be opened ({error}): check the path and its permissions.") from None


def _from_bytes(data: bytes, max_pixels: int, name: str) -> np.ndarray:
    if not data:
        raise InputError(f"{name} is empty (0 bytes): save or upload it again.")
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return _from_pil(picture, max_pixels, name)
    except Image.DecompressionBombError:
        raise _too_large(name, max_pixels) from None
    except UnidentifiedImageError:
        raise InputError(f"{name} is not a picture that can be read: use {READABLE}.") from None


def _from_pil(picture: Image.Image, max_pixels: int, name: str) -> np.ndarray:
    _check_size(picture.width, picture.height, max_pixels, name)
    try:
        picture.load()
        return _to_rgb(_eight_bit(ImageOps.exif_transpose(picture)))
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on damaged data
        raise InputError(f"{name} is damaged or incomplete ({error}): save or upload it again.") from None


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Modes with more than eight bits a channel, which Pillow would clip instead of scaling."""
    if picture.mode.startswith("I;16"):
        values = np.asarray(picture).astype(np.uint16)
    elif picture.mode in ("I", "F"):
        values = np.asarray(picture)
        top = values.max()
        if not np.isfinite(values).all() or values.min() < 0 or top > 65535:
            raise InputError("The picture's values are outside 0..65535: convert it to 8 or 16 bits a channel.")
        if picture.mode == "F" and top <= 1:
            values = values.astype(np.float32)
        else:
            values = values.astype(np.uint16 if top > 255 else np.uint8)
    else:
        return picture
    return Image.fromarray(_array_to_uint8(values))


def _to_rgb(picture: Image.Image) -> np.ndarray:
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    return np.array(picture.convert("RGB"))


def _from_array(array: np.ndarray, max_pixels: int) -> np.ndarray:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise InputError(
            f"A picture array must have the shape (H, W), (H, W, 3) or (H, W, 4), not {tuple(array.shape)}."
        )
    _check_size(array.shape[1], array.shape[0], max_pixels, "The picture")
    array = _array_to_uint8(array)
    if array.shape[2] == 4:
        return _to_rgb(Image.fromarray(array))
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _array_to_uint8(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise InputError("A picture of floats must lie in 0..1: divide by 255, or pass uint8.")
        return np.rint(array * 255).astype(np.uint8)
    raise InputError(f"A picture array must be of bool, uint8, uint16 or floats in 0..1, not {array.dtype}.")


def _check_size(width: int, height: int, max_pixels: int, name: str) -> None:
    if width == 0 or height == 0:
        raise InputError(f"{name} has no pixels ({width} x {height}): choose another.")
    if width * height > max_pixels:
        raise _too_large(name, max_pixels, f" ({width} x {height})")


def _too_large(name: str, max_pixels: int, size: str = "") -> InputError:
    return InputError(f"{name} is too large{size}: make it smaller than {max_pixels / 1e6:g} million pixels.")
