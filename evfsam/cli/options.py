"""What the verbs share: a parser that says what is wrong in one sentence, numbers, and the options of the model."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import evfsam
from evfsam import DEFAULT_MODEL, values
from evfsam.errors import InputError

if TYPE_CHECKING:
    from evfsam.predictor import Predictor
    from evfsam.systems.base import System
    from evfsam.types import SpatialPrompt


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises InputError instead of printing its usage. Help lines stay within 80 columns."""

    def __init__(self, **named):
        named.setdefault("formatter_class", _Help)
        super().__init__(**named)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[:1].upper()}{message[1:300]}: see {self.prog} --help.")


class _Help(argparse.HelpFormatter):
    """Shorter than argparse's: "-o, --out FILE", and names such as evf-sam2-tiny stay on one line."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=26)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def number(name: str, low: float, high: float = values.LARGEST, *, whole: bool = False) -> Callable[[str], float]:
    """An argparse ``type``: a number of that option between ``low`` and ``high``, both included."""
    return lambda text: values.number(text, name, low, high, whole=whole, text=True)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """``--model``, ``--device`` and ``--precision``, for :func:`load_predictor`."""
    group = parser.add_argument_group("Model")
    group.add_argument(
        "--model",
        metavar="NAME",
        default=DEFAULT_MODEL,
        help="see the verb models (default: %(default)s)",
    )
    add_runtime_options(group)


def add_runtime_options(group: argparse._ActionsContainer) -> None:
    """``--device`` and ``--precision``."""
    group.add_argument("--device", metavar="NAME", default="auto", help="auto (default), cpu, cuda, cuda:1 or mps")
    group.add_argument(
        "--precision", metavar="NAME", default="auto", help="auto (default), fp32, fp16, bf16, 8bit or 4bit"
    )


def load_predictor(args: argparse.Namespace) -> Predictor:
    """The checkpoint that the options name. Raises EvfSamError as :func:`evfsam.Predictor.from_pretrained`."""
    return evfsam.Predictor.from_pretrained(args.model, args.device, args.precision)


def load_model(args: argparse.Namespace) -> Predictor | System:
    """The checkpoint or system that the options name, as :func:`evfsam.systems.load.load_model`."""
    from evfsam.systems.load import load_model

    return load_model(args.model, args.device, args.precision)


def model_facts(predictor: Predictor | System) -> dict[str, str]:
    """The model, device and precision of a run, for a JSON result."""
    return {
        "model": predictor.info.name,
        "device": str(predictor.runtime.device),
        "precision": predictor.runtime.precision,
    }


def add_spatial_options(parser: argparse.ArgumentParser) -> None:
    """``--point`` and ``--box``, for :func:`spatial_prompt`."""
    parser.add_argument(
        "--point",
        type=_point,
        action="append",
        metavar="X,Y[,0]",
        help="a pixel of the first prompt's object, with ,0 one beside it; repeatable",
    )
    parser.add_argument("--box", type=_box, action="append", metavar="X,Y,X,Y", help="a box around that object")


def spatial_prompt(args: argparse.Namespace) -> SpatialPrompt | None:
    """The points and the box of the options, or None. Raises InputError for two boxes."""
    from evfsam.types import PointPrompt, SpatialPrompt

    if args.box and len(args.box) > 1:
        raise InputError("--box is given twice: one box belongs to the first prompt.")
    points = None
    if args.point:
        points = PointPrompt(*values.points([point[:2] for point in args.point], [point[2] for point in args.point]))
    return SpatialPrompt(points, args.box[0] if args.box else None) if points or args.box else None


def _point(text: str) -> tuple[float, float, int]:
    parts = text.split(",")
    if len(parts) not in (2, 3):
        raise InputError(f"--point is {values.shown(text)}: give X,Y in pixels, for example 120,80, or 120,80,0.")
    x, y = (values.number(part, "--point", 0, text=True) for part in parts[:2])
    return x, y, values.number(parts[2], "The label of --point", 0, 1, whole=True, text=True) if parts[2:] else 1


def _box(text: str) -> tuple[float, float, float, float]:
    return values.box([values.number(part, "--box", 0, text=True) for part in text.split(",")])
