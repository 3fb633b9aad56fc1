"""``python -m evfsam train``: make a bundled checkpoint from nothing."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers) -> None:
    from evfsam.training.config import STAGES

    parser = subparsers.add_parser(
        "train",
        help="train a bundled checkpoint",
        description="Train a recipe, stage by stage. Run it again to resume where it stopped.",
    )
    parser.add_argument("--recipe", default="evf-sam2-tiny", help="its name (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/<recipe>)")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="default: all, in this order")
    parser.add_argument("--photos", type=Path, help="the pack of photographs, for a recipe that learns from them")
    parser.add_argument("--base", help="checkpoint that a recipe continues, by name or folder (default: the recipe's)")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto")
    parser.add_argument("--workers", type=int, default=2, help="processes that render and, for a GPU, prepare batches")
    parser.add_argument("--batch", type=int, default=1, help="times the recipe's scenes a step: more for a GPU")
    parser.add_argument("--seed", type=int, help="of initialisation and sampling, instead of the recipe's")
    parser.add_argument("--steps", type=int, help="a stage, instead of the recipe's: to see that everything runs")
    parser.add_argument("--scenes", type=int, help="instead of the recipe's; at most as many photographs and clips")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from evfsam.errors import InputError
    from evfsam.training.recipes import RECIPES
    from evfsam.training.run import enlarged, shortened
    from evfsam.training.run import run as run_recipe

    for option in ("workers", "batch", "steps", "scenes"):
        if (number := getattr(args, option)) is not None and number < 1:
            raise InputError(f"--{option} is {number}; give at least 1, or leave it out.")
    if args.recipe not in RECIPES:
        raise InputError(f"There is no recipe {args.recipe!r}; choose one of {', '.join(RECIPES)}.")
    recipe = RECIPES[args.recipe]
    if args.steps:
        recipe = shortened(recipe, args.steps)
    if args.scenes:
        fewer = {name: min(getattr(recipe, name), args.scenes) for name in ("photographs", "clips", "clip_frames")}
        recipe = replace(recipe, scenes=args.scenes, **fewer)
    recipe = enlarged(recipe, args.batch)
    if args.seed is not None:
        recipe = replace(recipe, seed=args.seed)
    folder = args.out or Path("runs") / recipe.name
    device = None if args.device == "auto" else args.device
    run_recipe(recipe, folder, args.stages, device, args.workers, args.photos, args.base)
    print(f"done: {folder}")
    return 0
