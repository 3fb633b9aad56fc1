"""A followed clip with another background: removed, blurred, or of one colour."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from os import PathLike

import cv2
import numpy as np

from evfsam.media.palette import RGB
from evfsam.media.video_export import Clip, Drawn, VideoSink, cutout_video, union
from evfsam.media.video_writer import open_writer

REMOVED, BLURRED, COLOURED = EFFECTS = ("removed", "blurred", "one colour")
BLUR_SHARE = 0.03  # of the longer side: the standard deviation of the blur
EDGE_PX = 1.0  # over which an object passes into its background


def effect_video(
    path: str | PathLike, clip: Clip, effect: str, colour: RGB = (255, 255, 255)
) -> AbstractContextManager[VideoSink]:
    """The objects of a clip before another background: same rate, length and sound.

    Args:
        path: .webm for ``REMOVED``, which is transparent; .mp4 for the others.
        effect: one of :data:`EFFECTS`.
        colour: of the background if the effect is ``COLOURED``, 0..255.
    """
    return cutout_video(path, clip) if effect == REMOVED else _painted(path, clip, effect, colour)


@contextmanager
def _painted(path: str | PathLike, clip: Clip, effect: str, colour: RGB) -> Iterator[VideoSink]:
    time_base = clip.time_base if clip.info.variable_rate else None
    with open_writer(path, clip.info.fps, time_base, clip.audio) as writer:
        yield Drawn(writer, lambda frame: before(frame.image, union(frame), effect, colour))


def before(image: np.ndarray, mask: np.ndarray, effect: str, colour: RGB = (255, 255, 255)) -> np.ndarray:
    """What a mask shows of an image, uint8 (H, W, 3), before another background; arguments as above."""
    ground = blurred(image) if effect == BLURRED else np.broadcast_to(np.array(colour, np.float32), image.shape)
    share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), EDGE_PX)[:, :, None]
    return np.rint(ground + share * (image - ground.astype(np.float32))).astype(np.uint8)


def blurred(image: np.ndarray) -> np.ndarray:
    """The image out of focus, uint8 (H, W, 3). It is blurred at a quarter of its size, which nobody can tell."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(1.0, BLUR_SHARE * max(height, width) / 4))
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
