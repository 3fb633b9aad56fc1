"""Write a bundled checkpoint's model card from what was measured; nobody types its figures.

    python -m evfsam evaluate --model evf-sam2-tiny --exchange --floor --ceiling --json scores.json
    python -m benchmarks.model_card evf-sam2-tiny --scores scores.json --run runs/evf-sam2-tiny

Further measures may be given as well: ``--again`` (the scores on other scenes, ``evaluate --seed 910000``),
``--once`` (of first answers), ``--photos``, ``--clips``, ``--robustness`` and ``--clicks``, each what
``evaluate --json`` wrote; and ``--seeds``, the scores of two checkpoints or more from runs that differ in the seed
alone. All inputs are kept beside the weights (``scores.json``, ``training.json`` ...), so that the card can be written
again without them: ``python -m benchmarks.model_card evf-sam2-tiny``.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

CHECKPOINTS = Path(__file__).parents[1] / "assets" / "checkpoints"
MORE = {
    "once": "--once --exchange",
    "photos": "--data ccp",
    "clips": "--data clips",
    "robustness": "--robustness",
    "clicks": "--clicks",
}
FEWEST_PHOTOS = 10  # with a prompt, for its row to be in the card

KINDS = {
    "referring": "referring, all kinds",
    "colour": "- by colour",
    "place": "- by place",
    "relation": "- by relation",
    "size": "- by size",
    "name": "- by name alone",
    "stuff": '"[semantic]" stuff (sky, grass ...)',
    "things": '"[semantic]" things (all cars ...)',
    "parts": '"[semantic]" parts (all wheels ...)',
}

COLUMNS = {
    "model": "gIoU",
    "undenied": "undenied",
    "exchanged": "picture exchanged",
    "floor": "floor",
    "ceiling": "ceiling",
}
GLOSSARY = {
    "model": "gIoU: mean IoU over phrases; cIoU: all intersections over all unions.",
    "undenied": "*Undenied*: no phrase answered with an empty mask because the model takes it for absent.",
    "exchanged": """\
*Picture exchanged*: the multimodal encoder saw another scene while the segmenter saw the right one, nothing denied
either; the drop from *undenied* is what the fusion of picture and words contributes.""",
    "floor": "*Floor*: the best constant mask of that kind of phrase, without any model.",
    "ceiling": "*Ceiling*: the segmenter told the true box and a true point instead of words.",
}
BEYOND_PAPER = {
    "self_prompts": "A phrase for one thing is answered twice, as it is for users (`evfsam/predictor.py`).",
    "iou_thresholds": "A mask ends {:.0%} of the way to where its expected IoU is best, by the IoU that it predicts.",
    "drops_strays": "Stray pieces are no part of a mask (`evfsam/processing/masks.py`), as for users.",
    "follows_edges": "Outlines follow the picture's edges (`evfsam/refine/guided_filter.py`), as they do for users.",
}
MEASURED_BY = {"exchanged": "--exchange", "floor": "--floor", "ceiling": "--ceiling"}


def training_facts(run: Path) -> dict:
    """The recipe of a run and, for each stage, its steps, prompts and minutes, from its metrics file."""
    seconds, prompts, steps = defaultdict(float), defaultdict(int), {}
    rows = {}
    for line in (run / "metrics.jsonl").open():
        row = json.loads(line)
        rows[row["stage"], row["step"]] = row  # a resumed run repeats some: the last counts
    for (stage, step), row in rows.items():
        seconds[stage] += row["prompts"] / row["prompts_s"]
        prompts[stage] += row["prompts"]
        steps[stage] = max(steps.get(stage, 0), step)
    stages = {
        stage: {"steps": steps[stage], "prompts": prompts[stage], "minutes": round(seconds[stage] / 60, 1)}
        for stage in steps
    }
    return {"recipe": json.loads((run / "recipe.json").read_text()), "stages": stages}


NEVER_SAW_PHOTOGRAPHS = "It has seen nothing but drawn scenes: on photographs its answers mean little."
SAW_PHOTOGRAPHS = """\
It has seen drawn scenes and street photographs of people, and was asked for what they wear; other photographs are
strange to it."""
PHOTOGRAPHS = """\
Photographs: the train split of the pixel-annotated part of Clothing Co-Parsing (W. Yang, P. Luo, L. Lin, CVPR 2014;
github.com/bearpaw/clothing-co-parsing), as `python -m evfsam.data.ccp` makes it from a clone. The repository's LICENSE
is Apache-2.0; the photographs' own licence is not stated there, and they show identifiable people. None of them is
part of this project."""
NO_PHOTOGRAPHS = "No photographs, no downloaded weights or data were used."


def photos_section(name: str, photos: dict | None) -> str:
    """IoU by prompt beside the floor, and people in composed pictures."""
    if photos is None:
        return ""
    rows, below = [], []
    for prompt, row in photos["prompts"].items():
        floor = "" if row["floor"] is None else f"{row['floor']:.3f}"
        if row["samples"] >= FEWEST_PHOTOS:
            rows.append(f"| {prompt} | {row['samples']} | {row['iou']:.3f} | {floor} |")
            if row["floor"] is not None and row["iou"] < row["floor"]:
                below.append(prompt.removeprefix("[semantic] "))
    warning = f"Below the floor, so not to be relied on: {', '.join(below)}.\n\n" if below else ""
    composed = [f"| {kind} | {row['samples']} | {row['giou']:.3f} |" for kind, row in photos["composed_scores"].items()]
    return f"""
