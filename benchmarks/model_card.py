"""Put measured scores into a bundled checkpoint's model card; nobody types its figures.

    python -m evfsam evaluate --model evf-sam2-tiny --count 150 --json scenes.json
    python -m benchmarks.model_card evf-sam2-tiny scenes.json

The reports that ``evaluate --json`` wrote are kept in ``scores.json`` beside the weights, one per data set and set of
probes; a new report replaces the old one. The card's table is written anew between its two marks. The text around the
table is written by hand. ``--picture`` also draws successes and failures on scenes that no training command reaches,
or on the photographs of ``--data`` and ``--root`` that may be passed on; ``CREDITS.md`` then names their authors.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from evfsam.data.coco.dataset import CocoDataset
from evfsam.data.registry import open_dataset
from evfsam.data.scenes import TEST
from evfsam.data.scenes.dataset import SceneDataset
from evfsam.evaluation.contact_sheet import COLUMNS, answer_again, contact_sheet, worst_records
from evfsam.evaluation.records import Record
from evfsam.evaluation.report import SCHEMA
from evfsam.evaluation.runner import evaluate
from evfsam.predictor import Predictor
from evfsam.systems.base import System
from evfsam.systems.load import load_model
from evfsam.systems.registry import find_system

CHECKPOINTS = Path(__file__).parents[1] / "assets" / "checkpoints"
BEGIN, END = "<!-- scores: written by benchmarks/model_card.py -->", "<!-- end of scores -->"
# Probes that stand in the model's row; scores.json keeps the others.
SHOWN_PROBES = {
    "1 click": ("clicks_1", "oracle_point"),
    "3 clicks": ("clicks_3",),
    "text, 1 click": ("text_click",),
    "true box": ("oracle_box", "tracked_box"),
    "frame by frame": ("frame_by_frame",),
    "constant mask": ("constant_mask",),
}
KINDS = ("referring", "semantic", "stuff", "part", "absent")
PICTURE_SCENES, GOOD_IOU, SHOWN = 12, 0.85, 6


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of a bundled checkpoint")
    parser.add_argument("reports", type=Path, nargs="*", help="what evaluate --json wrote")
    parser.add_argument("--picture", action="store_true", help="draw examples.jpg anew")
    parser.add_argument("--data", help="for the picture: a data set of photographs, for example coco:held-out")
    parser.add_argument("--root", type=Path, help="its folder")
    parser.add_argument("--folder", type=Path, default=CHECKPOINTS, help="of the checkpoints")
    args = parser.parse_args(argv)
    folder = args.folder / args.name
    scores = folder / "scores.json"
    kept = json.loads(scores.read_text(encoding="utf-8")) if scores.exists() else []
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in args.reports]
    reports = merged(kept, [report for document in documents for report in document.get("reports", [document])])
    scores.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    card = folder / "README.md"
    card.write_text(with_table(card.read_text(encoding="utf-8"), table(reports)), encoding="utf-8")
    if args.picture:
        predictor = load_model(args.name) if find_system(args.name) else Predictor.from_pretrained(folder)
        if args.data:
            sheet, credits = picture_of_photographs(predictor, open_dataset(args.data, args.root))
            (folder / "CREDITS.md").write_text(credits, encoding="utf-8")
        else:
            sheet = picture(predictor)
        sheet.save(folder / "examples.jpg", quality=85)
    print(card)


def merged(kept: list[dict], new: list[dict]) -> list[dict]:
    """The reports, the new ones in the place of those with the same data and probes."""
    by_run = {(report["data"], tuple(report["probes"])): report for report in kept}
    for report in new:
        if report.get("schema") != SCHEMA:
            raise SystemExit(f"A report has schema {report.get('schema')}, not {SCHEMA}: evaluate again.")
        by_run[report["data"], tuple(report["probes"])] = report
    return list(by_run.values())


def table(reports: list[dict]) -> str:
    """One row per data set, one column per kind of prompt; finer kinds, cIoU and counts are left to scores.json.

    Rendered data come first. The model's own scores are those of the report with most samples.
    """
    found = {kind for report in reports for kind in report["scores"]["model"] if kind in KINDS}
    kinds = sorted(found, key=KINDS.index)
    rows = [["data", *kinds]]
    for data in sorted({report["data"] for report in reports}, key=lambda data: (" from seed" not in data, data)):
        same = [report for report in reports if report["data"] == data]
        largest = max(same, key=lambda report: report["samples"])
        model = largest["scores"]["model"]
        cells = [_with_probes(model[kind], same, kind) if kind in model else "" for kind in kinds]
        rows.append([data.partition(" from seed")[0], *cells])
    lines = [" | ".join(row).rstrip(" |") for row in rows]  # Markdown needs no bars around a row
    return "\n".join([lines[0], "|".join(["---"] * len(rows[0])), *lines[1:]])


def _with_probes(row: dict, reports: list[dict], kind: str) -> str:
    more = {"J": _cell(row.get("j")), "F": _cell(row.get("f"))}
    more |= {title: _of_probe(reports, probes, kind) for title, probes in SHOWN_PROBES.items()}
    told = ", ".join(f"{title} {value}" for title, value in more.items() if value)
    return f"{_cell(_quality(row))} ({told})" if told else _cell(_quality(row))


def _of_probe(reports: list[dict], probes: tuple[str, ...], kind: str) -> str:
    for report in reports:
        for probe in probes:
            if found := report["scores"].get(probe, {}).get(kind):
                return _cell(_quality(found))
    return ""


def _quality(row: dict) -> float | None:
    """The gIoU of images, the J&F of clips."""
    return row.get("giou", row.get("jf"))


def with_table(card: str, rows: str) -> str:
    """The card with these rows between its marks."""
    before, _, rest = card.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"The card has no place for its scores: write {BEGIN} and {END} into it.")
    return f"{before}{BEGIN}\n{rows}\n{END}{after}"


def picture(predictor: Predictor | System):
    """A row of successes above a row of failures: the first good answer of each kind, and the worst answers."""
    scenes = SceneDataset(TEST[:PICTURE_SCENES])
    records = list(evaluate(predictor, scenes).records)
    chosen = _first_of_each_kind(records)[:COLUMNS] + worst_records(records, COLUMNS)
    return contact_sheet(list(answer_again(predictor, scenes, chosen, lower_case=False)))


def picture_of_photographs(predictor: Predictor, dataset: CocoDataset):
    """Six of the best answers above six of the worst, one per photograph that may be passed on, and their credits."""
    samples = CocoDataset([photograph for photograph in dataset.photographs if photograph.credit], "with credit")
    records = [record for record in evaluate(predictor, samples).records if record.answerer == "model"]
    best, seen = [], set()
    for record in sorted(records, key=lambda record: -record.counts.iou):
        if record.counts.target and record.index not in seen and len(best) < SHOWN:
            best.append(record)
            seen.add(record.index)
    chosen = best + worst_records([record for record in records if record.index not in seen], SHOWN)
    lines = [f"{n}. {samples[record.index].facts['credit']}" for n, record in enumerate(chosen, 1)]
    sheet = contact_sheet(list(answer_again(predictor, samples, chosen, lower_case=False)))
    return (
        sheet,
        "The photographs in examples.jpg are from COCO (cocodataset.org), with masks drawn on them:\n\n"
        + "\n".join(lines)
        + "\n",
    )


def _first_of_each_kind(records: list[Record]) -> list[Record]:
    good: dict[str, Record] = {}
    for record in records:
        taken = {other.index for other in good.values()}
        if record.counts.iou >= GOOD_IOU and record.counts.target and record.index not in taken:
            good.setdefault(record.kind, record)
    return list(good.values())


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".replace("0.", ".", 1)


if __name__ == "__main__":
    main()
