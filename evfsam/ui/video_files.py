"""A followed clip as files in Gradio's cache: what the page and the API hand out."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from PIL import ImageColor

from evfsam import values
from evfsam.errors import InputError
from evfsam.media.export import slug
from evfsam.media.video_effects import EFFECTS, REMOVED, effect_video
from evfsam.media.video_export import masks_zip, rle_json
from evfsam.ui.downloads import fresh_folder
from evfsam.ui.followed import Followed
from evfsam.ui.turns import Client


def masks_files(followed: Followed) -> list[str]:
    """The masks as PNG in a zip, and as COCO JSON. Writing stops once nobody waits for the files."""
    video, client, reader = Path(followed.video_path), Client(), followed.question.clip.open()
    stem = video.name.partition(".")[0]
    with fresh_folder() as folder, ExitStack() as stack:
        paths = [folder / f"{stem}.masks.zip", folder / f"{stem}.coco.json"]
        sinks = [
            stack.enter_context(masks_zip(paths[0])),
            stack.enter_context(rle_json(paths[1], reader)),
        ]
        for frame in followed.each_frame():
            client.check()
            for sink in sinks:
                sink.add(frame, *reader.time_of(frame.index))
    return [str(path) for path in paths]


def with_archive(followed: Followed | None) -> tuple[str | None, list[str]]:
    """One zip of everything, the masks as folders of PNG, and the single files; (None, []) without a result."""
    if followed is None:
        return None, []
    masks, document = masks_files(followed)
    path = Path(masks).with_name(f"{Path(masks).name.partition('.')[0]}.zip")
    client = Client()
    with zipfile.ZipFile(path, "w") as bundle, zipfile.ZipFile(masks) as pictures:  # stored: they are small already
        bundle.write(followed.video_path, Path(followed.video_path).name)
        bundle.write(document, Path(document).name, zipfile.ZIP_DEFLATED)
        for name in pictures.namelist():
            client.check()
            bundle.writestr(f"masks/{name}", pictures.read(name))
    return str(path), [followed.video_path, masks, document]


def effect_file(followed: Followed | None, effect: str, colour: str) -> Iterator[tuple[int, int, str | None]]:
    """Draw a clip's objects before another background.

    Args:
        effect: one of :data:`~evfsam.media.video_effects.EFFECTS`.
        colour: of the background, as a web page writes it: "#00b140", "rgba(0, 177, 64, 1)".

    Yields (frames done, of how many, None) after each frame, and at last the path in place of None. Stops once nobody
    waits for it. Raises InputError if nothing was followed, and for other values.
    """
    if followed is None:
        raise InputError("Follow something first: the background is what was not followed.")
    values.choice(effect, "background", EFFECTS)
    reader, client = followed.question.clip.open(), Client()
    name = f"{slug(Path(followed.question.clip.path).stem, 'video')}.background-{slug(effect, 'other')}"
    with fresh_folder() as folder:
        path = folder / f"{name}.{'webm' if effect == REMOVED else 'mp4'}"
        with effect_video(path, reader, effect, colour_of(colour)) as sink:
            for done, frame in enumerate(followed.each_frame(reader), start=1):
                client.check()
                sink.add(frame, *reader.time_of(frame.index))
                yield done, followed.stop, None
        yield followed.stop, followed.stop, str(path)


def colour_of(text: str) -> tuple[int, int, int]:
    """(r, g, b) of a colour as web pages write it. Raises InputError for any other text."""
    try:
        parts = str(text).strip().removeprefix("rgba(").removesuffix(")").split(",")
        if len(parts) == 4:  # Gradio's picker has fractions
            red, green, blue = (min(max(round(float(part)), 0), 255) for part in parts[:3])
            return red, green, blue
        return ImageColor.getrgb(str(text))[:3]
    except (ValueError, OverflowError):
        raise InputError(f"{values.shown(text)} is not a colour: give one such as #00b140.") from None
