"""The app in a real browser with the bundled checkpoint; answers are held against the scene's truth."""

from __future__ import annotations

import json
import zipfile
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from evfsam.data.scenes import expressions, make_scene, render
from evfsam.data.scenes.clips import clip_expressions, make_clip
from evfsam.media.video_writer import open_writer
from evfsam.ui.comparison import iou
from evfsam.ui.examples import read_examples
from tests.ui import browser as b

pytestmark = [pytest.mark.slow, pytest.mark.browser]  # not verified with the newest checkpoint yet

EXAMPLES = read_examples()
FILM_SEED, FILM_FRAMES = 900003, 24


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with b.running_app(tmp_path_factory.mktemp("app")) as address:
        yield address


@pytest.fixture(scope="module")
def chromium():
    with b.chromium() as browser:
        yield browser


@pytest.fixture
def page(chromium, url):
    page = b.open_page(chromium, url)
    yield page
    page.context.close()


def truth(example, phrase: str) -> np.ndarray:
    """What a phrase names in an example's scene, bool (H, W)."""
    width, height = example.size
    scene = make_scene(example.seed, width / height)
    part_ids = {e.text: e.part_ids for e in expressions(scene)} | dict(_categories(scene))
    return np.isin(render(scene, (height, width)).part_map, part_ids[phrase])


def _categories(scene):
    """Every "[semantic]" phrase a scene could answer, whether or not it was drawn for it."""
    for kind in {part.kind for part in scene.parts} | {part.name for part in scene.parts}:
        yield f"[semantic] {kind}", [p.index for p in scene.parts if kind in (p.kind, p.name)]
    for kind, name in {(part.kind, part.name) for part in scene.parts}:
        yield f"[semantic] {kind} {name}", [p.index for p in scene.parts if (p.kind, p.name) == (kind, name)]


