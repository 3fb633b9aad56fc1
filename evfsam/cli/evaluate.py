"""``python -m evfsam evaluate``: gIoU and cIoU on scenes by kind of phrase, J on clips, IoU on photographs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from evfsam.cli.options import add_model_options, load_predictor, model_facts, number
from evfsam.cli.outputs import check_files, write_json
from evfsam.errors import InputError


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="score a model on scenes it has not seen",
        description="Render scenes, ask the model about each, and print gIoU and cIoU by kind of phrase; "
        "or render clips, follow a thing through each, and print J; or ask about a folder of photographs.",
        epilog="Seeds 900000 to 999999 are kept for tests: no training command reaches them.",
    )
    parser.add_argument("--data", choices=list(DATA), default="scenes", help="what to ask about")
    parser.add_argument(
        "--seed",
        type=number("--seed", 0, whole=True),
        default=900_000,
        help="of the first scene (default: %(default)s)",
    )
    parser.add_argument(
        "--count",
        type=number("--count", 1, whole=True),
        help="of scenes (default: 500; 40 for --robustness, 50 for --clicks), clips (60) or photographs (all)",
    )
    parser.add_argument("--folder", type=Path, help="with --data ccp: the pack that evfsam.data.ccp makes")
    parser.add_argument(
        "--composed",
        type=number("--composed", 0, whole=True),
        default=100,
        help="with --data ccp: pictures of several people",
    )
    parser.add_argument(
        "--size",
        type=number("--size", 16, 4096, whole=True),
        default=320,
        help="side of the pictures in pixels (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=number("--workers", 1, 256, whole=True),
        default=1,
        help="processes that share the work, each with the model and one thread: quicker on many cores, and where "
        "several keep a GPU busier than one (default: %(default)s)",
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
    compare.add_argument(
        "--once",
        action="store_true",
        help="a phrase for one thing is answered once, as in the paper, by a checkpoint that would answer it twice",
    )
    instead = parser.add_argument_group("instead of scores by kind of phrase").add_mutually_exclusive_group()
    instead.add_argument("--robustness", action="store_true", help="what worse pictures and other wordings cost")
    instead.add_argument("--clicks", action="store_true", help="words, clicks and both")
    add_model_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    if args.data == "ccp" and args.folder is None:
        raise InputError("Name the folder of the photographs (--folder); python -m evfsam.data.ccp makes one.")
    measure = next((name for name in ("robustness", "clicks") if getattr(args, name)), None)
    if measure and args.data != "scenes":
        raise InputError(f"--{measure} is measured on scenes: leave --data {args.data} out.")
    check_files([args.json])
    predictor = load_predictor(args)
    if args.once:
        predictor = predictor.with_refinement(replace(predictor.info.refinement, point_refinement=False))
    result, table = {**DATA, **MEASURES}[measure or args.data](predictor, args)
    if args.json != "-":
        print(table)
    if args.json:
        write_json({**model_facts(predictor), **result}, args.json)
    return 0


def _scenes(predictor, args: argparse.Namespace) -> tuple[dict, str]:
    from evfsam.evaluation.report import to_json, to_table
    from evfsam.evaluation.runner import evaluate_scenes

    count = 500 if args.count is None else args.count
    with _progress(count, "scene") as done:
        evaluation = evaluate_scenes(
            predictor,
            args.seed,
            count,
            (args.size, args.size),
            exchange=args.exchange,
            floor=args.floor,
            ceiling=args.ceiling,
            on_scene=done,
            workers=args.workers,
        )
    return to_json(evaluation), to_table(evaluation)


def _counted(evaluate, predictor, args: argparse.Namespace, default: int, unit: str) -> dict:
    """What ``evaluate(predictor, seed, count, on_one, workers)`` gives, with a progress bar."""
    count = default if args.count is None else args.count
    with _progress(count, unit) as done:
        return evaluate(predictor, args.seed, count, done, args.workers)


def _clips(predictor, args: argparse.Namespace) -> tuple[dict, str]:
    from evfsam.evaluation.clips import evaluate_clips, to_table

    result = _counted(evaluate_clips, predictor, args, 60, "clip")
    return result, to_table(result)


def _photographs(predictor, args: argparse.Namespace) -> tuple[dict, str]:
    from evfsam.data.ccp import read_pack
    from evfsam.evaluation.photographs import evaluate_photographs, to_table

    pictures = len(read_pack(args.folder).photos["val"][: args.count]) + args.composed
    with _progress(pictures, "picture") as done:
        result = evaluate_photographs(predictor, args.folder, args.count, args.composed, done, args.workers)
    return result, to_table(result)


def _robustness(predictor, args: argparse.Namespace) -> tuple[dict, str]:
    from evfsam.evaluation.robustness import evaluate_robustness, to_table

    result = _counted(evaluate_robustness, predictor, args, 40, "scene")
    return result, to_table(result)


def _clicks(predictor, args: argparse.Namespace) -> tuple[dict, str]:
    from evfsam.evaluation.clicking import evaluate_clicks, to_table

    result = _counted(evaluate_clicks, predictor, args, 50, "scene")
    return result, to_table(result)


DATA = {"scenes": _scenes, "clips": _clips, "ccp": _photographs}
MEASURES = {"robustness": _robustness, "clicks": _clicks}


@contextmanager
def _progress(count: int, unit: str) -> Iterator[Callable[[int], None]]:
    """A bar where somebody watches; told how many are done."""
    from tqdm import tqdm

    with tqdm(total=count, unit=unit, disable=not sys.stderr.isatty()) as bar:
        yield lambda done: bar.update(done - bar.n)
