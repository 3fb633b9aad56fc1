"""``evfsam compare``: several checkpoints or systems on one image, side by side."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfsam.cli.models import table
from evfsam.cli.options import add_runtime_options
from evfsam.cli.outputs import check_folder, make_folder, write_file, write_json
from evfsam.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from evfsam.types import Segmentation

HEADINGS = ("model", "prompt", "score", "area", "encode", "answer", "weights")


@dataclass(frozen=True)
class Answered:
    """What one model said to one prompt, and what it cost."""

    model: str
    found: Segmentation
    encode_seconds: float
    answer_seconds: float
    weight_bytes: int


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "compare",
        help="ask several models the same, side by side",
        description="Ask several checkpoints or other systems the same prompts. Prints score, area, time, memory and "
        "how far their masks agree (IoU). With -o it writes overlays, maps of the difference, and comparison.json.",
        epilog='Example: python -m evfsam compare street.jpg "the bus" --model evf-sam2-tiny --model evf-sam-tiny',
    )
    parser.add_argument("image", metavar="IMAGE", help="a file")
    parser.add_argument("prompts", nargs="+", metavar="PROMPT", help='a text such as "the bus"')
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        dest="models",
        help="give it two times or more: a name from the verb models, a folder, or owner/name on the Hub",
    )
    parser.add_argument("-o", "--out", metavar="FOLDER", help="for files; it is made if needed")
    add_runtime_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from evfsam import values
    from evfsam.media.images import open_image
    from evfsam.processing.text import clean_prompt

    models = list(dict.fromkeys(args.models))
    if len(models) < 2:
        raise InputError("Name two or more models to compare: --model A --model B.")
    for prompt in values.prompts(args.prompts):
        clean_prompt(prompt)
    if args.out:
        check_folder(args.out)
    image = open_image(args.image)
    answers = [answer for name in models for answer in ask(name, image, args.prompts, args.device, args.precision)]
    print(table([HEADINGS, *map(cells, answers)]), end="")
    agreement = agree(answers, args.prompts)
    rows = [(row["prompt"], row["models"], f"{row['iou']:.3f}") for row in agreement]
    print(table([("prompt", "models", "IoU"), *rows]), end="")
    if args.out:
        make_folder(Path(args.out))
        write(Path(args.out), Path(args.image), image, answers, agreement)
        print(f"written to {args.out}")
    return 0


def ask(name: str, image: np.ndarray, prompts: Sequence[str], device: str, precision: str) -> list[Answered]:
    """One model's answers. It is let go before the next one is loaded."""
    from evfsam.systems.load import load_model

    model = load_model(name, device, precision)
    began = time.perf_counter()
    encoded = model.encode(image)
    encoded_at = time.perf_counter()
    weights = sum(weight.nbytes for weight in model.model.parameters())
    answers = []
    for prompt in prompts:
        asked_at = time.perf_counter()
        (found,) = model.segment(encoded, [prompt])
        seconds = time.perf_counter() - asked_at
        answers.append(Answered(model.info.name, found, encoded_at - began, seconds, weights))
    return answers


def cells(answer: Answered) -> tuple[str, ...]:
    """A row of the table."""
    found = answer.found
    return (
        answer.model,
        found.prompt,
        f"{found.score:.2f}" if found.mask.any() else "-",
        f"{found.area_fraction:.1%}",
        f"{answer.encode_seconds:.2f} s",
        f"{answer.answer_seconds:.2f} s",
        f"{answer.weight_bytes / 1e6:.0f} MB",
    )


def agree(answers: Sequence[Answered], prompts: Sequence[str]) -> list[dict[str, Any]]:
    """The IoU of each two models' masks, per prompt; 1 if both are empty."""
    from evfsam.geometry import mask_iou

    rows = []
    for prompt in dict.fromkeys(prompts):
        for a, b in combinations([answer for answer in answers if answer.found.prompt == prompt], 2):
            iou = mask_iou(a.found.mask, b.found.mask)
            rows.append({"prompt": prompt, "models": f"{a.model}, {b.model}", "iou": round(float(iou), 6)})
    return rows


def write(folder: Path, path: Path, image: np.ndarray, answers: Sequence[Answered], agreement: list) -> None:
    """One overlay per answer, one map per pair, and the figures as JSON."""
    from evfsam.media.export import overlay_png, png, slug
    from evfsam.media.overlay import difference
    from evfsam.media.palette import colour_of

    stem = slug(path.stem, "image")
    for number, answer in enumerate(answers):
        name = f"{stem}.{number}.{slug(answer.model, 'model')}.{slug(answer.found.prompt, 'prompt')}.overlay.png"
        write_file(folder / name, overlay_png(image, [answer.found]))
    for (i, a), (j, b) in combinations(enumerate(answers), 2):
        if a.found.prompt == b.found.prompt:
            drawn = difference(image, (a.found.mask, b.found.mask), (colour_of(i), colour_of(j)))
            write_file(folder / f"{stem}.difference.{i}.{j}.png", png(drawn))
    rows = [
        {
            "model": answer.model,
            "prompt": answer.found.prompt,
            "score": round(answer.found.score, 6),
            "area_fraction": round(answer.found.area_fraction, 6),
            "encode_seconds": round(answer.encode_seconds, 4),
            "answer_seconds": round(answer.answer_seconds, 4),
            "weight_bytes": answer.weight_bytes,
            "warnings": list(answer.found.warnings),
        }
        for answer in answers
    ]
    write_json({"picture": str(path), "answers": rows, "agreement": agreement}, str(folder / "comparison.json"))
