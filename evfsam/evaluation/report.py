"""What an evaluation found: one table and one JSON document, whatever was evaluated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from evfsam.data.sample import ABSENT, REFERRING
from evfsam.errors import InputError
from evfsam.evaluation.metrics import THRESHOLDS, Counts, MaskMetrics, MaskScores
from evfsam.evaluation.records import Record
from evfsam.evaluation.video_metrics import VideoMetrics, VideoScores

SCHEMA = 1  # of Report.to_json; counts up when a key changes its meaning or goes
ALL = "all"  # a kind: every prompt
Scores = MaskScores | VideoScores

# Column -> its value in the JSON scores: of images, of clips, of both.
COLUMNS = {
    "prompts": "prompts",
    "gIoU": "giou",
    "cIoU": "ciou",
    "mIoU": "miou",
    "oIoU": "oiou",
    "P@.5": "p50",
    "P@.7": "p70",
    "P@.9": "p90",
    "N-acc": "n_acc",
    "T-acc": "t_acc",
    "frames": "frames",
    "J&F": "jf",
    "J": "j",
    "F": "f",
    "J visible": "j_visible",
    "J returned": "j_after_occlusion",
    "hidden empty": "hidden_rejected",
    "change": "change",
}


@dataclass
class Report:
    """The records of one evaluation and what they add up to.

    Attributes:
        facts: what was evaluated on what, JSON-ready: model, data, samples, seconds ...
        records: one per prompt and answerer, in the order of the data set.
        compared_with: answerer -> the answerer that its change in gIoU (or J&F) is counted from.
    """

    facts: dict[str, Any]
    records: Sequence[Record]
    compared_with: dict[str, str] = field(default_factory=dict)

    def scores(self) -> dict[str, dict[str, Scores]]:
        """Answerer -> kind -> scores. A kind "a/b" counts for "a" as well; kinds come in the order of the data."""
        return {
            who: {kind: metrics.compute() for kind, metrics in _by_kind(records).items()}
            for who, records in self._by_answerer().items()
        }

    def changes(self) -> dict[str, dict[str, float]]:
        """Answerer -> kind -> mean IoU minus that of ``compared_with``, on the prompts that both answered."""
        by_answerer, changes = self._by_answerer(), {}
        for who, other in self.compared_with.items():
            before = {record.key: record.counts.iou for record in by_answerer.get(other, ())}
            differences: dict[str, list[float]] = {}
            for record in by_answerer.get(who, ()):
                if record.key in before:
                    for kind in _kinds(record.kind):
                        differences.setdefault(kind, []).append(record.counts.iou - before[record.key])
            changes[who] = {kind: math.fsum(found) / len(found) for kind, found in differences.items()}
        return changes

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict. A score without samples is null."""
        changes = self.changes()
        scores = {
            who: {kind: _flat(found, changes.get(who, {}).get(kind)) for kind, found in row.items()}
            for who, row in self.scores().items()
        }
        return {"schema": SCHEMA, **self.facts, "compared_with": self.compared_with, "scores": scores}

    def to_table(self, details: bool = True) -> str:
        """Lines of text: one row per answerer and kind of prompt.

        Args:
            details: whether the probes have rows of finer kinds ("referring/place") as well. The model always has.
        """
        return table(self.to_json()["scores"], details)

    def _by_answerer(self) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = {}
        for record in self.records:
            found.setdefault(record.answerer, []).append(record)
        return found


def table(scores: dict[str, dict[str, dict[str, Any]]], details: bool = True) -> str:
    """The table of the scores in a report's JSON; columns without a value are left out."""
    rows = []
    for who, kinds in scores.items():
        shown = [kind for kind in kinds if details or "/" not in kind or who == "model"]
        for i, kind in enumerate(shown):
            top, slash, finer = kind.partition("/")
            rows.append(((who if i == 0 else "", f"- {finer}" if slash else top), kinds[kind]))
    return _lines(("answers", "prompts of"), rows)


