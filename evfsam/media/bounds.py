"""Small image files that would take minutes: bounds on the number of pieces of which a file may consist."""

from __future__ import annotations

import io
import re
import struct

from evfsam.errors import InputError

# Real files need some hundred reads before the first pixel, and then about one per 8 kB.
HEADER_READS, PIXEL_READS = 20_000, 200_000
# A progressive JPEG has about ten scans. Each one may touch all pixels and take only a hundred bytes.
MAX_SCANS = 100
SCAN_HEADER = re.compile(rb"\xff\xda\0(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
# A TIFF may have one strip per row. Pillow makes a Python object of each strip.
MAX_TIFF_VALUES = 200_000
TIFF_PIECES = (273, 279, 324, 325)  # the offsets and sizes of strips and tiles
TIFF_BYTES = (1, 2, 6, 7)  # types of fields that are kept as bytes: thumbnails, profiles, layers


class BoundedReads(io.BytesIO):
    """The bytes of a file that can be read only so many times, for Pillow reads headers piece by piece in Python."""

    reads_left = HEADER_READS

    def read(self, size: int | None = -1) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise _too_many_pieces()
        return super().read(size)


def check_pieces(data: bytes) -> None:
    """Raises InputError if a file has more JPEG scans, or more values in a TIFF field, than any real one."""
    if data.startswith(b"\xff\xd8"):
        too_many = len(SCAN_HEADER.findall(data)) > MAX_SCANS
    else:
        too_many = data.startswith((b"II", b"MM")) and _most_tiff_values(data) > MAX_TIFF_VALUES
    if too_many:
        raise _too_many_pieces()


def _most_tiff_values(data: bytes) -> int:
    """The largest number of values in a field of the first image; 0 if its fields are damaged."""
    order = "<" if data.startswith(b"II") else ">"
    big = 43 in data[2:4]  # BigTIFF, with offsets of 64 bits
    try:
        (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
        first, size = (start + 8, 20) if big else (start + 2, 12)
        places = range(first, first + size * min(count, HEADER_READS), size)
        fields = [struct.unpack_from(order + ("HHQ" if big else "HHI"), data, place) for place in places]
    except struct.error:  # Pillow says what is wrong
        return 0
    return max((count for tag, kind, count in fields if kind not in TIFF_BYTES or tag in TIFF_PIECES), default=0)


def _too_many_pieces() -> InputError:
    return InputError("The image consists of too many small pieces: save it again as PNG or JPEG.")
