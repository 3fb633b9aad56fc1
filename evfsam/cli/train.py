"""``python -m evfsam train``: make a checkpoint by a recipe."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evfsam.cli.options import number
from evfsam.cli.outputs import check_folder
from evfsam.errors import InputError

if TYPE_CHECKING:
    from evfsam.training.config import Recipe

PARTS = ("encoder", "projector", "image_encoder", "prompt_encoder", "decoder", "memory")


def add_parser(subparsers) -> None:
    def count(name: str):
        return {"type": number(name, 1, whole=True), "metavar": "N"}

    parser = subparsers.add_parser(
        "train",
        usage="python -m evfsam train [options]",
        help="train a checkpoint",
        description="Train a recipe, stage by stage. The same command again resumes where it stopped.",
    )
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        default="evf-sam2-tiny",
        help="what to train; list prints the names (default: %(default)s)",
    )
    parser.add_argument(
        "--out", "-o", type=_writable, metavar="FOLDER", help="for checkpoints and metrics (default: runs/RECIPE)"
    )
    parser.add_argument(
        "--stages", nargs="+", default=(), metavar="STAGE", help="do only some of the recipe's stages, or save"
    )
    parser.add_argument(
        "--model", "--base", dest="base", metavar="NAME", help="the checkpoint to start from (default: the recipe's)"
    )
    seed = number("--seed", 0, 2**32 - 1, whole=True)
    parser.add_argument(
        "--seed", type=seed, metavar="N", help="for initialisation and sampling (default: the recipe's)"
    )
    parser.add_argument("--tensorboard", action="store_true", help="write the metrics for TensorBoard as well")

    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        nargs="+",
        metavar="NAME[=WEIGHT]",
        help="data sets, such as refcoco:train=3: drawn three times as often as one with 1",
    )
    data.add_argument("--root", "--photos", type=Path, metavar="FOLDER", help="the folder that holds the data sets")
    data.add_argument("--scenes", **count("--scenes"), help="use at most N samples of each kind, for a quick trial")

    steps = parser.add_argument_group("how long and how much")
    steps.add_argument("--steps", **count("--steps"), help="steps of every stage (default: the recipe's)")
    steps.add_argument(
        "--images", **count("--images"), help="images that one process reads at a time (default: the recipe's)"
    )
    steps.add_argument(
        "--accumulate",
        **count("--accumulate"),
        help="how often all processes together read in one step (default: the recipe's)",
    )
    steps.add_argument(
        "--batch", **count("--batch"), default=1, help="read N times as many images at a time (default: 1)"
    )
    steps.add_argument(
        "--learning-rate", type=number("--learning-rate", 1e-8, 1), metavar="X", help="(default: the recipe's)"
    )
    steps.add_argument(
        "--trains", nargs="+", choices=PARTS, metavar="PART", help=f"the parts that learn: {', '.join(PARTS)}"
    )

    machine = parser.add_argument_group("machine")
    machine.add_argument(
        "--device", choices=("auto", "cpu"), default="auto", help="auto (default): a GPU, if there is one"
    )
    machine.add_argument("--workers", **count("--workers"), default=2, help="processes that prepare data (default: 2)")

    files = parser.add_argument_group("foundation models, for paper-sam and paper-sam2")
    files.add_argument(
        "--encoder",
        metavar="NAME",
        help="an encoder of the paper's table 3, such as beit3-large-half or clip-large-text; list prints the names",
    )
    files.add_argument(
        "--segmenter-weights", type=Path, metavar="FILE", help="such as sam_vit_h_4b8939.pth or sam2_hiera_large.pt"
    )
    files.add_argument(
        "--encoder-weights",
        type=Path,
        metavar="PATH",
        help="such as beit3_large_indomain_patch16_224.pth, or the folder of CLIP or ViLT",
    )
    files.add_argument("--tokenizer", type=Path, metavar="PATH", help="such as beit3.spm; CLIP and ViLT need none")
    parser.set_defaults(func=run)


def _writable(name: str) -> Path:
    check_folder(name)
    return Path(name)


def run(args: argparse.Namespace) -> int:
    from evfsam.training.foundation import Foundation
    from evfsam.training.run import run as run_recipe

    recipe = chosen_recipe(args)
    in_folder = recipe.foundation and recipe.model.encoder.kind != "beit3"
    tokenizer = args.tokenizer or (args.encoder_weights if in_folder else None)
    files = (args.segmenter_weights, args.encoder_weights, tokenizer)
    foundation = Foundation(*files) if all(files) else None
    folder = args.out or Path("runs") / recipe.name
    device = None if args.device == "auto" else args.device
    how = (args.root, args.base, foundation, args.tensorboard)
    run_recipe(recipe, folder, args.stages, device, args.workers, *how)
    print(f"done: {folder}")
    return 0


def chosen_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe of that name with what the options change. Raises InputError."""
    from evfsam.modeling.encoders.config import PAPER_ENCODERS
    from evfsam.training.config import Source
    from evfsam.training.recipes import RECIPES

    if args.recipe not in RECIPES:
        raise InputError(f"There is no recipe {args.recipe!r}; choose one of {', '.join(RECIPES)}.")
    recipe = RECIPES[args.recipe]
    if args.encoder:
        if args.encoder not in PAPER_ENCODERS:
            raise InputError(f"There is no encoder {args.encoder!r}; choose one of {', '.join(PAPER_ENCODERS)}.")
        if not recipe.foundation:
            raise InputError("--encoder is for a recipe of foundation models: add --recipe paper-sam or paper-sam2.")
        recipe = replace(recipe, model=replace(recipe.model, encoder=PAPER_ENCODERS[args.encoder]))
    if args.data:
        sources = []
        for said in args.data:
            name, _, weight = said.partition("=")
            sources.append(Source(name, weight=number("the weight in --data", 1e-6, 1e6)(weight) if weight else None))
        recipe = replace(recipe, sources=tuple(sources))
    if not recipe.sources:
        raise InputError(f"{recipe.name} needs data: name data sets by --data, for example refcoco:train.")
    recipe = recipe.shortened(args.steps, args.scenes).scaled(args.batch)
    changes = {"images": args.images, "learning_rate": args.learning_rate, "trains": args.trains and tuple(args.trains)}
    recipe = recipe.each_stage(**{name: value for name, value in changes.items() if value})
    if args.accumulate:
        stages = tuple(replace(stage, batch=stage.images * args.accumulate) for stage in recipe.stages)
        recipe = replace(recipe, stages=stages)
    return recipe if args.seed is None else replace(recipe, seed=args.seed)
