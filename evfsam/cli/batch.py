"""``evfsam batch``: many images and clips, resumable, on one machine or on Ray."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from evfsam.cli.options import add_model_options, number
from evfsam.cli.outputs import check_folder
from evfsam.errors import InputError


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "batch",
        help="answer prompts on many images and clips",
        description="Answer prompts on all images and clips of a source. The results are Parquet files: a row per "
        "item, prompt and frame: score, box, area and the mask as COCO run lengths. The same command resumes a run.",
        epilog="Example: python -m evfsam batch photos/ --prompts prompts.txt -o out/",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder; a .txt list of paths; a .csv or .parquet table with the columns image and, if wanted, prompts; "
        "a .tar file of WebDataset or a folder of them",
    )
    parser.add_argument("--prompts", metavar="FILE", help="one prompt per line, for items without their own")
    parser.add_argument("-o", "--out", metavar="FOLDER", required=True, help="for all files; it is made if needed")
    parser.add_argument("--coco", action="store_true", help="also write coco.json, with one annotation per mask")
    parser.add_argument(
        "--part",
        type=number("--part", 1, 100_000, whole=True),
        default=64,
        metavar="N",
        help="images per Parquet file (default: %(default)s); a clip has a file of its own",
    )
    ray = parser.add_argument_group("Ray")
    ray.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="work on a Ray cluster; without an address, on one that is started here",
    )
    ray.add_argument(
        "--actors",
        type=number("--actors", 1, 10_000, whole=True),
        default=2,
        metavar="N",
        help="processes, each with the model (default: %(default)s)",
    )
    ray.add_argument(
        "--gpus",
        type=number("--gpus", 0, 64),
        default=0,
        metavar="N",
        help="for each actor (default: %(default)s); with 0.5 two actors share one",
    )
    add_model_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from evfsam.batch import results
    from evfsam.batch import run as batch
    from evfsam.batch.items import find_items, read_prompts
    from evfsam.batch.on_ray import ray_pool
    from evfsam.processing.text import clean_prompt

    results.parquet()  # before any work
    prompts = read_prompts(args.prompts) if args.prompts else ()
    for prompt in prompts:
        clean_prompt(prompt)
    items = find_items(args.source)
    if not prompts and not any(item.prompts for item in items):
        raise InputError("No item has prompts: give a text file with one per line by --prompts.")
    check_folder(args.out)
    folder, parts = Path(args.out), batch.plan(items, args.part)
    pool = None if args.ray is None else ray_pool(args.ray or None, args.actors, args.gpus)
    work = batch.run(parts, folder, args.model, prompts, args.device, args.precision, pool)
    left = sum(len(part.items) for part in batch.unfinished(parts, folder))
    with tqdm(total=len(items), initial=len(items) - left, unit="item", disable=not sys.stderr.isatty()) as bar:
        for done in work:
            bar.update(done.items)
            for sentence in done.bad:
                print(f"evfsam: {sentence}", file=sys.stderr)
    if args.coco:
        results.write_coco(folder)
    bad = results.write_bad(folder)
    told = f"; {bad} bad ones are listed in {results.BAD_NAME}" if bad else ""
    print(f"written to {folder}: {len(items)} items in {len(parts)} files{told}")
    return 0
