"""The corpus: who asks what at which door, and the mask or the sentence that must come back.

A row whose question is odd but clear has a second question, the plain one: both must give the same mask.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.corpus.doors import Question, png
from tests.media.stills import encoded
from tests.media.test_images import ODD_TAGS, REFUSED
from tests.processing.test_text import CLEANED

PYTHON, COMMAND_LINE, HTTP = "Python", "command line", "HTTP"
FILES, SHAPES = (PYTHON, COMMAND_LINE, HTTP), (PYTHON, COMMAND_LINE)  # doors that take files; points and boxes
NUMBERS = (COMMAND_LINE, HTTP)  # doors that take a threshold

with Image.open(Path(__file__).parents[2] / "assets" / "examples" / "street.jpg") as street:
    street.thumbnail((192, 192))
    STREET = np.array(street.convert("RGB"))
STREET[:, :48] = 255  # white, so that a transparent part over white gives the same picture
HEIGHT, WIDTH = STREET.shape[:2]
BUS = "the bus"
PNG = png(STREET)
PLAIN = Question(PNG, BUS)
NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Row:
    """One entry of the corpus.

    Attributes:
        name: what is odd about the question.
        door: where it is asked.
        same_as: the plain question with the same mask, asked in Python; or None.
        words: what the sentence must say (a regular expression), if the question is refused.
    """

    name: str
    door: str
    question: Question
    same_as: Question | None = None
    words: str = ""


def with_alpha(image: np.ndarray) -> np.ndarray:
    """RGBA whose left edge is transparent, with another colour behind it."""
    alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
    alpha[:, :48] = 0
    rgba = np.concatenate([image, alpha], axis=2)
    rgba[:, :48, :3] = 20, 200, 60
    return rgba


def turned(orientation: int, kind: str) -> bytes:
    """The street as a camera stores it that is held as the EXIF tag says."""
    undo = ["", "h", "rr", "v", "t", "r", "trr", "rrr"][orientation - 1]
    steps = {"h": np.fliplr, "v": np.flipud, "r": np.rot90, "t": lambda a: a.transpose(1, 0, 2)}
    stored, exif = STREET, Image.Exif()
    for step in undo:
        stored = steps[step](stored)
    exif[0x0112] = orientation
    return encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)


def with_tags(tags: tuple) -> bytes:
    """JPEG with EXIF tags that nobody wrote on purpose."""
    entries = [struct.pack("<HHI", *tag[:3]) + tag[3] for tag in tags]
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + JPEG[2:]


JPEG = encoded(Image.fromarray(STREET), "jpeg", quality=95)
GREY = np.array(Image.fromarray(STREET).convert("L"))
PALETTE = Image.fromarray(STREET).quantize(128)
WIDE = STREET[..., ::-1].astype(np.uint16) * 257  # OpenCV has blue first

# name -> (image, the plain image)
ARRAYS = {
    "uint8": (STREET, STREET),
    "float32 of 0..1": ((STREET / 255).astype(np.float32), STREET),
    "float64 of 0..1": (STREET / 255, STREET),
    "uint16": (STREET.astype(np.uint16) * 257, STREET),
    "big-endian uint16": ((STREET.astype(np.uint16) * 257).astype(">u2"), STREET),
    "alpha": (with_alpha(STREET), STREET),
    "float alpha": (with_alpha(STREET) / 255, STREET),
    "grey": (GREY, np.dstack([GREY] * 3)),
    "grey with one channel": (GREY[..., None], np.dstack([GREY] * 3)),
    "grey and alpha": (np.dstack([GREY, np.full_like(GREY, 255)]), np.dstack([GREY] * 3)),
    "mirrored view": (STREET[:, ::-1], np.ascontiguousarray(STREET[:, ::-1])),
    "every second pixel": (STREET[::2, ::2], np.ascontiguousarray(STREET[::2, ::2])),
    "column by column": (np.asfortranarray(STREET), STREET),
    "read-only": (np.broadcast_to(STREET, STREET.shape), STREET),
    "PIL": (Image.fromarray(STREET), STREET),
    "PIL with alpha": (Image.fromarray(with_alpha(STREET)), STREET),
    "PIL with a palette": (PALETTE, np.array(PALETTE.convert("RGB"))),
    "PIL in grey": (Image.fromarray(GREY), np.dstack([GREY] * 3)),
    "bytearray": (bytearray(PNG), STREET),
}
STILLS = {
    "PNG": (PNG, STREET),
    "PNG with alpha": (encoded(Image.fromarray(with_alpha(STREET)), "png"), STREET),
    "PNG with a palette": (encoded(PALETTE, "png"), np.array(PALETTE.convert("RGB"))),
    "PNG in grey": (encoded(Image.fromarray(GREY), "png"), np.dstack([GREY] * 3)),
    "PNG of 16 bits": (cv2.imencode(".png", WIDE)[1].tobytes(), STREET),
    "TIFF": (encoded(Image.fromarray(STREET), "tiff"), STREET),
    "TIFF with LZW": (encoded(Image.fromarray(STREET), "tiff", compression="tiff_lzw"), STREET),
    "TIFF in grey of 16 bits": (encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "tiff"), np.dstack([GREY] * 3)),
    "BMP": (encoded(Image.fromarray(STREET), "bmp"), STREET),
    "WebP": (encoded(Image.fromarray(STREET), "webp", lossless=True), STREET),
    "WebP with alpha": (encoded(Image.fromarray(with_alpha(STREET)), "webp", lossless=True, exact=True), STREET),
    "GIF": (encoded(PALETTE, "gif"), np.array(PALETTE.convert("RGB"))),
    "GIF that moves": (
        encoded(PALETTE, "gif", save_all=True, append_images=[PALETTE.rotate(90)]),
        np.array(PALETTE.convert("RGB")),
    ),
    **{f"PNG of orientation {n}": (turned(n, "png"), STREET) for n in range(1, 9)},
    **{f"JPEG with EXIF: {name}": (with_tags(tags), JPEG) for name, tags in ODD_TAGS.items()},
}
# A prompt as typed -> as it is meant, beside those of tests/processing/test_text.py.
PROMPTS = {
    **{typed: read for typed, read in CLEANED.items() if typed not in ("sky [semantic]",)},
    "the bus!": "the bus!",
    "THE BUS": "THE BUS",
    "  the bus  ": BUS,
    "\u201cthe bus\u201d": BUS,
    "\u2018the bus\u2019": BUS,
    "\u2022 the bus": BUS,
    "* the bus": BUS,
    "the bus;": BUS,
    "the b\u00adus": BUS,
    "the bus\u2060": BUS,
    "the\u2009bus": BUS,
    "the\u200dbus": BUS,
    "the\x00bus": BUS,
    "the b\u200bus": BUS,
    "the b\u0336u\u0336s\u0336": BUS,
    "\U0001d42d\U0001d421\U0001d41e \u24d1\u24e4\u24e2": BUS,
    "[semantic]: bus": "[semantic] bus",
    "[Semantic]:bus": "[semantic] bus",
    "[semantic]  bus.": "[semantic] bus",
    "\u3010semantic\u3011 bus": "\u3010semantic\u3011 bus",
}
NO_TEXTS = (None, 5, 0.5, True, ["the bus", "the car"], {"a": 1}, NAN)
BAD_PROMPTS = {
    "": "empty|no phrase|what to",
    " \n\t": "empty|no phrase|what to",
    "?!": "empty",
    "[semantic] ": "empty",
    "[Semantic]:": "empty",
    "\u201c\u2026\u201d": "empty",
    "\u200b\u00ad": "empty",
    "...": "empty",
    "a" * 1001: "shorten",
    "a" * 100_000: "shorten",
    "red \ud800 car": "half a character",
}
MIDDLE = ([(WIDTH / 2, HEIGHT / 2)], [1])
# name -> (points, box, the plain points, the plain box)
SPATIAL = {
    "a point": (MIDDLE, None, MIDDLE, None),
    "a point on the edge": (([(WIDTH, HEIGHT)], [0]), None, ([(WIDTH, HEIGHT)], [0]), None),
    "two points": (([(9, 9), (60, 60)], [0, 1]), None, ([(9.0, 9.0), (60.0, 60.0)], [0, 1]), None),
    "a box": (None, (20, 30, 90, 80), None, (20, 30, 90, 80)),
    "corners exchanged": (None, (90, 80, 20, 30), None, (20, 30, 90, 80)),
    "x exchanged": (None, (90, 30, 20, 80), None, (20, 30, 90, 80)),
    "y exchanged": (None, (20, 80, 90, 30), None, (20, 30, 90, 80)),
    "the whole image": (None, (0, 0, WIDTH, HEIGHT), None, (0, 0, WIDTH, HEIGHT)),
    "a point and a box": (MIDDLE, (90, 80, 20, 30), MIDDLE, (20, 30, 90, 80)),
}
BAD_SPATIAL = {
    "a point of NaN": (([(NAN, 5)], [1]), None, "finite|nan"),
    "a point of infinity": (([(5, INF)], [1]), None, "finite|inf"),
    "a point of 1e300": (([(1e300, 5)], [1]), None, "finite|outside|1e"),
    "a point on the right": (([(WIDTH + 1, 5)], [1]), None, "outside the image"),
    "a point below": (([(5, HEIGHT + 0.5)], [1]), None, "outside the image"),
    "a label of 2": (([(5, 5)], [2]), None, "label"),
    "a label of -1": (([(5, 5)], [-1]), None, "label"),
    "a label of 0.5": (([(5, 5)], [0.5]), None, "label"),
    "101 points": (([(5, 5)] * 101, [1] * 101), None, "at most 100"),
    "a box without width": (None, (20, 30, 20, 80), "empty"),
    "a box without height": (None, (20, 30, 90, 30), "empty"),
    "a box of three numbers": (None, (20, 30, 90), "3 numbers"),
    "a box of five numbers": (None, (20, 30, 90, 80, 1), "5 numbers"),
    "a box of NaN": (None, (20, 30, NAN, 80), "finite|nan"),
    "a box of infinity": (None, (20, 30, INF, 80), "finite|inf"),
    "a box beside the image": (None, (WIDTH + 5, 5, WIDTH + 50, 50), "outside the image"),
    "a box that is larger": (None, (0, 0, WIDTH, HEIGHT + 1), "outside the image"),
}
BAD_PYTHON_SPATIAL = {
    "a point on the left": (([(-1, 5)], [1]), None, "outside the image"),
    "no labels": (([(5, 5)], None), None, "label"),
    "two points, one label": (([(5, 5), (6, 6)], [1]), None, "2 points and 1 label"),
    "no points": (([], []), None, "Points"),
    "points in text": (([("a", "b")], [1]), None, "Points"),
    "points of three numbers": (([(5, 5, 5)], [1]), None, "Points"),
    "a box beside the image, negative": (None, (-500, -500, -100, -100), "outside the image"),
    "a box in text": (None, "0,0,9,9", "box"),
    "a box of None": (None, (None,) * 4, "box"),
}
BAD_THRESHOLDS = (NAN, INF, -INF, "high", "", -1, 0, 1, 2, 50, 1e300)
BAD_JSON_THRESHOLDS = ([0.5], {"a": 1}, True)

ROWS = [
    *[
        Row(f"image: {name}", PYTHON, Question(image, BUS), Question(plain, BUS))
        for name, (image, plain) in ARRAYS.items()
    ],
    *[
        Row(f"image: {name}", door, Question(image, BUS), Question(plain, BUS))
        for name, (image, plain) in STILLS.items()
        for door in FILES
        if door == PYTHON or not re.search("EXIF|orientation [^6]", name)  # the other doors hand over the same bytes
    ],
    *[
        Row(f"image: {name}", door, Question(image, BUS), words=words)
        for name, (image, words) in REFUSED.items()
        for door in (FILES if isinstance(image, bytes) else (PYTHON,))
        if name != "empty" or door != HTTP  # Gradio refuses an empty upload itself
    ],
    *[
        Row(f"prompt: {ascii(typed)}", door, Question(PNG, typed), Question(PNG, read))
        for typed, read in PROMPTS.items()
        for door in FILES
        if door == PYTHON or typed not in CLEANED  # the other doors clean as Python does
        if door != HTTP or not set(",\n;\u3001\uff0c") & set(typed)  # there they stand between phrases
    ],
    *[
        Row(f"prompt: {ascii(typed)[:40]}", door, Question(PNG, typed), words=words)
        for typed, words in BAD_PROMPTS.items()
        for door in FILES
        if door != HTTP or "\ud800" not in typed
    ],
    *[
        Row(f"prompt: {typed!r}", door, Question(PNG, typed), words=".")
        for typed in NO_TEXTS
        for door in (PYTHON, HTTP)
    ],
    *[
        Row(f"spatial: {name}", door, Question(PNG, BUS, *odd), Question(PNG, BUS, *plain))
        for name, (*odd, plain_points, plain_box) in SPATIAL.items()
        for plain in [(plain_points, plain_box)]
        for door in SHAPES
    ],
    *[
        Row(f"spatial: {name}", door, Question(PNG, BUS, points, box), words=words)
        for table, doors in ((BAD_SPATIAL, SHAPES), (BAD_PYTHON_SPATIAL, (PYTHON,)))
        for name, (points, box, words) in table.items()
        for door in doors
    ],
    *[
        Row(f"threshold: {value!r}", door, Question(PNG, BUS, threshold=value), words="threshold|number")
        for value in BAD_THRESHOLDS
        for door in NUMBERS
    ],
    *[
        Row(f"threshold: {value!r}", HTTP, Question(PNG, BUS, threshold=value), words="threshold|number")
        for value in BAD_JSON_THRESHOLDS
    ],
]
