"""``evfsam evaluate``: score a model on data sets, with one table, one JSON document and files of all answers."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from evfsam import values
from evfsam.cli.options import add_model_options, load_model, number
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
        usage="python -m evfsam evaluate [options]",
        help="score a model on data sets",
        description="Ask a model about every sample of a data set, compare the masks with the truth, and print gIoU, "
        "cIoU and precision (images) or J and F (clips) by kind of prompt.",
        epilog="Scenes and clips are rendered. Their seeds from 900000 to 999999 are kept for tests: no training "
        "command reaches them.",
    )
    parser.add_argument(
        "--data",
        nargs="+",
        default=["scenes"],
        metavar="NAME[:SPLIT]",
        help="for example refcoco:testA; several give one row each; list prints the names, refcoco:list its splits "
        "(default: scenes)",
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help="the folder that holds the files of the data")
    parser.add_argument(
        "--limit",
        type=number("--limit", 1, whole=True),
        metavar="N",
        help="samples per data set, from the first on (default: all; 500 scenes, 60 clips)",
    )
    parser.add_argument(
        "--count", type=number("--count", 1, whole=True), dest="limit", metavar="N", help="the same as --limit"
    )
    parser.add_argument(
        "--seed",
        type=number("--seed", 0, whole=True),
        metavar="N",
        help=f"of the first rendered scene or clip (default: {TEST_SEED}); the same seed gives the same images",
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
        help="what else answers, for example swapped_image, oracle_prompt, clicks; list prints all names",
    )
    parser.add_argument(
        "--fit-on",
        metavar="NAME[:SPLIT]",
        help="data from which the probe constant_mask is made (default: the split train; scenes: validation)",
    )
    out = parser.add_argument_group("Results")
    out.add_argument("--json", metavar="FILE", help="write the scores here as well; - prints them alone")
    out.add_argument(
        "--records",
        metavar="FILE.jsonl",
        help="write one JSON line per answer, as soon as its sample is done; with several data sets one file each, "
        "FILE.refcoco-testA.jsonl",
    )
    out.add_argument("--resume", action="store_true", help="go on where the files of --records end")
    out.add_argument(
        "--worst", nargs=2, metavar=("N", "FILE.jpg"), help="draw the N worst answers of each data set on one image"
    )
    out.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("BEFORE.json", "AFTER.json"),
        help="score nothing: print how the scores in two files of --json differ (after minus before)",
    )
    add_model_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from evfsam.data.files import read_json
    from evfsam.evaluation.report import differences, joined, table_of_sets
    from evfsam.evaluation.runner import evaluate

    if args.compare:
        print(differences(*map(read_json, args.compare)))
        return 0
    count, sheet = args.worst or ("1", None)
    count = values.number(count, "--worst", 1, 1000, whole=True, text=True)
    if args.resume and not args.records:
        raise InputError("--resume goes on with a file of records: name it with --records FILE.jsonl.")
    names = list(dict.fromkeys(args.data))
    several = len(names) > 1
    records = [_file_of(args.records, name, several) for name in names]
    sheets = [_file_of(sheet, name, several) for name in names]
    check_files([args.json, *records, *sheets])
    opened = lru_cache(maxsize=1)(partial(_dataset, args))  # one at a time: annotations of a set may fill a gigabyte
    lengths = [len(opened(name)) for name in names]  # a missing file is told before the work begins
    lengths = [min(length, args.limit or length) for length in lengths]
    probes = [_probes(args, name) for name in names]
    predictor = load_model(args)
    reports = []
    with _progress(sum(lengths)) as done:
        for i, name in enumerate(names):
            before = sum(lengths[:i])
            report = evaluate(
                predictor,
                opened(name),
                probes[i],
                limit=args.limit,
                workers=args.workers,
                records_file=Path(records[i]) if records[i] else None,
                resume=args.resume,
                reference_quirks=args.reference_quirks,
                on_sample=lambda n, before=before: done(before + n),
            )
            reports.append(report)
    documents = [report.to_json() for report in reports]
    if args.json != "-":
        print(table_of_sets(documents) if several else report.to_table(details=len(probes[0]) <= FEW_PROBES))
    if args.json:
        write_json(joined(documents) if several else documents[0], args.json)
    for i, name in enumerate(names if sheet else ()):
        _draw_worst(predictor, opened(name), reports[i], count, Path(sheets[i]))
    return 0


def _file_of(path: str | None, name: str, several: bool) -> str | None:
    """The file of one data set among several: answers.jsonl -> answers.refcoco-testA.jsonl."""
    if path is None or not several:
        return path
    return str(Path(path).with_suffix(f".{name.replace(':', '-').replace('/', '-')}{Path(path).suffix}"))


def _dataset(args: argparse.Namespace, said: str) -> Dataset:
    from evfsam.data.registry import open_dataset
    from evfsam.data.scenes.dataset import ClipDataset, SceneDataset

    name, _, split = said.partition(":")
    if name not in COUNTS or split:
        for option in ("seed", "size"):
            if getattr(args, option) is not None:
                raise InputError(f"--{option} is for --data scenes and --data clips: leave it out.")
        return open_dataset(said, args.root)
    seed = TEST_SEED if args.seed is None else args.seed
    seeds = range(seed, seed + (COUNTS[name] if args.limit is None else args.limit))
    render = SceneDataset if name == "scenes" else ClipDataset
    return render(seeds) if args.size is None else render(seeds, args.size)


def _size_hw(text: str) -> tuple[int, int]:
    """ "320" -> (320, 320); "480x160" -> (160, 480)."""
    width, x, height = text.partition("x")
    sides = (height, width) if x else (width, width)
    return tuple(values.number(side, "--size", 16, 4096, whole=True, text=True) for side in sides)


def _probes(args: argparse.Namespace, said: str) -> list[Probe]:
    from evfsam.data.registry import open_dataset
    from evfsam.data.scenes import VALIDATION
    from evfsam.data.scenes.dataset import SceneDataset
    from evfsam.evaluation.probes import CONSTANT_MASK, PROBES, constant_mask, expand

    own, probes = said.partition(":")[0], []
    for name in expand(args.probes):
        if name != CONSTANT_MASK:
            probes.append(PROBES[name])
        elif own == "scenes" and not args.fit_on:
            probes.append(constant_mask(SceneDataset(VALIDATION[:100], (64, 64))))
        else:
            probes.append(constant_mask(open_dataset(args.fit_on or f"{own}:train", args.root)))
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