def joined(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The JSON reports of several data sets as one document: {"schema": ..., "reports": [...]}."""
    return {"schema": SCHEMA, "reports": list(documents)}


def table_of_sets(documents: Sequence[dict[str, Any]]) -> str:
    """One row per data set, answerer and kind of prompt, from the JSON of several reports.

    A last row "mean" averages what all data sets have, as the paper's column AVG does.
    """
    rows = [
        ((document["data"], who, kind), row)
        for document in documents
        for who, kinds in document["scores"].items()
        for kind, row in kinds.items()
        if "/" not in kind
    ]
    for who, kind in dict.fromkeys(labels[1:] for labels, _ in rows):
        same = [row for labels, row in rows if labels[1:] == (who, kind)]
        if len(same) == len(documents) > 1:
            rows.append((("mean", who, kind), _mean(same)))
    return _lines(("data", "answers", "prompts of"), rows)


def differences(before: dict[str, Any], after: dict[str, Any]) -> str:
    """The scores of one run minus those of another, for every data set, answerer and kind that both have.

    Args:
        before, after: what :meth:`Report.to_json` or :func:`joined` returned.

    Returns a table; "prompts" and "frames" are numbers of ``after``. Raises InputError if they are no such documents,
    or have nothing in common.
    """
    old, unequal = _by_labels(before), False
    rows: list[tuple[tuple[str, ...], dict[str, Any]]] = []
    for labels, row in _by_labels(after).items():
        if labels in old:
            counted = {name: value for name, value in row.items() if isinstance(value, int)}
            pairs = {name: (old[labels].get(name), value) for name, value in row.items() if name not in counted}
            rows.append((labels, counted | {name: b - a for name, (a, b) in pairs.items() if None not in (a, b)}))
            unequal |= old[labels]["prompts"] != row["prompts"]
    if not rows:
        raise InputError("The two runs have no data set, answerer and kind in common: compare runs on the same data.")
    warning = "\nThe runs have different numbers of prompts: score both on the same samples." if unequal else ""
    return _lines(("data", "answers", "prompts of"), rows, signed=True) + warning


def _by_labels(document: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """(data, answerer, kind) -> scores."""
    try:
        if document["schema"] != SCHEMA:
            raise ValueError("another schema")
        return {
            (report["data"], who, kind): {**row, "prompts": row["prompts"]}
            for report in document.get("reports", [document])
            for who, kinds in report["scores"].items()
            for kind, row in kinds.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError("A file does not hold scores: name files that evaluate --json wrote.") from None


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of every score that all rows have; numbers of prompts and frames are added."""
    mean = {}
    for name in rows[0]:
        values = [row.get(name) for row in rows]
        if None not in values:
            mean[name] = sum(values) if isinstance(values[0], int) else math.fsum(values) / len(values)
    return mean


def _lines(titles: tuple[str, ...], rows: list[tuple[tuple[str, ...], dict[str, Any]]], signed: bool = False) -> str:
    """Aligned columns: the labels of each row, then its scores; columns without a value are left out.

    ``signed``: the scores are differences.
    """
    if not rows:
        return "Nothing was scored: no sample has a prompt."
    columns = {title: key for title, key in COLUMNS.items() if any(row.get(key) is not None for _, row in rows)}
    if all(row.get("miou") == row.get("giou") or row["prompts"] == row["absent"] for _, row in rows):
        columns = {title: key for title, key in columns.items() if key not in ("miou", "oiou")}
    cells = [[*titles, *columns]]
    cells += [
        [*labels, *(_cell(row.get(key), signed or key == "change") for key in columns.values())] for labels, row in rows
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    n = len(titles)
    lines = [
        "  ".join([*map(str.ljust, row[:n], widths[:n]), *map(str.rjust, row[n:], widths[n:])]).rstrip()
        for row in cells
    ]
    return "\n".join(lines)


def _kinds(kind: str) -> tuple[str, ...]:
    """ "referring/place" -> "referring" and itself."""
    return (kind.split("/")[0], kind) if "/" in kind else (kind,)


def _by_kind(records: Sequence[Record]) -> dict[str, MaskMetrics | VideoMetrics]:
    """The metrics of each kind, followed by those of its finer kinds.

    Where images have referring and absent prompts alone, the last one is "all": gRefCOCO's scores count both.
    """
    tops = {record.kind.split("/")[0]: {} for record in records}
    for record in records:
        for kind in _kinds(record.kind):
            found = tops[kind.split("/")[0]]
            if kind not in found:
                found[kind] = MaskMetrics() if isinstance(record.counts, Counts) else VideoMetrics()
            found[kind].update(record.counts)
    kinds = {kind: metrics for found in tops.values() for kind, metrics in found.items()}
    if tops.keys() == {REFERRING, ABSENT} and isinstance(kinds[ABSENT], MaskMetrics):
        kinds[ALL] = MaskMetrics()
        kinds[ALL].merge(kinds[REFERRING])
        kinds[ALL].merge(kinds[ABSENT])
    return kinds


def _flat(scores: Scores, change: float | None) -> dict[str, Any]:
    values = asdict(scores)
    for threshold, value in zip(THRESHOLDS, values.pop("precision", ()), strict=False):
        values[f"p{threshold * 100:.0f}"] = value
    if change is not None:
        values["change"] = change
    return {name: value if isinstance(value, int) else _rounded(value) for name, value in values.items()}


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 5)


def _cell(value: float | int | None, signed: bool) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:+.3f}" if signed else f"{value:.3f}"
