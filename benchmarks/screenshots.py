"""Screenshots of the running app for the docs: every tab with a result, and the first one in dark mode.

    python -m benchmarks.screenshots

Needs Chromium, which ``bash tests/run.sh`` installs.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page

from evfsam.ui.comparison import CHECKPOINTS
from evfsam.ui.examples import read_examples
from tests.ui.browser import TITLES, chromium, open_page, open_tab, running_app, take_example

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
COMPARED = "evf-sam2-tiny,evf-sam-tiny,evf-sam2-tiny-coco,refersam-tiny"
ANSWERED = {"compare": "#compare-pair .evf-slider", "video": "#video-result video"}


@dataclass(frozen=True)
class Shot:
    """A tab with the result of an example. ``name`` is the file's name, ``link`` a query; sizes are in CSS pixels."""

    name: str
    tab: str
    theme: str = "light"
    width: int = 1360
    height: int = 960
    example: int = 0
    link: str = ""


SHOTS = (
    Shot("app-refer", "refer"),
    Shot("app-semantic", "semantic"),
    Shot("app-parts", "parts"),
    Shot("app-video", "video"),
    Shot("app-compare", "compare", height=1160, link=f"tab=compare&by={CHECKPOINTS}&of={COMPARED}"),
    Shot("app-place", "compare", example=len(read_examples())),
    Shot("app-dark", "refer", "dark"),
)


def shoot(browser: Browser, url: str, shot: Shot, folder: Path) -> Path:
    """Take one screenshot. Returns its file."""
    page = open_page(browser, f"{url}?__theme={shot.theme}&{shot.link}", shot.width, shot.height)
    open_tab(page, TITLES[shot.tab])
    take_example(page, shot.tab, shot.example)
    page.wait_for_selector(f"#{shot.tab}-view .evf-rows" if shot.tab != "compare" else ANSWERED["compare"])
    if shot.tab == "video":
        page.locator("#video-ask").click()
        page.wait_for_selector(ANSWERED["video"])
        page.wait_for_selector("#video-cancel", state="hidden")
    settle(page)
    path = folder / f"{shot.name}.jpg"
    page.screenshot(path=path, type="jpeg", quality=88)
    page.context.close()
    return path


def settle(page: Page) -> None:
    """Wait until animations end, and scroll to the top of the page."""
    page.evaluate("scrollTo(0, 0)")
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temp, running_app(Path(temp)) as url, chromium() as browser:
        for shot in SHOTS:
            print(shoot(browser, url, shot, folder))


if __name__ == "__main__":
    main()
