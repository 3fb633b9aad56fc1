"""How much one request may ask for. Every limit is checked before work starts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from evfsam import values
from evfsam.errors import InputError, VideoError
from evfsam.ui.zero import ON_ZERO_GPU

VARIABLE = "EVFSAM_LIMIT_"


@dataclass(frozen=True)
class Limits:
    """What one request may ask for, and how many requests may wait.

    Attributes:
        pixels: per image.
        prompts: per image.
        pixels_times_prompts: per request on an image.
        things: per prompt; fewer on large images, where each counts as a prompt for ``pixels_times_prompts``.
        pictures: in one go.
        frames: per clip; the page cuts longer clips and says so.
        objects: per clip.
        frames_times_objects: per clip.
        clip_seconds: length of a clip that a program sends to /track.
        upload_bytes: per uploaded file.
        queue: requests that wait; who comes later is told to come back.
        kept_bytes: compressed masks that one session keeps for its threshold slider and downloads.
    """

    pixels: int = 25_000_000
    prompts: int = 12
    pixels_times_prompts: int = 300_000_000
    things: int = 30
    pictures: int = 30
    frames: int = 300 if ON_ZERO_GPU else 1_800
    objects: int = 12
    frames_times_objects: int = 21_600
    clip_seconds: int = 120
    upload_bytes: int = 200 * 2**20
    queue: int = 20
    kept_bytes: int = 64_000_000

    def things_per_prompt(self, size_hw: tuple[int, int], prompts: int) -> int:
        """How many things each of so many prompts may have on an image of this size."""
        masks = self.pixels_times_prompts // (size_hw[0] * size_hw[1])
        return max(0, min(self.things, (masks - prompts) // max(1, prompts)))

    def check_pictures(self, paths: Sequence[str]) -> None:
        """Raises InputError for too many pictures, or too many bytes, in one go."""
        if len(paths) > self.pictures:
            raise InputError(f"Those are {len(paths)} pictures: choose at most {self.pictures} in one go.")
        size = sum(os.path.getsize(path) for path in paths)
        if size > self.upload_bytes:
            raise InputError(
                f"Those are {size / 2**20:.0f} MB: choose at most {self.upload_bytes / 2**20:g} MB in one go."
            )

    def check_prompts(self, count: int, size_hw: tuple[int, int] | None = None) -> None:
        """Raises InputError for too many prompts, or for more than an image of this size may have."""
        if count > self.prompts:
            raise InputError(f"That is {count} phrases: ask for at most {self.prompts} at once.")
        pixels = size_hw[0] * size_hw[1] if size_hw else 0
        if pixels * count > self.pixels_times_prompts:
            most = max(1, self.pixels_times_prompts // pixels)
            raise InputError(
                f"{count} phrases on {pixels:,} pixels are too much for one request: "
                f"ask for at most {most} at once, or use a smaller image."
            )

    def check_clip(self, frames: int, objects: int) -> None:
        """Raises VideoError for too many objects, frames, or frames times objects."""
        if objects > self.objects:
            raise VideoError(
                f"That is {objects} objects: follow at most {self.objects} at once. Name fewer, or name their places."
            )
        if frames > self.frames:
            raise VideoError(f"The clip has {frames:,} frames: choose a part of at most {self.frames:,}.")
        if frames * objects > self.frames_times_objects:
            most = max(1, self.frames_times_objects // objects)
            raise VideoError(
                f"{objects} objects on {frames:,} frames are too much for one request: "
                f"choose a part of at most {most:,} frames, or follow fewer objects."
            )

    def check_seconds(self, seconds: float) -> None:
        """Raises VideoError for a clip that is too long for the API."""
        if seconds > self.clip_seconds:
            raise VideoError(
                f"The clip lasts {seconds:.0f} s: choose at most {self.clip_seconds} s of it by start_s and end_s."
            )

    def sentence(self) -> str:
        """The limits in words, for the page."""
        return (
            f"Limits: {self.prompts} phrases and {self.pixels / 1e6:g} megapixels per picture, "
            f"{self.pictures} pictures in one go, "
            f"{self.objects} objects and {self.frames:,} frames per clip, {self.upload_bytes / 2**20:g} MB per file."
        )


def read_limits(environment: Mapping[str, str] = os.environ) -> Limits:
    """The limits, those changed that the environment names: EVFSAM_LIMIT_PIXELS=12000000, for example.

    Raises InputError for a value that is no whole number of at least 1.
    """
    named = {field.name: VARIABLE + field.name.upper() for field in fields(Limits)}
    given = {name: environment[variable] for name, variable in named.items() if environment.get(variable)}
    return Limits(
        **{name: values.number(value, named[name], 1, whole=True, text=True) for name, value in given.items()}
    )