def read_mask(path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "L"
        return np.asarray(picture) > 127


def test_an_example_is_masked_as_its_scene_is_made(page, tmp_path):
    example = EXAMPLES[0]
    b.take_example(page, "refer", 0)
    assert b.wait_for_rows(page, "refer", len(example.refer)) == list(example.refer)
    for phrase in example.refer:
        path = b.download(page, "refer", f"{phrase.replace(' ', '-')}.mask.png", tmp_path)
        assert iou(read_mask(path), truth(example, phrase)) > 0.5, phrase


def test_keyboard_alone(page):
    page.locator("#refer-examples [data-index='1']").focus()
    page.keyboard.press("Enter")
    b.wait_for_rows(page, "refer", len(EXAMPLES[1].refer))
    page.locator("#refer-phrases textarea").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("the sea, the sky, the bus")
    page.keyboard.press("Enter")
    assert b.wait_for_rows(page, "refer", 3)[0] == "the sea"
    page.locator("#refer-view .chip").nth(1).focus()
    away = page.locator("#refer-view .layer.away")
    assert [layer.get_attribute("data-row") for layer in away.all()] == ["0", "2"]
    page.keyboard.press("Enter")
    assert page.locator("#refer-view .chip").nth(1).get_attribute("aria-pressed") == "true"
    page.locator("#refer-view .evf-stage").focus()
    for key in ("ArrowUp", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("#refer-view .marks .plus[data-row='1']", state="attached")


def test_a_click_on_the_picture_refines_the_mask(page):
    b.take_example(page, "refer", 0)
    b.wait_for_rows(page, "refer", 3)
    page.locator("#refer-view .chip").first.click()
    page.locator("#refer-view .evf-stage").click(position={"x": 300, "y": 300})
    page.wait_for_selector("#refer-view .marks .plus", state="attached")
    page.locator("#refer-forget").click()
    page.wait_for_selector("#refer-view .marks .plus", state="detached")


@pytest.mark.parametrize(
    ("name", "content", "text", "told"),
    [
        ("notes.png", b"no picture at all", "the car", "is not a picture that can be read"),
        (None, None, "", "Type what to look for"),
    ],
)
def test_mistakes_get_one_clear_sentence(page, name, content, text, told):
    if name:
        page.locator("#refer-picture input[type=file]").first.set_input_files(
            {"name": name, "mimeType": "image/png", "buffer": content}
        )
        page.wait_for_load_state("networkidle")
    page.locator("#refer-phrases textarea").fill(text)
    page.locator("#refer-ask").click()
    toast = page.locator(".toast-body").first
    toast.wait_for()
    assert told in toast.inner_text() and "Traceback" not in toast.inner_text()


def test_a_link_keeps_the_state(page, chromium, url):
    b.take_example(page, "refer", 0)
    labels = b.wait_for_rows(page, "refer", 3)
    href = page.get_by_role("link", name="link to this").get_attribute("href")
    other = b.open_page(chromium, url, query=href)
    assert b.wait_for_rows(other, "refer", 3) == labels
    assert other.locator("#refer-phrases textarea").input_value() == ", ".join(labels)
    other.context.close()


def test_semantic_labels_the_picture(page, tmp_path):
    b.open_tab(page, "Semantic")
    b.take_example(page, "semantic", 0)
    example = EXAMPLES[0]
    page.wait_for_selector("#semantic-view .chip")
    labels = np.asarray(Image.open(b.download(page, "semantic", ".labels.png", tmp_path)))
    for i, category in enumerate(example.semantic):
        assert iou(labels == i, truth(example, f"[semantic] {category}")) > 0.5, category


def test_parts_are_cut_out(page, tmp_path):
    b.open_tab(page, "Parts")
    b.take_example(page, "parts", 0)
    example = EXAMPLES[0]
    thing, *names = example.parts
    assert b.wait_for_rows(page, "parts", len(names)) == names
    mask = read_mask(b.download(page, "parts", f"{thing}-{names[0]}.mask.png", tmp_path))
    assert iou(mask, truth(example, f"[semantic] {thing} {names[0]}")) > 0.4
    page.wait_for_selector("#parts-pieces img")


def test_phrases_are_compared(page):
    b.open_tab(page, "Compare")
    page.locator("#compare-way").get_by_text("phrases").click()
    b.take_example(page, "compare", 0)
    page.wait_for_function("document.querySelector('#compare-phrases textarea').value !== ''")
    page.locator("#compare-phrases textarea").fill("the bus, bus")
    page.locator("#compare-ask").click()
    page.wait_for_selector(".evf-table")
    cells = page.locator(".evf-table tbody td").all_inner_texts()
    assert float(cells[1]) == float(cells[2]) > 0.5
    assert page.locator("#compare-grid article").count() == 2
    page.wait_for_selector("#compare-difference img")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """(path, phrase, masks): a clip that the bundled checkpoint never saw, and what follows from its making."""
    clip = make_clip(FILM_SEED, FILM_FRAMES, 1.5)
    expression = clip_expressions(clip)[0]
    path, masks = tmp_path_factory.mktemp("film") / "clip.mp4", []
    with open_writer(path, Fraction(12)) as writer:
        for t in range(FILM_FRAMES):
            drawn = render(clip.frame(t), (256, 384))
            writer.write(drawn.picture_rgb, Fraction(t, 12), Fraction(1, 12))
            masks.append(np.isin(drawn.part_map, expression.part_ids))
    return path, expression.text, masks


def open_film(page, film):
    b.open_tab(page, "Video")
    page.locator("#video-file input[type=file]").first.set_input_files(str(film[0]))
    page.wait_for_selector("#video-view .evf-stage")
    page.locator("#video-phrases textarea").fill(film[1])


def test_a_thing_is_followed(page, film, tmp_path):
    open_film(page, film)
    page.locator("#video-ask").click()
    page.wait_for_selector("#video-result video")
    assert "frames, mean score" in page.locator(".evf-plot").inner_text()
    path = b.download(page, "video", ".masks.zip", tmp_path)
    with zipfile.ZipFile(path) as archive:
        found = [np.asarray(Image.open(archive.open(name))) > 127 for name in archive.namelist()]
    overlaps = [iou(mask, real) for mask, real in zip(found, film[2], strict=True) if real.any()]
    assert np.mean(overlaps) > 0.5
    document = json.loads(b.download(page, "video", ".coco.json", tmp_path).read_text())
    assert document["videos"][0]["length"] == FILM_FRAMES


def test_cancel_stops_the_work(page, film):
    open_film(page, film)
    page.locator("#video-ask").click()
    page.wait_for_selector("#video-view .evf-rows")
    page.locator("#video-cancel").click()
    page.get_by_text("Cancelled; nothing was kept.").wait_for()
    page.wait_for_selector("#video-cancel", state="hidden")
    assert not page.locator("#video-result").is_visible()


def test_two_users_at_once_do_not_meet(chromium, url):
    users = [b.open_page(chromium, url) for _ in range(2)]
    for index, user in enumerate(users):
        b.take_example(user, "refer", index)
    for index, user in enumerate(users):
        expected = list(EXAMPLES[index].refer)
        assert b.wait_for_rows(user, "refer", len(expected)) == expected
        assert EXAMPLES[index].picture.name in user.locator("#refer-view .picture").get_attribute("alt")
        user.context.close()


@pytest.mark.parametrize("title", ["Refer", "Semantic", "Parts", "Video", "Compare"])
def test_nothing_is_wider_than_a_phone(chromium, url, title):
    page = b.open_page(chromium, url, 390, 844)
    b.open_tab(page, title)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.context.close()
