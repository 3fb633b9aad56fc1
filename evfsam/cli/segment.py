"""``python -m evfsam segment image.jpg "the red car" -o out/``: masks, an overlay, and the scores as JSON."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfsam import values
from evfsam.cli.options import (
    Parser,
    add_model_options,
    add_spatial_options,
    load_model,
    model_facts,
    spatial_prompt,
)
from evfsam.cli.outputs import check_files, check_folder, make_folder, write_file, write_json
from evfsam.errors import EvfSamError, InputError

if TYPE_CHECKING:
    import numpy as np

    from evfsam.media.annotations import Annotations
    from evfsam.predictor import Predictor
    from evfsam.systems.base import System
    from evfsam.types import Segmentation, SpatialPrompt

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp"}
JSON_NAME = "result.json"


def add_parser(subparsers) -> None:
    parser: Parser = subparsers.add_parser(
        "segment",
        usage="python -m evfsam segment IMAGE... PROMPT... [options]",
        help="mask what prompts name in images",
        description="Write one mask per prompt, an overlay per image, and result.json. "
        'Example: segment street.jpg "the red car" "every tree" -o out/',
    )
    parser.add_argument(
        "images_and_prompts",
        nargs="+",
        metavar="IMAGE... PROMPT...",
        help="images or folders, then prompts; after the first, a name is an image if it ends like one (.jpg) or is a "
        "path with a slash",
    )
    parser.add_argument(
        "-p", "--prompt", action="append", default=[], metavar="PROMPT", help="a prompt; then all names are images"
    )
    parser.add_argument(
        "--things", action="store_true", help='mask each thing by itself too, as "every tree" does by itself'
    )
    add_spatial_options(parser)
    parser.add_argument(
        "--threshold",
        type=lambda text: values.probability(text, "--threshold", text=True),
        default=0.5,
        metavar="P",
        help="probability from which a pixel is inside, 0 to 1 (default: %(default)s)",
    )
    files = parser.add_argument_group("Files")
    files.add_argument("-o", "--out", metavar="FOLDER", help="for all files (default: out)")
    files.add_argument("--cutouts", action="store_true", help="each object alone too, as a transparent PNG")
    files.add_argument(
        "--format",
        choices=("coco", "polygon", "yolo"),
        metavar="NAME",
        help="a data set of all images too: coco (run lengths), polygon (COCO's polygons) or yolo",
    )
    files.add_argument("--json", metavar="FILE", help="the JSON here; - prints it, and without -o writes no file")
    add_model_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from evfsam.media.annotations import Annotations
    from evfsam.media.export import unique_stems
    from evfsam.media.images import open_image
    from evfsam.processing.text import clean_prompt

    by_hand = spatial_prompt(args)
    names, prompts = split_arguments(args.images_and_prompts, args.prompt, by_hand is not None)
    for prompt in values.prompts(prompts or [""]):
        if prompts:
            clean_prompt(prompt)  # refuses an empty one before a model is loaded
    paths = find_images(names)
    folder = None if args.json == "-" and args.out is None else Path(args.out or "out")
    for option in ("cutouts", "format"):
        if folder is None and getattr(args, option):
            raise InputError(f"--{option} writes files: name a folder for them with -o.")
    if folder:
        check_folder(str(folder))
    check_files([args.json], paths)
    predictor = load_model(args)
    if folder:
        make_folder(folder)
    entries, annotations = [], Annotations()
    try:
        for path, stem in zip(paths, unique_stems(map(str, paths), "image"), strict=True):
            try:
                image = open_image(path)
                began = time.perf_counter()
                results, things = answer(args, predictor, image, prompts, by_hand)
                seconds = time.perf_counter() - began
            except EvfSamError as error:  # the other images are still wanted
                print(f"evfsam: {error}", file=sys.stderr)
                continue
            entry = describe(path, image, results, things, seconds)
            if folder:
                write_images(args, folder, stem, image, results, things, entry, annotations)
            tell(entry, quiet=args.json == "-")
            entries.append(entry)
    finally:  # also after Ctrl+C: what is done is kept
        if entries:
            target = args.json or str(folder / JSON_NAME)
            write_json({**model_facts(predictor), "threshold": args.threshold, "pictures": entries}, target)
            if args.format:
                for name, content in annotations.files(args.format, "annotations"):
                    make_folder((folder / name).parent)
                    write_file(folder / name, content)
            tell_files(args, entries, folder)
    return 0 if len(entries) == len(paths) else 2


def answer(
    args: argparse.Namespace,
    model: Predictor | System,
    image: np.ndarray,
    prompts: Sequence[str],
    by_hand: SpatialPrompt | None,
) -> tuple[list[Segmentation], list[list[Segmentation]]]:
    """One result per prompt, and the things of those that ask for them. Raises EvfSamError as the model."""
    from evfsam.systems.base import System
    from evfsam.things import read, separate

    asked = [read(prompt, model.info) for prompt in prompts]
    encoded = model.encode(image)
    others = [None] * (len(prompts) - 1)
    points, boxes = ([by_hand.points, *others], [by_hand.box, *others]) if by_hand else (None, None)
    results = model.segment(encoded, [one.text for one in asked] or [""], points, boxes)
    results = [replace(result, prompt=prompt) for result, prompt in zip(results, prompts or [""], strict=True)]
    apart = [args.things or one.every and one.apart for one in asked] or [args.things]
    things: list[list[Segmentation]] = [[] for _ in results]
    for row, wanted in enumerate(apart):
        if wanted and isinstance(model, System):
            found = model.things(encoded, asked[row].text)
            things[row] = [replace(thing, prompt=asked[row].category) for thing in found]
        elif wanted:
            things[row] = separate(model, encoded, results[row])
    cut = args.threshold
    return [at_threshold(r, cut) for r in results], [[at_threshold(thing, cut) for thing in own] for own in things]


def split_arguments(
    arguments: Sequence[str], prompts: Sequence[str] = (), prompts_optional: bool = False
) -> tuple[list[str], list[str]]:
    """The names of images and the prompts.

    The first argument is always an image or a folder. Those that follow are images as long as they look like one: they
    end in an image's suffix, or are a path with a slash that exists. The rest are prompts, even if a file or folder has
    the same name; a note on standard error says so. With ``prompts`` given, all arguments are images.

    Raises InputError if there is no prompt, unless ``prompts_optional``.
    """
    if prompts:
        return list(arguments), list(prompts)
    count = 1
    while count < len(arguments) and _looks_like_image(arguments[count]):
        count += 1
    if count == len(arguments) and not prompts_optional:
        raise InputError('Say what to look for after the image, for example "the red car".')
    for prompt in arguments[count:]:
        if os.path.exists(prompt):
            note = f"{values.shown(prompt)} is read as a prompt, although a file or folder has this name"
            print(f"evfsam: {note}: write ./ before it to name the file.", file=sys.stderr)
    return list(arguments[:count]), list(arguments[count:])


def _looks_like_image(argument: str) -> bool:
    is_path = any(separator in argument for separator in (os.sep, os.altsep) if separator)
    return os.path.splitext(argument)[1].lower() in IMAGE_SUFFIXES or (is_path and os.path.exists(argument))


def find_images(names: Sequence[str]) -> list[Path]:
    """Paths of images; a folder becomes the images in it, by name. Raises InputError for what is missing or empty."""
    paths: list[Path] = []
    for name in names:
        if os.path.isdir(name):
            inside = _images_in(Path(name))
            if not inside:
                raise InputError(f"There are no images in the folder {values.shown(name)}: name another.")
            paths += inside
        elif os.path.exists(name):
            paths.append(Path(name))
        else:
            raise InputError(f"There is no file {values.shown(name)}: check the path.")
    return paths


def _images_in(folder: Path) -> list[Path]:
    try:
        inside = [path for path in folder.iterdir() if not path.name.startswith(".")]  # such as macOS's ._photo.jpg
        return sorted(path for path in inside if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    except OSError as error:
        raise InputError(f"The folder '{folder}' cannot be read ({error.strerror}): check its permissions.") from None


def at_threshold(result: Segmentation, threshold: float) -> Segmentation:
    """The same result with the mask cut at another probability than 0.5."""
    shift = math.log(threshold / (1 - threshold))
    return replace(result, mask_logits=result.mask_logits - shift) if shift else result


def describe(
    path: Path,
    image: np.ndarray,
    results: Sequence[Segmentation],
    things: Sequence[Sequence[Segmentation]],
    seconds: float,
) -> dict[str, Any]:
    """The JSON entry of one image; masks as COCO run lengths."""
    return {
        "picture": str(path),
        "size_hw": list(image.shape[:2]),
        "seconds": round(seconds, 4),
        "results": [
            {
                "prompt": result.prompt,
                **_facts(result),
                "warnings": list(result.warnings),
                "things": [_facts(thing) for thing in own],
            }
            for result, own in zip(results, things, strict=True)
        ],
    }


def _facts(result: Segmentation) -> dict[str, Any]:
    from evfsam.media.export import encode_rle

    return {
        "score": round(result.score, 4),
        "presence": None if result.presence is None else round(result.presence, 4),
        "area_px": int(result.mask.sum()),
        "area_fraction": round(result.area_fraction, 6),
        "box_xyxy": result.box_xyxy,
        "rle": encode_rle(result.mask),
    }


def write_images(
    args: argparse.Namespace,
    folder: Path,
    stem: str,
    image: np.ndarray,
    results: Sequence[Segmentation],
    things: Sequence[Sequence[Segmentation]],
    entry: dict[str, Any],
    annotations: Annotations,
) -> None:
    """Write the overlay, and masks and perhaps cut-outs of what was found. Their names go into the entry."""
    from evfsam.media.bundle import drawn
    from evfsam.media.export import file_stems, png

    written = set()
    annotated = annotations.image(Path(entry["picture"]).name, image.shape[:2], stem)
    for name, content in drawn(image, results, annotated, things, each_thing=args.things, cutouts=args.cutouts):
        write_file(folder / name, content)
        written.add(name)
    if args.format == "yolo":
        make_folder(folder / "images")
        write_file(folder / "images" / f"{stem}.png", png(image))
    entry["overlay"] = f"{stem}.overlay.png"
    for name, row in zip(file_stems(stem, results), entry["results"], strict=True):
        named = [(name, row), *((f"{name}.{i}", thing) for i, thing in enumerate(row["things"], start=1))]
        for one, facts in named:
            for kind in ("mask", "cutout"):
                if (file := f"{one}.{kind}.png") in written:
                    facts[kind] = file


def tell(entry: dict[str, Any], quiet: bool) -> None:
    """One line per prompt on standard output; warnings on standard error."""
    if not quiet:
        print(f"{entry['picture']}  ({entry['seconds']:.2f} s)")
    for row in entry["results"]:
        if not quiet:
            found = "not found" if row["box_xyxy"] is None else f"area {row['area_fraction']:.1%}"
            counted = f", {len(row['things'])} things" if len(row["things"]) > 1 else ""
            print(f"  {row['prompt'] or 'by hand'}: {found}, score {row['score']:.2f}{counted}")
        for warning in row["warnings"]:
            print(f"evfsam: {row['prompt']!r}: {warning}", file=sys.stderr)


def tell_files(args: argparse.Namespace, entries: Sequence[dict[str, Any]], folder: Path | None) -> None:
    """One line on standard output with the places of the files, unless the JSON is printed there."""
    if args.json == "-":
        return
    rows = [row for entry in entries for result in entry["results"] for row in (result, *result["things"])]
    counted = {"mask": sum("mask" in row for row in rows), "overlay": len(entries)}
    counted["cut-out"] = sum("cutout" in row for row in rows)
    said = [f"{count} {name}{'s' if count > 1 else ''}" for name, count in counted.items() if count]
    said += [] if args.json else [JSON_NAME]
    said += {"yolo": ["images, labels, data.yaml"], None: []}.get(args.format, ["annotations.coco.json"])
    print(f"written to {folder}{os.sep}: {', '.join(said)}" + (f"; {args.json}" if args.json else ""))
