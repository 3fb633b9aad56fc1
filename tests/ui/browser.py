"""The app as a process of its own, and a Chromium to look at it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Error, Locator, Page, sync_playwright

ROOT = Path(__file__).parents[2]
APP = ROOT / "app.py"
TITLES = {"refer": "Refer", "semantic": "Semantic", "parts": "Parts", "video": "Video", "compare": "Compare"}
PATIENCE_S = 120  # for a model on a busy machine
VIEWPORT = {"width": 1400, "height": 900}
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def running_app(temp: Path, *arguments: str, script: Path = APP, **variables: str) -> Iterator[str]:
    """``python app.py`` on a free port, without a network unless the variables name one; gives its address."""
    process, url = start_app(temp, *arguments, script=script, **variables)
    try:
        yield url
    finally:
        process.terminate()
        process.wait()


def start_app(temp: Path, *arguments: str, script: Path = APP, **variables: str) -> tuple[subprocess.Popen, str]:
    """The process of ``python app.py``, which answers by now, and its address; ``script``: what starts it instead."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "GRADIO_ANALYTICS_ENABLED": "0",
        "GRADIO_TEMP_DIR": str(temp / "gradio"),
        "HF_HUB_OFFLINE": "1",
        **variables,
    }
    log = temp / "app.log"
    with log.open("w") as file:
        command = [sys.executable, str(script), "--port", str(port), *arguments]
        process = subprocess.Popen(
            command, env=environment, stdout=file, stderr=subprocess.STDOUT, preexec_fn=_hear_ctrl_c
        )
    url = f"http://127.0.0.1:{port}/"
    try:
        _wait_for(url, process, log)
    except BaseException:
        process.kill()
        raise
    return process, url


def _hear_ctrl_c() -> None:
    """Jobs in the background of a script ignore it, and so would the app."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        assert process.poll() is None, f"the app ended: {log.read_text()}"
        try:
            urllib.request.urlopen(url)
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"the app did not answer: {log.read_text()}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window: one that is installed, else Playwright's own."""
    installed = _installed()
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        assert installed or own.exists(), "install Chromium: apt-get install chromium, or playwright install chromium"
        browser = playwright.chromium.launch(executable_path=installed, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@contextmanager
def with_profile(browser: Browser, folder: Path) -> Iterator[BrowserContext]:
    """One more such browser, with a profile on disk, as people have.

    It keeps the compiled code of the page there, which takes a third of the work until a page is shown. Contexts
    without a profile compile it for each page.
    """
    context = browser.browser_type.launch_persistent_context(
        folder, executable_path=_installed(), args=CHROMIUM_FLAGS, viewport=VIEWPORT
    )
    yield context
    context.close()


def _installed() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def open_page(browser: Browser, url: str, width: int = 1400, height: int = 900, touch: bool = False) -> Page:
    """The page as a newcomer sees it, in a session of its own; ``touch``: on a screen to touch."""
    return show(browser.new_context(viewport={"width": width, "height": height}, has_touch=touch), url)


def show(context: BrowserContext, address: str) -> Page:
    """The page in one more tab of a browser."""
    return load(context.new_page(), address)


def load(page: Page, address: str) -> Page:
    """The page in a tab that is there."""
    page.set_default_timeout(PATIENCE_S * 1000)
    page.goto(address)
    page.wait_for_selector("#tabs")
    return page


def leave(page: Page) -> None:
    """Empty a tab: whatever is loaded in it next finds nothing of what was there."""
    page.context.clear_cookies()
    page.context.clear_permissions()
    page.unroute_all(behavior="ignoreErrors")
    page.keyboard.up("Control")
    page.mouse.up()
    with suppress(Error):  # an empty page keeps nothing
        page.evaluate("localStorage.clear(); sessionStorage.clear()")
    page.goto("about:blank")
    page.set_viewport_size(VIEWPORT)
    page.mouse.move(0, 0)


def open_tab(page: Page, title: str) -> None:
    page.get_by_role("tab", name=title, exact=True).click()


def take_example(page: Page, tab: str, index: int) -> None:
    """Click an example of a tab, by its place."""
    ready = page.locator(f"#{tab}-examples[data-ready], #{tab}-examples [data-ready]")
    ready.locator(f"[data-index='{index}']").click()


def choose_model(page: Page, name: str) -> None:
    """Choose a checkpoint by typing its name."""
    page.locator("#model input").fill(name)
    page.keyboard.press("Enter")


def wait_for_rows(page: Page, tab: str, *labels: str) -> None:
    """Wait for an answer with these rows."""
    page.wait_for_function(
        "([selector, labels]) => labels === "
        "[...document.querySelectorAll(selector)].map((chip) => chip.innerText.trim()).join()",
        arg=[f"#{tab}-view .evf-rows > li > .head .chip", ",".join(labels)],
    )


def point_on(page: Page, tab: str, x: float, y: float) -> tuple[float, float]:
    """Where a place of the stage, in shares of its width and height, lies on the screen."""
    stage = page.locator(f"#{tab}-view .evf-stage")
    stage.scroll_into_view_if_needed()
    frame = stage.bounding_box()
    return frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag the mouse."""
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def touch_drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag a finger."""
    session = page.context.new_cdp_session(page)
    middle = tuple((a + b) / 2 for a, b in zip(start, end, strict=True))
    for kind, at in (("Start", start), ("Move", middle), ("Move", end), ("End", None)):
        points = [{"x": at[0], "y": at[1]}] if at else []
        session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    session.detach()


@contextmanager
def finger_on(page: Page, at: tuple[float, float]) -> Iterator[None]:
    """A finger that rests on the screen meanwhile."""
    session = page.context.new_cdp_session(page)
    down = [{"x": at[0], "y": at[1]}]
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": down})
    yield
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()


def area_of(page: Page, tab: str, row: int) -> str:
    """The share of the picture that a row tells."""
    return page.locator(f"#{tab}-view .evf-rows .area").nth(row).inner_text()


def download(page: Page, tab: str, ending: str, folder: Path) -> Path:
    """Save one of a tab's single files, found by the end of its name."""
    _open_downloads(page, tab)
    return save(page, page.locator(f"#{tab}-files a[download$='{ending}']").first, folder)


def download_zip(page: Page, tab: str, folder: Path) -> Path:
    """Save the zip of all of a tab's files."""
    _open_downloads(page, tab)
    return save(page, page.locator(f"#{tab}-zip"), folder)


def wait_for_downloads(page: Page) -> Locator:
    """The heading of the downloads, which is there as soon as they are: the end of an answer."""
    heading = page.get_by_role("button", name="Downloads").locator("visible=true")
    heading.wait_for()
    return heading


def _open_downloads(page: Page, tab: str) -> None:
    heading = wait_for_downloads(page)
    if not page.locator(f"#{tab}-zip").is_visible():
        heading.click()


def save(page: Page, link: Locator, folder: Path) -> Path:
    """Click a link that downloads a file."""
    with page.expect_download() as saved:
        link.click()
    path = folder / saved.value.suggested_filename
    saved.value.save_as(path)
    return path
