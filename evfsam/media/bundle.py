"""A result as files: masks, cut-outs, an overlay, and annotations of one or many images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from evfsam.media.annotations import COCO, YOLO, Annotated, Annotations
from evfsam.media.export import cutout_png, mask_png, png, slug, unique_stem
from evfsam.media.overlay import colour_of, draw
from evfsam.types import Segmentation


def bundle(
    image: np.ndarray,
    segmentations: Iterable[Segmentation],
    image_name: str = "picture",
    things: Sequence[Sequence[Segmentation]] = (),
    each_thing: bool = False,
    things_drawn: bool = True,
    format: str = COCO,
) -> Iterator[tuple[str, bytes]]:
    """Every file of a result as (file name, content): those of :func:`drawn`, then the annotations in one format."""
    stem, annotations = image_stem(image_name), Annotations()
    annotated = annotations.image(image_name, image.shape[:2], stem)
    yield from drawn(image, segmentations, annotated, things, each_thing, things_drawn)
    yield from annotations.files(format, stem)
    if format == YOLO:
        yield f"images/{stem}.png", png(image)


def drawn(
    image: np.ndarray,
    segmentations: Iterable[Segmentation],
    annotated: Annotated,
    things: Sequence[Sequence[Segmentation]] = (),
    each_thing: bool = False,
    things_drawn: bool = True,
    cutouts: bool = True,
) -> Iterator[tuple[str, bytes]]:
    """A mask and a cut-out for each prompt that was found, and one overlay, as (file name, content).

    The names tell the image and the prompt. Segmentations are taken one at a time and not kept: with large images hand
    over a generator, and write each file before the next.

    Args:
        annotated: the image's annotations, whose ``stem`` the names start with; what was found is added. A prompt with
            things is annotated thing by thing.
        things: the separate things of each prompt; empty for none at all.
        each_thing: whether each thing gets a mask and a cut-out of its own as well.
        things_drawn: whether the overlay shows each thing in a colour of its own, or each prompt.
        cutouts: False for masks alone.
    """
    overlaid, stem, stems, place = image.copy(), annotated.stem, [], 0
    for row, segmentation in enumerate(segmentations):
        stems.append(unique_stem(stem, segmentation.prompt, stems))
        own = things[row] if things else ()
        found = segmentation.box_xyxy is not None
        if found:
            yield from _files(image, segmentation, stems[-1], cutouts)
        for number, thing in enumerate(own, start=1):
            if each_thing and thing.box_xyxy is not None:
                yield from _files(image, thing, f"{stems[-1]}.{number}", cutouts)
            if things_drawn:
                draw(overlaid, thing.mask, colour_of(place + number - 1))
            annotated.add(thing)
        if not own:
            annotated.add(segmentation)
        if not (own and things_drawn):
            draw(overlaid, segmentation.mask, colour_of(place))
        place += max(1, len(own)) if things_drawn else 1
        del segmentation
    yield f"{stem}.overlay.png", png(overlaid)


def image_stem(image_name: str) -> str:
    """A safe file name without its ending."""
    return slug(re.sub(r"\.\w{1,5}$", "", image_name), "picture")


def _files(image: np.ndarray, found: Segmentation, stem: str, cutouts: bool) -> Iterator[tuple[str, bytes]]:
    yield f"{stem}.mask.png", mask_png(found.mask)
    if cutouts:
        yield f"{stem}.cutout.png", cutout_png(image, found.mask)
