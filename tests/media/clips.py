"""Real little video files, made on the spot: each frame says its own number."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

CORNER, GROUND = (20, 60, 220), (200, 40, 40)
BITS = 6


def numbered(index: int, size_hw: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A red picture with a blue top left corner and the index in binary as bright blocks at the bottom."""
    height, width = size_hw
    picture = np.full((height, width, 3), GROUND, np.uint8)
    picture[: height // 3, : width // 3] = CORNER
    for bit in range(BITS):
        if index >> bit & 1:
            picture[-height // 4 :, bit * width // BITS : (bit + 1) * width // BITS] = 255
    return picture


def number_of(picture: np.ndarray) -> int:
    """Read the index back from an upright frame of any size, lossily coded."""
    height, width = picture.shape[:2]
    row = picture[height - height // 8].astype(int)
    middles = [row[(2 * bit + 1) * width // (2 * BITS)] for bit in range(BITS)]
    return sum((int(block[1]) > 140) << bit for bit, block in enumerate(middles))


def write_clip(
    path: Path,
    count: int = 20,
    fps: Fraction | int = 25,
    size_hw: tuple[int, int] = (48, 64),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    ticks: Sequence[int] | None = None,
    rotation: int | None = None,
    audio: str | None = None,
    options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    first_pts: int = 0,
    title: str | None = None,
) -> Path:
    """Write ``numbered`` frames.

    Args:
        ticks: when each frame is shown, in hundredths of a second, for a variable rate.
        rotation: quarter turns in degrees counterclockwise that a player has to make.
        audio: codec of a sound of the same length.
        first_pts: of the first frame, in frames; before 0 is not to be shown.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options=options or {})
        stream.height, stream.width = size_hw
        stream.pix_fmt = pixel_format
        time_base = Fraction(1, 100) if ticks else 1 / Fraction(fps)
        stream.codec_context.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if title:
            container.metadata["title"] = title
        sound = container.add_stream(audio, rate=48000, layout="mono") if audio else None
        container.start_encoding()
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(index, size_hw), "rgb24")
            frame.pts = ticks[index] if ticks else first_pts + index
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound:
            write_sound(container, sound, seconds=float(count / Fraction(fps)))
    return path


def write_frames(
    path: Path, frames: Sequence[np.ndarray], codec: str, pixel_format: str, options: dict[str, str]
) -> Path:
    """Write RGB or RGBA frames of any look, 10 per second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, "rgba" if image.shape[2] == 4 else "rgb24")
            frame = frame.reformat(format=pixel_format)
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def set_display_matrix(path: Path, a: float, b: float, c: float, d: float, x: float, y: float) -> None:
    """Overwrite the matrix of the only track of an MP4: x' = a x + c y, y' = b x + d y."""
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd") + 4
    at = header + 4 + (20 if data[header] == 0 else 32) + 16
    fixed = [round(value * 65536) for value in (a, b, c, d, x, y)]
    data[at : at + 36] = struct.pack(">9i", fixed[0], fixed[1], 0, fixed[2], fixed[3], 0, fixed[4], fixed[5], 1 << 30)
    path.write_bytes(data)


def write_sound(container, stream, seconds: float) -> None:
    """A 440 Hz tone that is silent in its first half."""
    samples = int(48000 * seconds)
    time = np.arange(samples) / 48000
    wave = (np.sin(2 * np.pi * 440 * time) * 0.5 * (time >= seconds / 2)).astype(np.float32)
    for start in range(0, samples, 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_sound_file(path: Path, codec: str = "aac", cover: bool = False) -> Path:
    with av.open(str(path), "w") as container:
        sound = container.add_stream(codec, rate=48000, layout="mono")
        if cover:
            picture = container.add_stream("mjpeg")
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuvj420p"
            picture.disposition = Disposition.attached_pic.value
            container.mux(picture.encode(av.VideoFrame.from_ndarray(numbered(0), "rgb24")))
            container.mux(picture.encode(None))
        write_sound(container, sound, seconds=1)
    return path


def loudness(path: Path) -> tuple[np.ndarray, float]:
    """Level in steps of a tenth of a second, 0..1, and when the sound begins after the pictures, in seconds."""
    resampler = av.AudioResampler("fltp", "mono", 48000)
    with av.open(str(path)) as container:
        pictures = next(container.decode(video=0)).time or 0.0
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    wave = np.abs(np.concatenate([frame.to_ndarray()[0] for frame in frames]))
    start = float(frames[0].pts * frames[0].time_base)
    return wave[: len(wave) // 4800 * 4800].reshape(-1, 4800).mean(1), start - pictures
