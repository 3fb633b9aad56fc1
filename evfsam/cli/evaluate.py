"""``python -m evfsam evaluate --data scenes``: gIoU and cIoU by kind of phrase."""

from __future__ import annotations

import argparse
import sys

from evfsam.cli.options import add_model_options, load_predictor, model_facts, write_json


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="score a model on scenes it has not seen",
        description="Render scenes, ask the model about each, and print gIoU and cIoU by kind of phrase.",
        epilog="Seeds 900000 to 999999 are kept for tests: no training command reaches them.",
    )
    parser.add_argument("--data", choices=["scenes"], default="scenes", help="what to ask about")
    parser.add_argument("--seed", type=int, default=900_000, help="of the first scene (default: %(default)s)")
    parser.add_argument("--count", type=int, default=500, help="of scenes (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, default=320, help="side of the pictures in pixels (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the scores here as well; - prints them alone")
    compare = parser.add_argument_group("beside the model")
    compare.add_argument(
        "--exchange",
        action="store_true",
        help="the multimodal encoder sees another scene (is the fusion real?)",
    )
    compare.add_argument("--floor", action="store_true", help="the best constant masks, without any model")
    compare.add_argument(
        "--ceiling",
        action="store_true",
        help="the segmenter told the true box and a true point instead of words",
    )
    add_model_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from evfsam.evaluation.report import to_json, to_table
    from evfsam.evaluation.runner import evaluate_scenes

    predictor = load_predictor(args)
    with tqdm(total=args.count, unit="scene", disable=not sys.stderr.isatty()) as progress:
        evaluation = evaluate_scenes(
            predictor,
            args.seed,
            args.count,
            (args.size, args.size),
            exchange=args.exchange,
            floor=args.floor,
            ceiling=args.ceiling,
            on_scene=lambda done: progress.update(done - progress.n),
        )
    if args.json != "-":
        print(to_table(evaluation))
    if args.json:
        write_json({**model_facts(predictor), **to_json(evaluation)}, args.json)
    return 0
