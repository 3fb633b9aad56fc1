"""``python -m evfsam.training.objects365 --root DIR``: masks for Objects365, made by SAM-2 from its boxes.

The authors' masks are not published. Their way is repeated here (hustvl/EVF-SAM, issue 27): of each image the
categories with exactly one box are kept, and SAM-2 turns the box into a mask. No text is read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from evfsam.data.files import checked, first_of, read_image, read_json, read_json_lines
from evfsam.data.instances import objects365_folder, only_of_their_category
from evfsam.errors import EvfSamError, InputError
from evfsam.media.export import encode_rle
from evfsam.predictor import Predictor

MASKS = "o365_res_instances.json"


def make_masks(predictor: Predictor, root: Path, annotations: Path | None = None, limit: int | None = None) -> Path:
    """Write the masks as ``o365_res_instances.json`` in COCO's format, and return its path.

    Finished images are kept in a file of JSON lines beside it. A run that was stopped goes on there.

    Args:
        predictor: of a checkpoint whose segmenter is SAM-2 as Meta trained it, such as YxZhang/evf-sam2.
        root: holds Objects365, see docs/data.md.
        annotations: boxes in COCO's format; None for ``objects365_train.json`` in the data set's folder.
        limit: how many images, from the first on; None for all.

    Raises InputError if a file is missing or damaged.
    """
    folder = objects365_folder(root)
    path = annotations or first_of("Objects365", folder / "objects365_train.json")
    facts = read_json(path)
    boxes = defaultdict(list)
    with checked(path):
        for annotation in facts["annotations"]:
            boxes[annotation["image_id"]].append(annotation)
        images, categories = facts["images"][:limit], facts["categories"]
        kept = {image["id"]: _asked(boxes[image["id"]], image) for image in images}
    finished = folder / f"{MASKS}l"
    done = _finished(finished)
    with open(finished, "a", encoding="utf-8") as lines:
        for image in tqdm(images, unit="image", disable=not sys.stderr.isatty()):
            if kept[image["id"]] and image["id"] not in done:
                row = {
                    "image_id": image["id"],
                    "annotations": list(_masks(predictor, folder, image, kept[image["id"]])),
                }
                lines.write(json.dumps(row) + "\n")
                lines.flush()
    found = [row["annotations"] for _, row in read_json_lines(finished) if row["image_id"] in kept]
    target = folder / MASKS
    part = target.with_suffix(".part")
    result = {"images": images, "categories": categories, "annotations": [a for own in found for a in own]}
    part.write_text(json.dumps(result), encoding="utf-8")
    part.replace(target)
    return target


def _finished(path: Path) -> set[int]:
    """The images that are done. A line that a stopped run left unfinished is cut off."""
    if not path.is_file():
        return set()
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        path.write_bytes(content[: content.rfind(b"\n") + 1])
    with checked(path):
        return {row["image_id"] for _, row in read_json_lines(path)}


def _asked(annotations: list[dict], image: dict) -> list[tuple[dict, tuple[float, ...]]]:
    """The annotations that are kept, each with its box (x_min, y_min, x_max, y_max) inside the image."""
    kept = []
    for annotation in only_of_their_category(annotations):
        x, y, width, height = annotation["bbox"]
        box = np.clip([x, y, x + width, y + height], 0, [image["width"], image["height"]] * 2)
        if not annotation.get("iscrowd") and box[0] < box[2] and box[1] < box[3]:
            kept.append((annotation, tuple(box.tolist())))
    return kept


def _masks(predictor: Predictor, folder: Path, image: dict, kept: list) -> Iterator[dict]:
    """The annotations with masks, as the authors' reader expects them: a list with one run-length encoding."""
    pixels = read_image(folder / "train" / image["file_name"], (image["height"], image["width"]))
    answers = predictor.iter_segment(pixels, [""] * len(kept), boxes=[box for _, box in kept])
    for (annotation, _), answer in zip(kept, answers, strict=True):
        yield {**annotation, "segmentation": [encode_rle(answer.mask)], "area": int(answer.mask.sum())}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m evfsam.training.objects365",
        description="Make masks for Objects365 with SAM-2 from its boxes. A run that was stopped goes on.",
    )
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="the folder that holds Objects365")
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="boxes (default: objects365_train.json)")
    parser.add_argument("--model", default="YxZhang/evf-sam2", metavar="NAME", help="default: %(default)s")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--limit", type=int, metavar="N", help="images, from the first on (default: all)")
    args = parser.parse_args(argv)
    try:
        if args.limit is not None and args.limit < 1:
            raise InputError("--limit is a number of images: give 1 or more.")
        print(make_masks(Predictor.from_pretrained(args.model, args.device), args.root, args.annotations, args.limit))
    except EvfSamError as error:
        print(f"evfsam: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
