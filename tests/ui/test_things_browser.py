"""Things one by one, and several pictures in one go, in a real browser."""

from __future__ import annotations

import re
import zipfile

import pytest

from evfsam.resources import ASSETS
from evfsam.ui.examples import read_examples
from tests.ui import browser as b

pytestmark = pytest.mark.browser

STREET = next(example for example in read_examples() if example.file.stem == "street")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with b.running_app(tmp_path_factory.mktemp("app"), "--model", "evf-sam2-tiny") as address:
        yield address


@pytest.fixture(scope="module")
def page(url):
    with b.chromium() as browser:
        yield b.open_page(browser, url)


def shown(page) -> list[str]:
    """The rows whose fill is seen on the picture."""
    fills = page.locator("#refer-view .fill:not(.folded, .away)")
    return [fill.get_attribute("data-row") for fill in fills.all()]


def test_every_balloon_unfolds_and_a_click_chooses_one(page, tmp_path):
    b.take_example(page, "refer", 0)
    b.wait_for_rows(page, "refer", *STREET.refer)
    page.locator("#refer-phrases textarea").fill("every balloon")
    page.locator("#refer-phrases textarea").press("Enter")
    b.wait_for_rows(page, "refer", "every balloon")
    assert shown(page) == ["0.0", "0.1"]
    assert [n.text_content() for n in page.locator("#refer-view .number .sign").all()] == ["1", "2"]
    for number in ("1", "0"):
        box = page.locator(f"#refer-view .fill[data-row='0.{number}']").bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
        page.wait_for_selector(f"#refer-view .chip[data-row='0.{number}'][aria-pressed='true']")
        assert shown(page) == [f"0.{number}"]
        page.keyboard.press("Escape")
    page.locator("#refer-view .fold").click()
    page.wait_for_selector("#refer-view .evf-things", state="hidden")
    assert shown(page) == ["0"] and not page.locator("#refer-view .number").first.is_visible()
    page.locator("#refer-view .fold").click()
    page.wait_for_selector("#refer-view .evf-things", state="visible")


def test_yolo_in_the_downloads(page, tmp_path):
    page.get_by_role("button", name="Downloads").first.click()
    page.locator("#refer-format").get_by_label("YOLO").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('#refer-files a')].some((a) => a.href.endsWith('data.yaml'))"
    )
    with zipfile.ZipFile(b.download_zip(page, "refer", tmp_path)) as archive:
        assert len(archive.read("labels/street.txt").splitlines()) == 2
        assert b'0: "balloon"' in archive.read("data.yaml")


DROP = """async ([target, names]) => {
  const bag = new DataTransfer(), canvas = Object.assign(document.createElement("canvas"), { width: 48, height: 32 });
  const drawn = await new Promise((done) => canvas.toBlob(done));
  for (const name of names) bag.items.add(new File([drawn], name, { type: "image/png" }));
  const drop = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: bag });
  document.querySelector(target).dispatchEvent(drop);
}"""


def test_several_pictures_dropped_on_the_picture_go_where_several_belong(page, url):
    other = b.open_page(page.context.browser, url)
    other.wait_for_selector("#refer-examples [data-ready], #refer-examples[data-ready]", state="attached")
    other.evaluate(DROP, ["#refer-picture button", ["a.png", "b.png"]])
    other.wait_for_function("document.querySelectorAll('#refer-pictures .file').length === 2")
    assert other.locator("#refer-ask-all").is_visible() and not other.locator("#refer-picture img").count()
    other.context.close()


@pytest.mark.parametrize("tab", ["refer", "semantic"])
def test_several_pictures_in_one_go(page, tab, tmp_path):
    b.open_tab(page, b.TITLES[tab])
    fake = tmp_path / "fake.jpg"
    fake.write_bytes(b"no picture")
    pictures = [str(ASSETS / "examples" / name) for name in ("street.jpg", "harbour.jpg")]
    page.locator(f"#{tab}-{'phrases textarea' if tab == 'refer' else 'typed input, #semantic-typed textarea'}").fill(
        "every balloon, the bus" if tab == "refer" else "balloon, sky"
    )
    page.locator(f"#{tab}-several").get_by_role("button").first.click()
    page.locator(f"#{tab}-pictures input[type=file]").set_input_files([*pictures, str(fake)])
    page.wait_for_function(f"() => document.querySelectorAll('#{tab}-pictures .file').length === 3")
    page.locator(f"#{tab}-ask-all").click()
    link = page.locator(f"#{tab}-all-zip")
    link.wait_for(state="visible")
    assert page.locator(f"#{tab}-gallery img").count() == 2
    assert page.get_by_text(re.compile("fake.jpg")).last.is_visible()
    with page.expect_download() as download:
        link.click()
    target = tmp_path / "all.zip"
    download.value.save_as(target)
    with zipfile.ZipFile(target) as archive:
        assert {"street.overlay.png", "harbour.overlay.png", "annotations.coco.json"} <= set(archive.namelist())
