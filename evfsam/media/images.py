"""Images from outside as RGB arrays: files, bytes, PIL images and arrays, upright and checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from evfsam.errors import InputError
from evfsam.media.bounds import PIXEL_READS, BoundedReads, check_pieces
from evfsam.media.files import open_regular, quoted
from evfsam.media.pixels import array_to_rgb, image_to_rgb

MAX_PIXELS = 64_000_000  # the mask logits of such an image take 256 MB per prompt
MAX_FILE_BYTES = 200_000_000
READABLE = "JPEG, PNG, WebP, AVIF, GIF, TIFF or BMP"
# Never all that Pillow knows: its EPS reader, for example, runs Ghostscript. JPEG includes the MPO of some phones.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")

ImageSource = str | PathLike | bytes | Image.Image | np.ndarray


def open_image(source: ImageSource, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Any image as uint8 RGB (H, W, 3): upright, transparent parts over white, the first frame of an animation.

    Args:
        source: the path of a regular file of at most 200 MB; the bytes of a file; a PIL image of any mode; or an
            array of shape (H, W), (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4). Two channels are grey and alpha.
            Arrays are bool, uint8, uint16 in 0..65535, or floats in 0..1. Contiguous uint8 RGB is returned as it is.
        max_pixels: larger images are refused before they are decoded.

    Raises InputError if the image is missing, empty, damaged, too large, or in a format that is not in ``READABLE``.
    """
    is_rgb = isinstance(source, np.ndarray) and source.dtype == np.uint8 and source.ndim == 3 and source.shape[2] == 3
    if is_rgb and source.flags.c_contiguous and 0 < source.size <= 3 * max_pixels:
        return source  # the form that everything else is brought to
    if isinstance(source, np.ndarray):
        return _from_array(np.asarray(source), max_pixels)
    if isinstance(source, Image.Image):
        return _from_pil(source, max_pixels)
    if isinstance(source, bytes | bytearray):
        return _from_bytes(bytes(source), max_pixels, "The image")
    if isinstance(source, str | PathLike):
        path = Path(os.fsdecode(source))
        name = quoted(path.name)
        with open_regular(path, InputError, "image") as file:
            try:
                data = file.read(MAX_FILE_BYTES + 1)
            except (OSError, MemoryError) as error:
                raise InputError(f"{name} cannot be read: copy it again.") from error
        if len(data) > MAX_FILE_BYTES:
            raise InputError(f"{name} has more than {MAX_FILE_BYTES / 1e6:g} MB: save it smaller, as JPEG or PNG.")
        return _from_bytes(data, max_pixels, name)
    raise InputError(f"An image must be a path, bytes, a PIL image or an array, not {type(source).__name__}.")


def open_frames(frames: Iterable[ImageSource]) -> Iterator[np.ndarray]:
    """Each frame of a clip by :func:`open_image`. Raises InputError for a frame whose size is not the first one's."""
    size_hw = None
    for frame in frames:
        image = open_image(frame)
        if image.shape[:2] != (size_hw := size_hw or image.shape[:2]):
            sizes = " and ".join(f"{width} x {height}" for height, width in (size_hw, image.shape[:2]))
            raise InputError(f"The frames have different sizes, {sizes}: resize them first.")
        yield image


def _from_bytes(data: bytes, max_pixels: int, name: str) -> np.ndarray:
    if not data:
        raise InputError(f"{name} is empty (0 bytes): save or upload it again.")
    check_pieces(data)
    file = BoundedReads(data)
    try:
        with Image.open(file, formats=FORMATS) as image:
            _check_size(*image.size, max_pixels, name)
            file.reads_left = PIXEL_READS
            return image_to_rgb(image, data)
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, max_pixels) from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name} is not an image that can be read, or it is damaged: use {READABLE}.") from error
    except Exception as error:  # Pillow raises almost anything for damaged files
        raise InputError(f"{name} is damaged or of a rare kind: save it again as PNG or JPEG.") from error


def _from_pil(image: Image.Image, max_pixels: int) -> np.ndarray:
    # A file that PIL has opened is decoded only now, so it must be in a promised format too.
    if isinstance(image, ImageFile) and image.format not in (*FORMATS, "MPO"):
        raise InputError(f"The image is a {image.format} file: use {READABLE}, or pass image.copy().")
    _check_size(*image.size, max_pixels, "The image")
    try:
        return image_to_rgb(image)
    except InputError:
        raise
    except Exception as error:
        raise InputError("The image is damaged or was closed: open it again, or save it as PNG or JPEG.") from error


def _from_array(array: np.ndarray, max_pixels: int) -> np.ndarray:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
        raise InputError(f"An image array must have the shape (H, W), (H, W, 3) or (H, W, 4), not {array.shape}.")
    _check_size(array.shape[1], array.shape[0], max_pixels, "The image")
    return array_to_rgb(array)


def _check_size(width: int, height: int, max_pixels: int, name: str) -> None:
    if width <= 0 or height <= 0:
        raise InputError(f"{name} has no pixels ({width} x {height}): choose another.")
    if width * height > max_pixels:
        raise _too_large(name, max_pixels, f" ({width} x {height})")


def _too_large(name: str, max_pixels: int, size: str = "") -> InputError:
    limit = max_pixels if size else min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))  # Pillow's own limit
    return InputError(f"{name} is too large{size}: make it smaller than {limit / 1e6:g} million pixels.")
