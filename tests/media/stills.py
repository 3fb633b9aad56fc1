"""Small image files, made on the spot."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(*chunks: bytes, png: bytes | None = None) -> bytes:
    """A PNG with chunks added behind its header."""
    png = png or encoded(Image.new("RGB", (4, 4), RED), "png")
    return png[:33] + b"".join(chunks) + png[33:]
