"""One's own images: masks beside them, JSON lines, and COCO's format."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from evfsam.data.registry import open_dataset
from evfsam.errors import InputError
from tests.data.miniatures import (
    SIZE_HW,
    annotation,
    image_entry,
    polygon,
    rectangle,
    rle,
    write_image,
    write_json,
    write_labels,
)

BOX = (2, 3, 10, 6)
INSIDE = rectangle(*BOX)


def prompts_of(root, name: str = "folder") -> dict[str, dict[str, tuple]]:
    """Image -> prompt -> (kind, mask)."""
    dataset = open_dataset(name, root)
    samples = [dataset[i] for i in range(len(dataset))]
    return {sample.name: {p.text: (p.kind, p.mask) for p in sample.prompts} for sample in samples}


def test_masks_beside_their_images(tmp_path):
    write_image(tmp_path / "cat.jpg")
    write_image(tmp_path / "cat.v2.png")  # an image of its own would need another stem: this is a mask of cat.jpg
    write_image(tmp_path / "dog.webp")
    write_image(tmp_path / "unlabelled.jpg")
    write_labels(tmp_path / "cat.the left ear.png", INSIDE * 255)
    write_labels(tmp_path / "dog.[semantic] dog.png", INSIDE)
    write_labels(tmp_path / "dog.a cat.png", np.zeros(SIZE_HW))
    (tmp_path / "notes.txt").write_text("not an image")
    found = prompts_of(tmp_path)
    assert list(found) == ["cat", "dog"] and list(found["cat"]) == ["the left ear", "v2"]
    kind, mask = found["cat"]["the left ear"]
    assert kind == "referring" and np.array_equal(mask, INSIDE)
    assert found["dog"]["[semantic] dog"][0] == "semantic" and found["dog"]["a cat"][0] == "absent"


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_every_value_but_0_is_inside(mode, tmp_path):
    write_image(tmp_path / "cat.jpg")
    grey = Image.fromarray((INSIDE * 7).astype(np.uint8))
    if mode == "1":
        grey = Image.fromarray(INSIDE)
    elif mode == "P":
        grey.putpalette([255] * 768)  # the index counts, not the colour
    elif mode == "I;16":
        grey = Image.fromarray((INSIDE * 700).astype(np.uint16))
    else:
        grey = grey.convert(mode)  # opaque everywhere, where there is alpha
    grey.save(tmp_path / "cat.ear.png")
    assert np.array_equal(prompts_of(tmp_path)["cat"]["ear"][1], INSIDE)


def test_an_image_name_may_contain_dots(tmp_path):
    write_image(tmp_path / "2024.05.jpg")
    write_labels(tmp_path / "2024.05.the no. 7 bus.png", INSIDE)
    assert list(prompts_of(tmp_path)["2024.05"]) == ["the no. 7 bus"]


def write_lines(path, *entries: dict):
    lines = [json.dumps(entry, ensure_ascii=False) for entry in entries]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("mask", "kind", "expected"),
    [
        ("masks/1.png", "referring", INSIDE),
        ([polygon(*BOX)], "referring", INSIDE),
        (polygon(*BOX), "referring", INSIDE),
        (rle(*BOX), "referring", INSIDE),
        (None, "absent", np.zeros(SIZE_HW, bool)),
    ],
    ids=["file", "polygons", "polygon", "run lengths", "null"],
)
@pytest.mark.parametrize("whole", [True, False])
def test_json_lines(mask, kind, expected, whole, tmp_path):
    write_image(tmp_path / "images/1.jpg")
    write_labels(tmp_path / "masks/1.png", INSIDE)
    shared = {"image": "images/1.jpg", "mask": mask}
    path = write_lines(
        tmp_path / "list.jsonl", {**shared, "prompt": "das linke\u2028Öhr"}, {**shared, "prompt": " it "}
    )
    found = prompts_of(tmp_path if whole else path)["1"]
    assert list(found) == ["das linke\u2028Öhr", "it"]
    for own_kind, own in found.values():
        assert own_kind == kind and np.array_equal(own, expected)


@pytest.mark.parametrize("place", ["data.json", "images"])
def test_coco_json(place, tmp_path):
    write_image(tmp_path / ("images/1.jpg" if place == "images" else "1.jpg"))
    named = [{"id": 3, "name": "dog"}]
    annotations = [annotation(1, 1, 3, [polygon(*BOX)]), annotation(2, 1, 3, [polygon(*BOX)], phrase="the dog at rest")]
    facts = {"images": [image_entry(1, "1.jpg")], "annotations": annotations, "categories": named}
    write_json(tmp_path / "data.json", facts)
    assert list(prompts_of(tmp_path)["1"]) == ["[semantic] dog", "the dog at rest"]


@pytest.mark.parametrize("kind", ["folder", "lines"])
def test_splits(kind, tmp_path):
    write_image(tmp_path / "train/1.jpg")
    if kind == "folder":
        write_labels(tmp_path / "train/1.it.png", INSIDE)
    else:
        (tmp_path / "images").mkdir()
        (tmp_path / "train/1.jpg").rename(tmp_path / "images/1.jpg")
        (tmp_path / "train").rmdir()
        write_lines(tmp_path / "train.jsonl", {"image": "images/1.jpg", "prompt": "it", "mask": None})
    assert list(prompts_of(tmp_path, "folder:train")["1"]) == ["it"]
    with pytest.raises(InputError, match="There is no .*val: name a folder"):
        open_dataset("folder:val", tmp_path)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "Line 1 of .*list.jsonl is not JSON"),
        ("[]", "Line 1 of .*list.jsonl is not an object"),
        ("", "list.jsonl is empty"),
        ('{"image": "1.jpg", "prompt": "it"}', 'Line 1 of .* must be {"image"'),
        ('{"image": "1.jpg", "prompt": " ", "mask": null}', 'Line 1 of .* must be {"image"'),
        ('{"image": 1, "prompt": "it", "mask": null}', 'Line 1 of .* must be {"image"'),
        ('{"image": "2.jpg", "prompt": "it", "mask": null}', "2.jpg is not there"),
        ('{"image": "1.jpg", "prompt": "it", "mask": "2.png"}', "2.png is not there"),
        ('{"image": "1.jpg", "prompt": "it", "mask": "small.png"}', "small.png has 5 x 4 pixels, but 30 x 20"),
        ('{"image": "1.jpg", "prompt": "it", "mask": "broken.png"}', "broken.png is damaged"),
        ('{"image": "broken.png", "prompt": "it", "mask": null}', "broken.png"),
        ('{"image": "1.jpg", "prompt": "it", "mask": 5}', "mask of line 1 of .* must be polygons"),
        ('{"image": "1.jpg", "prompt": "it", "mask": [[1, 2, 3, 4]]}', "polygon of line 1 of .* 3 points"),
        ('{"image": "1.jpg", "prompt": "it", "mask": {"size": [4, 5], "counts": [20]}}', "line 1 of .* have the size"),
    ],
)
def test_wrong_lines_are_named(line, told, tmp_path):
    write_image(tmp_path / "1.jpg")
    write_labels(tmp_path / "small.png", np.zeros((4, 5)))
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "list.jsonl").write_text(line)
    with pytest.raises(InputError, match=told):
        open_dataset("folder", tmp_path)[0]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([], "holds no image with a mask"),
        (["1.jpg", "2.png"], "holds no image with a mask"),
        (["a.jsonl", "b.jsonl"], "several lists \\(a.jsonl, b.jsonl\\)"),
    ],
)
def test_a_folder_that_is_of_no_form(files, told, tmp_path):
    for file in files:
        write_image(tmp_path / file) if not file.endswith("jsonl") else (tmp_path / file).touch()
    with pytest.raises(InputError, match=told):
        open_dataset("folder", tmp_path)
