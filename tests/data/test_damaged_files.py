"""Any value of any annotation file may be wrong: the answer is a sample or one sentence, never another error."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evfsam.data.registry import open_dataset
from evfsam.errors import InputError
from tests.data import test_clips, test_folder, test_gseval, test_label_maps, test_refer
from tests.data.miniatures import annotation, image_entry, polygon, rle, write_image, write_json

WRONG = (None, True, -1, 1e30, "x", "", [], {}, [[]], [None], {"x": 1}, "a" * 5000, "a\0b")


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The keys to every value inside of lists and dicts, and to the whole."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from places(part, (*path, key))


def spoilt(facts: Any, path: tuple, wrong: Any) -> Any:
    if not path:
        return wrong
    facts = copy.deepcopy(facts)
    part = facts
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = wrong
    return facts


def refer(root: Path, name: str, refs: list[dict]) -> None:
    test_refer.make(root, name, refs, {1: [polygon(2, 2, 8, 8)], 2: rle(1, 1, 5, 5)})


def coco(root: Path) -> None:
    write_image(root / "images/1.jpg")
    shapes = [annotation(1, 1, 3, [polygon(0, 0, 5, 5)], phrase="it"), annotation(2, 1, 3, rle(0, 0, 5, 5), iscrowd=1)]
    shapes.append(annotation(3, 1, 3, {"size": [20, 30], "counts": [300, 100, 200]}))
    named = [{"id": 3, "name": "dog"}]
    write_json(
        root / "instances.json", {"images": [image_entry(1, "1.jpg")], "annotations": shapes, "categories": named}
    )


def photographs(root: Path) -> None:
    """One photograph that is kept for scores (its number is 5), with stuff."""
    test_label_maps.write_panoptic(root)
    coco(root)
    for name, old in (("instances.json", 1), ("panoptic.json", 7)):
        facts = json.loads((root / name).read_text())
        for image in facts["images"]:
            image.update(id=5, file_name="7.jpg")
        for own in facts["annotations"]:
            assert own["image_id"] == old
            own["image_id"] = 5
        write_json(root / name, facts)


def lines(root: Path) -> None:
    write_image(root / "1.jpg")
    rows = [{"image": "1.jpg", "prompt": "it", "mask": mask} for mask in (rle(0, 0, 5, 5), [polygon(0, 0, 5, 5)], None)]
    test_folder.write_lines(root / "list.jsonl", *rows)


SETS = {
    "refcoco:val": (lambda root: refer(root, "refcoco", test_refer.ONE[:1]), ("refs(unc).p", "instances.json")),
    "grefcoco:val": (
        lambda root: refer(root, "grefcoco", test_refer.GENERALIZED[:2]),
        ("grefs(unc).json", "instances.json"),
    ),
    "coco-instances:all": (coco, ("instances.json",)),
    "coco-panoptic:all": (test_label_maps.write_panoptic, ("panoptic.json",)),
    "coco:held-out": (photographs, ("instances.json", "panoptic.json")),
    "gseval:val": (test_gseval.write, ("GroundingSuite-Eval.jsonl",)),
    "folder": (lines, ("list.jsonl",)),
    "davis:all": (lambda root: test_clips.davis(root, {"dog": {"1": "the dog"}}), ("phrases.json",)),
    "ref-davis:valid": (lambda root: test_clips.ref_youtube_vos(root, "valid"), ("meta_expressions.json",)),
    "mevis:valid_u": (test_clips.mevis, ("meta_expressions.json", "mask_dict.json")),
}


def read(path: Path) -> Any:
    if path.suffix == ".p":
        return pickle.loads(path.read_bytes())
    text = path.read_text()
    return [json.loads(line) for line in text.split("\n") if line] if path.suffix == ".jsonl" else json.loads(text)


def write(path: Path, facts: Any) -> None:
    if path.suffix == ".p":
        path.write_bytes(pickle.dumps(facts))
    elif path.suffix == ".jsonl" and isinstance(facts, list):
        path.write_text("\n".join(map(json.dumps, facts)))
    else:
        path.write_text(json.dumps(facts))


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, (_, files) in SETS.items() for file in files])
def test_a_wrong_value_is_read_or_told(name, file, tmp_path):
    SETS[name][0](tmp_path)
    (path,) = tmp_path.rglob(file.replace("(", "[(]"))
    facts = read(path)
    told = 0
    for place in places(facts):
        for wrong in WRONG:
            write(path, spoilt(facts, place, wrong))
            try:
                dataset = open_dataset(name, tmp_path)
                samples = [dataset[index] for index in range(len(dataset))]
                assert all(isinstance(prompt.text, str) for sample in samples for prompt in sample.prompts)
            except InputError as error:
                told += 1
                assert str(tmp_path) in str(error), (place, wrong)
            except Exception as error:
                raise AssertionError(f"{place} = {wrong!r} gives {type(error).__name__}: {error}") from error
    assert told
