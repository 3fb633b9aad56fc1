"""``evfsam evaluate``: score a model on a data set, with one table, one JSON document and a file of all answers."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evfsam import values
from evfsam.cli.options import add_model_options, load_predictor, number
from evfsam.cli.outputs import check_files, write_file, write_json
from evfsam.errors import InputError

if TYPE_CHECKING:
    from evfsam.data.sample import Dataset
    from evfsam.evaluation.probes import Probe
    from evfsam.evaluation.report import Report
    from evfsam.predictor import Predictor

TEST_SEED = 900_000
COUNTS = {"scenes": 500, "clips": 60}
FEW_PROBES = 4  # with more, their rows of finer kinds stay in the JSON


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="score a model on a data set",
        description="Ask a model about every sample of a data set, compare the masks with the truth, and print gIoU, "
        "cIoU and precision (images) or J and F (clips) by kind of prompt.",
        epilog="Scenes and clips are rendered. Their seeds from 900000 to 999999 are kept for tests: no training "
        "command reaches them.",
    )
    parser.add_argument(
        "--data",
        default="scenes",
        metavar="NAME[:SPLIT]",
        help="for example refcoco:testA; an unknown name lists the known ones (default: %(default)s)",
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help="the folder that holds the data set's files")
    parser.add_argument(
        "--limit",
        type=number("--limit", 1, whole=True),
        metavar="N",
        help="samples, from the first on (default: all; 500 scenes, 60 clips)",
    )
    parser.add_argument(
        "--count", type=number("--count", 1, whole=True), dest="limit", metavar="N", help="the same as --limit"
    )
    parser.add_argument(
        "--seed",
        type=number("--seed", 0, whole=True),
        metavar="N",
        help=f"of the first scene or clip (default: {TEST_SEED})",
    )
    parser.add_argument(
        "--size",
        type=_size_hw,
        metavar="N|WxH",
        help="pixels of rendered images (default: 320 for scenes, 256 for clips)",
    )
    parser.add_argument(
        "--workers",
        type=number("--workers", 1, 256, whole=True),
        default=1,
        metavar="N",
        help="processes that share the samples, each with the model and one thread (default: %(default)s)",
    )
    parser.add_argument(
        "--reference-quirks",
        action="store_true",
        help="count as the authors' eval.py: texts in lower case, overlapping polygons added",
    )
    parser.add_argument(
        "--probes",
        nargs="+",
        default=[],
        metavar="NAME",
        help="what else answers, for example swapped_image, oracle_prompt, clicks; an unknown name lists all",
    )
    parser.add_argument(
        "--fit-on",
        metavar="NAME[:SPLIT]",
        help="data for the probe constant_mask (default: the split train; scenes: validation)",
    )
    out = parser.add_argument_group("Results")
    out.add_argument("--json", metavar="FILE", help="write the scores here as well; - prints them alone")
    out.add_argument(
        "--records",
        metavar="FILE.jsonl",
        help="write one JSON line per answer, as soon as its sample is done",
    )
    out.add_argument("--resume", action="store_true", help="go on where the file of --records ends")
    out.add_argument("--worst", nargs=2, metavar=("N", "FILE.jpg"), help="draw the N worst answers on one image")
    add_model_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from evfsam.evaluation.runner import evaluate

    worst, sheet = args.worst or ("1", None)
    worst = values.number(worst, "--worst", 1, 1000, whole=True, text=True)
    if args.resume and not args.records:
        raise InputError("--resume goes on with a file of records: name it with --records FILE.jsonl.")
    check_files([args.json, args.records, sheet])
    dataset = _dataset(args)
    probes = _probes(args)
    predictor = load_predictor(args)
    with _progress(len(dataset) if args.limit is None else min(args.limit, len(dataset))) as done:
        report = evaluate(
            predictor,
            dataset,
            probes,
            limit=args.limit,
            workers=args.workers,
            records_file=Path(args.records) if args.records else None,
            resume=args.resume,
            reference_quirks=args.reference_quirks,
            on_sample=done,
        )
    if args.json != "-":
        print(report.to_table(details=len(probes) <= FEW_PROBES))
    if args.json:
        write_json(report.to_json(), args.json)
    if sheet:
        _draw_worst(predictor, dataset, report, worst, Path(sheet))
    return 0


def _dataset(args: argparse.Namespace) -> Dataset:
    from evfsam.data.registry import open_dataset
    from evfsam.data.scenes.dataset import ClipDataset, SceneDataset

    name, _, split = args.data.partition(":")
    if name not in COUNTS or split:
        for option in ("seed", "size"):
            if getattr(args, option) is not None:
                raise InputError(f"--{option} is for --data scenes and --data clips: leave it out.")
        return open_dataset(args.data, args.root)
    seed = TEST_SEED if args.seed is None else args.seed
    seeds = range(seed, seed + (COUNTS[name] if args.limit is None else args.limit))
    render = SceneDataset if name == "scenes" else ClipDataset
    return render(seeds) if args.size is None else render(seeds, args.size)


def _size_hw(text: str) -> tuple[int, int]:
    """ "320" -> (320, 320); "480x160" -> (160, 480)."""
    width, x, height = text.partition("x")
    sides = (height, width) if x else (width, width)
    return tuple(values.number(side, "--size", 16, 4096, whole=True, text=True) for side in sides)


def _probes(args: argparse.Namespace) -> list[Probe]:
    from evfsam.data.registry import open_dataset
    from evfsam.data.scenes import VALIDATION
    from evfsam.data.scenes.dataset import SceneDataset
    from evfsam.evaluation.probes import CONSTANT_MASK, PROBES, constant_mask, expand

    probes = []
    for name in expand(args.probes):
        if name != CONSTANT_MASK:
            probes.append(PROBES[name])
        elif args.data.partition(":")[0] == "scenes" and not args.fit_on:
            probes.append(constant_mask(SceneDataset(VALIDATION[:100], (64, 64))))
        else:
            probes.append(constant_mask(open_dataset(args.fit_on or f"{args.data.partition(':')[0]}:train", args.root)))
    return probes


def _draw_worst(predictor: Predictor, dataset: Dataset, report: Report, count: int, path: Path) -> None:
    from evfsam.evaluation.contact_sheet import answer_again, contact_sheet, worst_records

    worst = worst_records(report.records, count)
    cases = list(answer_again(predictor, dataset, worst, report.facts["reference_quirks"]))
    kind = {".png": "PNG", ".webp": "WEBP"}.get(path.suffix.lower(), "JPEG")
    buffer = io.BytesIO()
    contact_sheet(cases).save(buffer, kind, quality=90)
    write_file(path, buffer.getvalue())


@contextmanager
def _progress(count: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal; called with the number of finished samples."""
    from tqdm import tqdm

    with tqdm(total=count, unit="sample", disable=not sys.stderr.isatty()) as bar:
        yield lambda done: bar.update(done - bar.n)