### Photographs

{photos["count"]} photographs of the pack's val split; prompts annotated on at least {FEWEST_PHOTOS} of them.
*Floor*: the mean mask of the prompt on the train split, above the threshold that is best there.

| prompt | photographs | mean IoU | floor |
|---|---|---|---|
{chr(10).join(rows)}

{warning}{photos["composed"]} pictures composed of two or three people of that split
(`python -m evfsam evaluate --model {name} --data ccp --folder ccp`):

| people by | phrases | gIoU |
|---|---|---|
{chr(10).join(composed)}
"""


def completed(scores: list[dict]) -> dict:
    """The first of these scores, and of the others what it does not tell; ``counts``: on how many scenes that was."""
    whole, counts = scores[0], {}
    for other in scores[1:]:
        lacking = {who for row in other["scores"].values() for who in row}
        lacking -= {who for row in whole["scores"].values() for who in row}
        for kind, row in other["scores"].items():
            whole["scores"][kind] |= {who: row[who] for who in sorted(lacking & row.keys())}
        counts |= {who: other["count"] for who in sorted(lacking)}
    return {**whole, "counts": counts} if counts else whole


def exchange_drops(scores: dict) -> str:
    """Of the kinds that only picture and words together tell apart; empty if it was not measured."""
    drops = {}
    for kind in ("place", "relation"):
        if "exchanged" in scores[kind]:
            drops[kind] = scores[kind]["undenied"]["giou"] - scores[kind]["exchanged"]["giou"]
    return " and ".join(f"{drop:.3f} by {kind}" for kind, drop in drops.items())


def once_section(name: str, once: dict | None) -> str:
    """What the fusion of picture and words is worth to first answers, which no click of the model's own has mended."""
    if once is None:
        return ""
    rows = []
    for kind, title in KINDS.items():
        if kind in once["scores"]:
            own, exchanged = (once["scores"][kind][who]["giou"] for who in ("undenied", "exchanged"))
            rows.append(f"| {title} | {own:.3f} | {exchanged:.3f} | {exchanged - own:+.3f} |")
    return f"""
### Is the fusion real?

gIoU of first answers, as the paper has them, none denied, with the scene's own picture in the multimodal encoder and
with another scene's, on {once["count"]} scenes (seeds {once["seed"]} to {once["seed"] + once["count"] - 1};
`python -m evfsam evaluate --model {name} --once --exchange --count {once["count"]}`). The second answer, with a click
into the first, wins back some of what a wrong picture costs.

| phrases | gIoU | picture exchanged | difference |
|---|---|---|---|
{chr(10).join(rows)}
"""


