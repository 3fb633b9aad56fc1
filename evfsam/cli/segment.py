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
from evfsam.cli.options import Parser, add_model_options, load_model, model_facts
from evfsam.cli.outputs import check_files, check_folder, make_folder, write_file, write_json
from evfsam.errors import EvfSamError, InputError

if TYPE_CHECKING:
    import numpy as np

    from evfsam.types import PointPrompt, Segmentation

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp"}
JSON_NAME = "result.json"


def add_parser(subparsers) -> None:
    parser: Parser = subparsers.add_parser(
        "segment",
        usage="python -m evfsam segment IMAGE... PROMPT... [options]",
        help="mask what prompts name in images",
        description="Write one mask per prompt, an overlay per image, and result.json.",
        epilog='Example: python -m evfsam segment street.jpg "the red car" "[semantic] sky" -o out/',
    )
    parser.add_argument(
        "images_and_prompts",
        nargs="+",
        metavar="IMAGE... PROMPT...",
        help='images or folders first, then prompts; "[semantic] sky" asks for everything of a category. After the '
        "first image, a name counts as an image if it ends like one (.jpg) or is a path with a slash (photos/)",
    )
    parser.add_argument(
        "-p", "--prompt", action="append", default=[], metavar="PROMPT", help="a prompt; then all names are images"
    )
    parser.add_argument(
        "--point",
        type=_point,
        action="append",
        metavar="X,Y[,0]",
        help="a pixel of the first prompt's object, or, with ,0, of what is not part of it; may be repeated, and needs "
        "no prompt",
    )
    parser.add_argument(
        "--box", type=_box, action="append", metavar="X,Y,X,Y", help="two corners around the first prompt's object"
    )
    parser.add_argument(
        "--threshold",
        type=lambda text: values.probability(text, "--threshold", text=True),
        default=0.5,
        metavar="P",
        help="probability from which a pixel is in the mask, between 0 and 1 (default: %(default)s)",
    )
    files = parser.add_argument_group("Files")
    files.add_argument("-o", "--out", metavar="FOLDER", help="for all files; it is made if needed (default: out)")
    files.add_argument("--cutouts", action="store_true", help="also write each thing alone, as a transparent PNG")
    files.add_argument(
        "--json", metavar="FILE", help="write the JSON here instead; - prints it, and without -o writes no other file"
    )
    add_model_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from evfsam.media.images import open_image
    from evfsam.processing.text import clean_prompt

    names, prompts = split_arguments(args.images_and_prompts, args.prompt, bool(args.point or args.box))
    for prompt in values.prompts(prompts or [""]):
        if prompts:
            clean_prompt(prompt)  # refuses an empty one before a model is loaded
    paths = find_images(names)
    folder = None if args.json == "-" and args.out is None else Path(args.out or "out")
    if folder is None and args.cutouts:
        raise InputError("--cutouts writes files: name a folder for them with -o.")
    if folder:
        check_folder(str(folder))
    check_files([args.json], paths)
    points, boxes = by_hand(args, max(len(prompts), 1))
    predictor = load_model(args)
    if folder:
        make_folder(folder)
    entries = []
    try:
        for path, stem in zip(paths, image_stems(paths), strict=True):
            try:
                image = open_image(path)
                began = time.perf_counter()
                answers = predictor.segment(image, prompts or [""], points, boxes)
                results = [at_threshold(answer, args.threshold) for answer in answers]
                seconds = time.perf_counter() - began
            except EvfSamError as error:  # the other images are still wanted
                print(f"evfsam: {error}", file=sys.stderr)
                continue
            entry = describe(path, image, results, seconds)
            if folder:
                write_images(folder, stem, image, results, entry, args.cutouts)
            tell(entry, quiet=args.json == "-")
            entries.append(entry)
    finally:  # also after Ctrl+C: what is done is kept
        if entries:
            target = args.json or str(folder / JSON_NAME)
            write_json({**model_facts(predictor), "threshold": args.threshold, "pictures": entries}, target)
            tell_files(entries, folder, args.json)
    return 0 if len(entries) == len(paths) else 2


def _point(text: str) -> tuple[float, float, int]:
    parts = text.split(",")
    if len(parts) not in (2, 3):
        raise InputError(f"--point is {values.shown(text)}: give X,Y in pixels, for example 120,80, or 120,80,0.")
    x, y = (values.number(part, "--point", 0, text=True) for part in parts[:2])
    return x, y, values.number(parts[2], "The label of --point", 0, 1, whole=True, text=True) if parts[2:] else 1


