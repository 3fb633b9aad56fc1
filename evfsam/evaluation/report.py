"""An evaluation as JSON and as a table."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from evfsam.data.scenes import ABSENT, SEEDS
from evfsam.evaluation.metrics import MaskScores
from evfsam.evaluation.runner import SceneEvaluation


def to_json(evaluation: SceneEvaluation) -> dict[str, Any]:
    """A JSON-ready dict; a score that nothing was there to measure on is null."""
    return {
        "data": "scenes",
        "seed": evaluation.seeds.start,
        "count": len(evaluation.seeds),
        "split": split_of(evaluation.seeds),
        "size_hw": list(evaluation.size_hw),
        "seconds": round(evaluation.seconds, 1),
        "scores": {
            kind: {who: _rounded(scores) for who, scores in row.items()} for kind, row in evaluation.scores.items()
        },
    }


def to_table(evaluation: SceneEvaluation) -> str:
    """Lines of text: a row a kind of phrase, columns for the model and whatever it was compared with."""
    others = list(dict.fromkeys(who for row in evaluation.scores.values() for who in row if who != "model"))
    head = ["kind", "phrases", "gIoU", "cIoU", "denied", *(f"{who} gIoU" for who in others)]
    rows = [head] + [_row(kind, scores, others) for kind, scores in evaluation.scores.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    absent = evaluation.scores.get(ABSENT, {}).get("model")
    if absent:
        lines.append(f"Absent things answered with an empty mask: {_cell(absent.absent_answered_empty)}.")
    return "\n".join(lines)


def split_of(seeds: range) -> str:
    """The split that holds all the seeds, "train", "validation" or "test"; "mixed" where none does."""
    return next((name for name, split in SEEDS.items() if seeds[0] in split and seeds[-1] in split), "mixed")


def _row(kind: str, scores: dict[str, MaskScores], others: list[str]) -> list[str]:
    model = scores["model"]
    own = [str(model.samples), _cell(model.giou), _cell(model.ciou), _cell(model.present_denied)]
    return [kind, *own, *(_cell(scores[who].giou) if who in scores else "-" for who in others)]


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _rounded(scores: MaskScores) -> dict[str, Any]:
    values = asdict(scores)
    return {
        name: value if isinstance(value, int) else None if math.isnan(value) else round(value, 5)
        for name, value in values.items()
    }
