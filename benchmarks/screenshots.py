"""Pictures of the running app for the README, one a tab, in light and dark and on a phone.

python -m benchmarks.screenshots docs/pictures
"""

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.ui.browser import chromium, open_page, open_tab, running_app, take_example

TABS = {"refer": "Refer", "semantic": "Semantic", "parts": "Parts"}


def shoot(browser: Browser, url: str, folder: Path, theme: str, width: int, height: int, suffix: str) -> None:
    """Every tab that has examples, with the answer to its first one."""
    for tab, title in TABS.items():
        page = open_page(browser, url, width, height, f"?__theme={theme}")
        open_tab(page, title)
        take_example(page, tab, 0)
        page.wait_for_selector(f"#{tab}-view .evf-rows")
        settle(page)
        page.screenshot(path=folder / f"app-{tab}{suffix}.png")
        page.context.close()


def settle(page: Page) -> None:
    """Wait until nothing moves any more."""
    page.wait_for_load_state("networkidle")
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temp, running_app(Path(temp)) as url, chromium() as browser:
        shoot(browser, url, folder, "light", 1360, 1000, "")
        shoot(browser, url, folder, "dark", 1360, 1000, "-dark")
        shoot(browser, url, folder, "light", 390, 844, "-phone")


if __name__ == "__main__":
    main()