def robustness_section(name: str, robustness: dict | None) -> str:
    if robustness is None:
        return ""
    rows = [
        f"| {change} | {row['samples']} | {row['giou']:.3f} | {row['clean_giou']:.3f} | {row['drop']:+.3f} |"
        for change, row in robustness["scores"].items()
        if change != "clean"
    ]
    return f"""
### Worse pictures, other words

gIoU of the same phrases with and without a change, {robustness["count"]} scenes
(`python -m evfsam evaluate --model {name} --robustness --count {robustness["count"]}`); of other shapes, other scenes.

| change | phrases | gIoU | clean | drop |
|---|---|---|---|---|
{chr(10).join(rows)}
"""


def clicks_section(name: str, clicks: dict | None) -> str:
    if clicks is None:
        return ""
    rows = [f"| {way} | {row['iou']:.3f} |" for way, row in clicks["scores"].items()]
    things = next(iter(clicks["scores"].values()))["samples"]
    return f"""
### Clicks

Mean IoU of {things} single things; the first click goes into the middle of the thing, each further one, and a
correction of what words gave, into the middle of the largest error
(`python -m evfsam evaluate --model {name} --clicks`).

| prompt | IoU |
|---|---|
{chr(10).join(rows)}
"""


def clips_section(name: str, clips: dict | None) -> str:
    """J by prompt beside asking for the words on each frame."""
    if clips is None:
        return ""
    titles = {
        "words": "words on the first frame, then followed; asked again on every frame",
        "memory": "words on the first frame, then followed by the memory alone",
        "box": "the true box on the first frame, then followed by the memory alone",
        "naive": "words on every frame by itself, nothing followed",
    }

    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    measures = ("J", "J_after_occlusion", "hidden_answered_empty")
    rows = [
        f"| {titles[way]} | {' | '.join(cell(row[measure]) for measure in measures)} |"
        for way, row in clips["scores"].items()
    ]
    frames = next(iter(clips["scores"].values()))
    return f"""
### Clips

One thing in each of {clips["clips_with_a_target"]} clips of {clips["frames"]} frames, seeds {clips["seed"]} to
{clips["seed"] + clips["count"] - 1}
(`python -m evfsam evaluate --model {name} --data clips --count {clips["count"]}`). J: mean IoU over the
{frames["visible_frames"]} frames on which it can be seen; after occlusion: over the {frames["frames_after_occlusion"]}
that come after it was out of sight; hidden: the share of the frames without it that were answered with an empty mask.

| prompt | J | J after occlusion | hidden answered empty |
|---|---|---|---|
{chr(10).join(rows)}
"""


def seeds_section(name: str, runs: list[dict] | None) -> str:
    """How far scores move by chance: the lowest and the highest of runs that differ in the seed alone."""
    if runs is None:
        return ""
    rows = []
    for kind, title in {**KINDS, "absent": "nothing that is there, answered empty"}.items():
        if all(kind in run["scores"] for run in runs):
            found = [run["scores"][kind]["model"]["giou"] for run in runs]
            rows.append(f"| {title} | {min(found):.3f} | {max(found):.3f} |")
    first = runs[0]
    return f"""
### Spread over seeds

gIoU of {len(runs)} runs that differ in the seed alone (Training says what they are), all on the same {first["count"]}
scenes
(`python -m evfsam evaluate --model FOLDER --seed {first["seed"]} --count {first["count"]}` of each one's checkpoint).

| phrases | lowest | highest |
|---|---|---|
{chr(10).join(rows)}
"""


SECTIONS = {
    "once": once_section,
    "seeds": seeds_section,
    "photos": photos_section,
    "clips": clips_section,
    "robustness": robustness_section,
    "clicks": clicks_section,
}


def beside_base(scores: dict, base: dict | None) -> dict[str, float]:
    """By kind of phrase, gIoU less that of the checkpoint that was continued; nothing if that saw other scenes."""
    if base is None or any(base[fact] != scores[fact] for fact in ("seed", "count", "size_hw")):
        return {}
    kinds = [kind for kind in KINDS if kind in scores["scores"] and kind in base["scores"]]
    own, others = ({kind: of["scores"][kind]["model"]["giou"] for kind in kinds} for of in (scores, base))
    return {kind: own[kind] - others[kind] for kind in kinds}


