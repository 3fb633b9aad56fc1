"""``python -m evfsam segment picture.jpg "the red car" -o out/``: masks, an overlay, a JSON of the scores."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfsam.cli.options import add_model_options, load_predictor, model_facts, write_file, write_json
from evfsam.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from evfsam.types import Segmentation

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp"}


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "segment",
        help="mask what phrases name in pictures",
        description="Mask what phrases name. Pictures or folders of pictures come first, then the phrases.",
        epilog='example: python -m evfsam segment picture.jpg "the red car" "[semantic] sky" -o out/',
    )
    parser.add_argument("pictures_and_phrases", nargs="+", metavar="PICTURE... PHRASE...")
    parser.add_argument("-o", "--out", metavar="FOLDER", help="for masks, overlays and result.json (default: out)")
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="the JSON goes here instead; - prints it, and without -o nothing is written",
    )
    add_model_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from evfsam.media.images import open_image
    from evfsam.processing.text import clean_prompt

    pictures, phrases = split_arguments(args.pictures_and_phrases)
    paths = find_pictures(pictures)
    for phrase in phrases:
        clean_prompt(phrase)  # refuses an empty one before a model is loaded
    folder = None if args.json == "-" and args.out is None else Path(args.out or "out")
    predictor = load_predictor(args)
    entries = []
    for path, stem in zip(paths, picture_stems(paths), strict=True):
        try:
            image = open_image(path)
        except InputError as error:  # the others of a folder are still wanted
            print(f"evfsam: {error}", file=sys.stderr)
            continue
        began = time.perf_counter()
        results = predictor.segment(image, phrases)
        entry = describe(path, image, results, time.perf_counter() - began)
        if folder:
            write_pictures(folder, stem, image, results, entry)
        tell(entry, quiet=args.json == "-")
        entries.append(entry)
    if entries:
        write_json({**model_facts(predictor), "pictures": entries}, args.json or str(folder / "result.json"))
    return 0 if len(entries) == len(paths) else 2


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Leading arguments that are files, folders or look like picture names are pictures, the rest phrases.

    The first is always a picture, so that a mistyped path is told as such. Raises InputError if no phrase
    follows.
    """
    count = 1
    while count < len(arguments) and _is_picture(arguments[count]):
        count += 1
    if count == len(arguments):
        raise InputError('Say what to look for after the picture, for example "the red car".')
    return list(arguments[:count]), list(arguments[count:])


def _is_picture(argument: str) -> bool:
    path = Path(argument)
    return path.suffix.lower() in PICTURE_SUFFIXES or (argument.strip() != "" and path.exists())


def find_pictures(names: Sequence[str]) -> list[Path]:
    """Folders become the pictures in them, by name. Raises InputError for what is not there or holds none."""
    paths: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
            if not inside:
                raise InputError(f"There are no pictures in the folder '{name}': name another.")
            paths += inside
        elif path.exists():
            paths.append(path)
        else:
            raise InputError(f"There is no file '{name}': check the path.")
    return paths


def picture_stems(paths: Sequence[Path]) -> list[str]:
    """One safe file name stem a picture; pictures of the same name get "-2", "-3" ..."""
    from evfsam.media.export import slug

    stems: list[str] = []
    for path in paths:
        stem, number = slug(path.stem, "picture"), 1
        unique = stem
        while unique in stems:
            number += 1
            unique = f"{stem}-{number}"
        stems.append(unique)
    return stems


def describe(path: Path, image: np.ndarray, results: Sequence[Segmentation], seconds: float) -> dict[str, Any]:
    """One picture's entry of the JSON; masks as COCO run lengths."""
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


def write_pictures(
    folder: Path, stem: str, image: np.ndarray, results: Sequence[Segmentation], entry: dict[str, Any]
) -> None:
    """Write the overlay and the masks; their names go into the entry."""
    from evfsam.media.export import file_stems, mask_png, overlay_png

    entry["overlay"] = f"{stem}.overlay.png"
    write_file(folder / entry["overlay"], overlay_png(image, results))
    for name, result, row in zip(file_stems(stem, results), results, entry["results"], strict=True):
        row["mask"] = f"{name}.mask.png"
        write_file(folder / row["mask"], mask_png(result.mask))


def tell(entry: dict[str, Any], quiet: bool) -> None:
    """A line a phrase on standard output; warnings on standard error."""
    if not quiet:
        print(f"{entry['picture']}  ({entry['seconds']:.2f} s)")
    for row in entry["results"]:
        if not quiet:
            where = "nothing found" if row["box_xyxy"] is None else f"area {row['area_fraction']:.1%}"
            print(f"  {row['prompt']}: {where}, score {row['score']:.2f}")
        for warning in row["warnings"]:
            print(f"evfsam: {row['prompt']!r}: {warning}", file=sys.stderr)
