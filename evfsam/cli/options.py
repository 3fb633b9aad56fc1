"""Options that several verbs share."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfsam import DEFAULT_MODEL, load_model
from evfsam.errors import InputError

if TYPE_CHECKING:
    from evfsam.predictor import Predictor


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """``--model``, ``--device`` and ``--precision``, for :func:`load_predictor`."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        help="a name (see the verb models), a folder, or owner/name on the Hub, with @revision if wanted",
    )
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    group.add_argument(
        "--precision", default="auto", help="auto, fp32, fp16, bf16, 8bit or 4bit, as far as the device can"
    )


def load_predictor(args: argparse.Namespace) -> Predictor:
    """The model that the options name. Raises EvfSamError as :func:`evfsam.load_model`."""
    return load_model(args.model, args.device, args.precision)


def model_facts(predictor: Predictor) -> dict[str, str]:
    """Which model ran where, for a JSON result."""
    return {
        "model": predictor.checkpoint.info.name,
        "device": str(predictor.runtime.device),
        "precision": predictor.runtime.precision,
    }


def write_json(result: dict[str, Any], path: str) -> None:
    """To a file, or to standard output if the path is "-". Raises InputError as :func:`write_file`."""
    text = json.dumps(result, ensure_ascii=False, indent=1) + "\n"
    if path == "-":
        sys.stdout.write(text)
    else:
        write_file(Path(path), text.encode())


def write_file(path: Path, content: bytes) -> None:
    """Write a file and make its folder. Raises InputError if the disk or the permissions refuse."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise InputError(f"'{path}' cannot be written ({error.strerror}): choose another place.") from None