def card(
    name: str,
    config: dict,
    scores: dict,
    training: dict,
    notes: str,
    more: dict[str, dict | list | None],
    base_scores: dict | None,
) -> str:
    """The card's Markdown.

    ``more`` holds further measures by name, None for what was not measured; ``base_scores`` are the scores of the
    checkpoint that this one continues.
    """
    rows = scores["scores"]
    columns = [who for who in COLUMNS if any(who in row for row in rows.values())]
    again = more["again"]
    beside = beside_base(scores, base_scores)
    besides = [f"beside `{training['recipe']['continues']}`"] if beside else []
    titles_shown = [
        COLUMNS["model"],
        *besides,
        *(["other scenes"] if again else []),
        *(COLUMNS[c] for c in columns[1:]),
    ]
    table = [
        f"| phrases | number | {' | '.join(titles_shown)} | cIoU |",
        f"|---|---|{'---|' * (len(titles_shown) + 1)}",
    ]
    for kind, title in KINDS.items():
        if kind in rows:
            row = rows[kind]
            cells = [f"{row[c]['giou']:.3f}" if row.get(c, {}).get("giou") is not None else "" for c in columns]
            if again:
                cells.insert(1, f"{again['scores'][kind]['model']['giou']:.3f}")
            if beside:
                cells.insert(1, f"{beside[kind]:+.3f}")
            table.append(f"| {title} | {row['model']['samples']} | {' | '.join(cells)} | {row['model']['ciou']:.3f} |")
    absent = rows.get("absent", {}).get("model", {}).get("absent_answered_empty")
    denied = rows["referring"]["model"]["present_denied"]
    stage_rows = [
        f"| {stage} | {facts['steps']} | {facts['prompts']:,} | {facts['minutes']:.0f} |"
        for stage, facts in training["stages"].items()
    ]
    minutes = sum(facts["minutes"] for facts in training["stages"].values())
    stage_rows.append(f"| in all | | | {minutes:.0f} |")
    recipe = training["recipe"]
    last = recipe["first_seed"] + recipe["scenes"] - 1
    side = config["segmenter"]["image_size"]
    saw_photographs = bool(recipe.get("photographs"))
    samples = f", {recipe['clip_frames']:,} frames of clips" if recipe.get("clip_frames") else ""
    samples += f", {recipe['photographs']:,} samples made of photographs" if saw_photographs else ""
    continues = f", starting from `{recipe['continues']}`" if recipe.get("continues") else ""
    counts = {column: scores.get("counts", {}).get(column, scores["count"]) for column in columns}
    commands = []
    for count in sorted(set(counts.values()), reverse=True):
        measures = " ".join(MEASURED_BY[c] for c in columns if c in MEASURED_BY and counts[c] == count)
        file = f"scores{count if commands else ''}.json"
        command = f"python -m evfsam evaluate --model {name} --data scenes --seed {scores['seed']} --count {count}"
        commands.append(f"    {command} --size {scores['size_hw'][0]} {measures} --json {file}".replace("  --", " --"))
    glossary = [GLOSSARY[column] for column in columns]
    for count in sorted({*counts.values()} - {scores["count"]}, reverse=True):
        fewer = " and ".join(f"*{COLUMNS[column]}*" for column in columns if counts[column] == count)
        glossary.append(f"On the first {count} of these scenes only: {fewer}.")
    if again:
        seeds = f"{again['count']} others, seeds {again['seed']} to {again['seed'] + again['count'] - 1}"
        differs = f"`--seed {again['seed']} --count {again['count']}`"
        glossary.insert(1, f"*Other scenes*: gIoU on {seeds}, the same command with {differs}.")
        if drops := exchange_drops(again["scores"]):
            few = again.get("counts", {}).get("exchanged")
            of = f"the first {few} of the other scenes" if few else "the other scenes"
            glossary.append(f"On {of} that drop is {drops}.")
    if beside:
        glossary.insert(1, f"*{besides[0].capitalize()}*: gIoU less that of the one bundled today, on the same scenes.")
    return f"""---
license: apache-2.0
pipeline_tag: image-segmentation
tags:
  - referring-expression-segmentation
---

# {name}

{config["description"]}
{config["parameters"] / 1e6:.1f} million parameters, pictures at {side} x {side} px.
{SAW_PHOTOGRAPHS if saw_photographs else NEVER_SAW_PHOTOGRAPHS}
It is here so that everything in this project can be tried without a download, and as a baseline for one's own training.

This card was written by `python -m benchmarks.model_card {name}`.

## Scores

On {scores["count"]} scenes of the rendered world that no training command can reach (seeds {scores["seed"]} to
{scores["seed"] + scores["count"] - 1}), drawn at {scores["size_hw"][1]} x {scores["size_hw"][0]} px:

{chr(10).join(table)}

{chr(10).join(glossary)}
{"".join(f"{sentence.format(config[fact])}{chr(10)}" for fact, sentence in BEYOND_PAPER.items() if config.get(fact))}
Of phrases that name nothing in the picture, {absent:.1%} were answered with an empty mask; of referring phrases whose
target is there, {denied:.1%} were.

{chr(10).join(commands)}
{"".join(section(name, more[measure]) for measure, section in SECTIONS.items())}
## Training

    python -m evfsam train --recipe {recipe["name"]}{" --photos ccp" if saw_photographs else ""}

{recipe["scenes"]:,} scenes (seeds {recipe["first_seed"]} to {last}){samples}, seed {recipe["seed"]}, in the order of
the published lineage (docs/training.md){continues}:

| stage | steps | prompts | minutes |
|---|---|---|---|
{chr(10).join(stage_rows)}

{notes}

## Limits

- English phrases of {len(config["vocabulary"])} words. One that it never learned is read as one that it did where that
  is what people mean by it, or as the only known word of which it is a slip of the keyboard, and the answer says so
  (`evfsam/refine/synonyms.py`); all others are named in a warning.
- Things that cover less than about one per cent of the picture are outlined coarsely.
- It may mask something where the phrase names nothing; see the figure above.

Licence: Apache-2.0. {PHOTOGRAPHS if saw_photographs else NO_PHOTOGRAPHS}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument(
        "--scores", type=Path, nargs="+", help="from evaluate --json; of further files, on fewer scenes, what it lacks"
    )
    parser.add_argument("--run", type=Path, help="the run's folder")
    parser.add_argument("--seeds", type=Path, nargs="+", help="from evaluate --json, a file for each run")
    parser.add_argument("--again", type=Path, nargs="+", help="likewise, from evaluate --seed 910000 --json")
    for measure, options in MORE.items():
        parser.add_argument(f"--{measure}", type=Path, help=f"from evaluate {options} --json")
    args = parser.parse_args()
    folder = CHECKPOINTS / args.name
    for measure in ("scores", "again"):
        if given := getattr(args, measure):
            _keep(folder / f"{measure}.json", completed([json.loads(file.read_text()) for file in given]))
    for measure in MORE:
        if given := getattr(args, measure):
            _keep(folder / f"{measure}.json", json.loads(given.read_text()))
    if args.seeds:
        _keep(folder / "seeds.json", [json.loads(given.read_text()) for given in args.seeds])
    if args.run:
        _keep(folder / "training.json", training_facts(args.run))
    config, scores, training = (
        json.loads((folder / f"{part}.json").read_text()) for part in ("config", "scores", "training")
    )
    notes_file = folder / "notes.md"  # what no figure says: hardware, deviations
    notes = notes_file.read_text().strip() if notes_file.exists() else ""
    kept = {measure: folder / f"{measure}.json" for measure in ("again", *MORE, "seeds")}
    more = {measure: json.loads(file.read_text()) if file.exists() else None for measure, file in kept.items()}
    base = training["recipe"].get("continues")
    base_scores = json.loads((CHECKPOINTS / base / "scores.json").read_text()) if base else None
    (folder / "README.md").write_text(card(args.name, config, scores, training, notes, more, base_scores))
    print(folder / "README.md")


def _keep(file: Path, facts: dict | list) -> None:
    file.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
