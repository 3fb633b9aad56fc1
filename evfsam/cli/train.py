"""``python -m evfsam train``: make a checkpoint by a recipe."""

from __future__ import annotations

import argparse
from pathlib import Path

from evfsam.cli.options import number


def add_parser(subparsers) -> None:
    def count(name: str):
        return {"type": number(name, 1, whole=True), "metavar": "N"}

    parser = subparsers.add_parser(
        "train",
        usage="python -m evfsam train [options]",
        help="train a checkpoint",
        description="Train a recipe, stage by stage. The same command again resumes where it stopped.",
    )
    parser.add_argument("--recipe", metavar="NAME", default="evf-sam2-tiny", help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="of the run (default: runs/RECIPE)")
    parser.add_argument("--stages", nargs="+", default=(), metavar="STAGE", help="some of the recipe's, or save")
    parser.add_argument("--root", "--photos", type=Path, metavar="FOLDER", help="data, for a recipe that reads any")
    parser.add_argument("--base", metavar="NAME", help="checkpoint to start from, instead of the recipe's")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto")
    parser.add_argument("--workers", **count("--workers"), default=2, help="processes that prepare data (default: 2)")
    parser.add_argument("--batch", **count("--batch"), default=1, help="multiplies the recipe's images in a batch")
    parser.add_argument(
        "--seed", type=number("--seed", 0, 2**32 - 1, whole=True), metavar="N", help="instead of the recipe's"
    )
    parser.add_argument("--steps", **count("--steps"), help="per stage, instead of the recipe's: for a quick trial")
    parser.add_argument("--scenes", **count("--scenes"), help="at most so many samples of each kind: for a quick trial")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from evfsam.errors import InputError
    from evfsam.training.recipes import RECIPES
    from evfsam.training.run import run as run_recipe

    if args.recipe not in RECIPES:
        raise InputError(f"There is no recipe {args.recipe!r}; choose one of {', '.join(RECIPES)}.")
    recipe = RECIPES[args.recipe].shortened(args.steps, args.scenes).scaled(args.batch)
    if args.seed is not None:
        recipe = replace(recipe, seed=args.seed)
    folder = args.out or Path("runs") / recipe.name
    device = None if args.device == "auto" else args.device
    run_recipe(recipe, folder, args.stages, device, args.workers, args.root, args.base)
    print(f"done: {folder}")
    return 0