def _box(text: str) -> tuple[float, float, float, float]:
    return values.box([values.number(part, "--box", 0, text=True) for part in text.split(",")])


def by_hand(args: argparse.Namespace, count: int) -> tuple[list[PointPrompt | None] | None, list | None]:
    """The points and boxes for ``count`` prompts: those of the options belong to the first. None without options."""
    from evfsam.types import PointPrompt

    if args.box and len(args.box) > 1:
        raise InputError("--box is given twice: one box belongs to the first prompt.")
    others = [None] * (count - 1)
    points = boxes = None
    if args.point:
        coords, labels = values.points([point[:2] for point in args.point], [point[2] for point in args.point])
        points = [PointPrompt(coords, labels), *others]
    if args.box:
        boxes = [args.box[0], *others]
    return points, boxes


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
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    except OSError as error:
        raise InputError(f"The folder '{folder}' cannot be read ({error.strerror}): check its permissions.") from None


def image_stems(paths: Sequence[Path]) -> list[str]:
    """One safe file name stem per image; images of the same name get "-2", "-3" ..."""
    from evfsam.media.export import slug

    stems: dict[str, None] = {}
    for path in paths:
        stem, number = slug(path.stem, "image"), 1
        unique = stem
        while unique in stems:
            number += 1
            unique = f"{stem}-{number}"
        stems[unique] = None
    return list(stems)


def at_threshold(result: Segmentation, threshold: float) -> Segmentation:
    """The same result with the mask cut at another probability than 0.5."""
    shift = math.log(threshold / (1 - threshold))
    return replace(result, mask_logits=result.mask_logits - shift) if shift else result


def describe(path: Path, image: np.ndarray, results: Sequence[Segmentation], seconds: float) -> dict[str, Any]:
    """The JSON entry of one image; masks as COCO run lengths."""
    from evfsam.media.export import encode_rle

    return {
        "picture": str(path),
        "size_hw": list(image.shape[:2]),
        "seconds": round(seconds, 4),
        "results": [
            {
                "prompt": result.prompt,
                "score": round(result.score, 4),
                "presence": None if result.presence is None else round(result.presence, 4),
                "area_px": int(result.mask.sum()),
                "area_fraction": round(result.area_fraction, 6),
                "box_xyxy": result.box_xyxy,
                "warnings": list(result.warnings),
                "rle": encode_rle(result.mask),
            }
            for result in results
        ],
    }


def write_images(
    folder: Path,
    stem: str,
    image: np.ndarray,
    results: Sequence[Segmentation],
    entry: dict[str, Any],
    cutouts: bool,
) -> None:
    """Write the overlay, the masks and, if wanted, the cut-outs of what was found. Their names go into the entry."""
    from evfsam.media.export import cutout_png, file_stems, mask_png, overlay_png

    entry["overlay"] = f"{stem}.overlay.png"
    write_file(folder / entry["overlay"], overlay_png(image, results))
    for name, result, row in zip(file_stems(stem, results), results, entry["results"], strict=True):
        row["mask"] = f"{name}.mask.png"
        write_file(folder / row["mask"], mask_png(result.mask))
        if cutouts and row["box_xyxy"] is not None:
            row["cutout"] = f"{name}.cutout.png"
            write_file(folder / row["cutout"], cutout_png(image, result.mask))


def tell(entry: dict[str, Any], quiet: bool) -> None:
    """One line per prompt on standard output; warnings on standard error."""
    if not quiet:
        print(f"{entry['picture']}  ({entry['seconds']:.2f} s)")
    for row in entry["results"]:
        if not quiet:
            found = "not found" if row["box_xyxy"] is None else f"area {row['area_fraction']:.1%}"
            print(f"  {row['prompt'] or 'by hand'}: {found}, score {row['score']:.2f}")
        for warning in row["warnings"]:
            print(f"evfsam: {row['prompt']!r}: {warning}", file=sys.stderr)


def tell_files(entries: Sequence[dict[str, Any]], folder: Path | None, json_target: str | None) -> None:
    """One line on standard output with the places of the files, unless the JSON is printed there."""
    if json_target == "-":
        return
    rows = [row for entry in entries for row in entry["results"]]
    cutouts = sum("cutout" in row for row in rows)
    counted = {"masks": len(rows), "overlays": len(entries), "cut-outs": cutouts}
    said = ", ".join(f"{count} {name if count > 1 else name[:-1]}" for name, count in counted.items() if count)
    inside = "" if json_target else f", {JSON_NAME}"
    print(f"written to {folder}{os.sep}: {said}{inside}" + (f"; {json_target}" if json_target else ""))
