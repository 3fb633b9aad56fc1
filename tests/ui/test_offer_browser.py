"""The way to a published checkpoint in a real browser, from a Hub on loopback that serves the published layout."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evfsam.ui.offer import CANCEL_LOOKS, LOOK_S
from tests.checkpoints.fake_hub import FakeHub, fake_hub
from tests.random_model import save_random_model
from tests.ui import browser as b

pytestmark = pytest.mark.browser

NAME = "evf-sam2-multitask"
WEIGHTS = "model.safetensors"
OFFER = "document.querySelector('#evf-offer')?.innerText"
ON_ITS_WAY = f"/MB of .* MB\\/s/.test({OFFER})"


@pytest.fixture(scope="module")
def chromium():
    with b.chromium() as browser:
        yield browser


@pytest.fixture
def hub(tmp_path):
    """It serves a model of random weights under the published name."""
    with fake_hub() as hub:
        hub.folders[f"YxZhang/{NAME}"] = save_random_model(tmp_path / "published" / NAME)
        yield hub


@pytest.fixture
def url(hub, tmp_path):
    with b.running_app(tmp_path, **reaching(hub, tmp_path)) as address:
        yield address


def reaching(hub: FakeHub, home) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home / "hf"), "NO_PROXY": "*"}


def offered(page) -> str:
    return page.locator("#evf-offer").inner_text()


def test_the_button_downloads_with_progress_and_answers_the_same_question(chromium, url, hub):
    weights = (hub.folders[f"YxZhang/{NAME}"] / WEIGHTS).stat().st_size
    hub.bytes_per_second = weights / 4
    page = b.open_page(chromium, url)
    assert re.search(r"needs 3\.6 GB of disk, 4\.9 GB of memory", offered(page))
    b.take_example(page, "refer", 0)
    b.wait_for_downloads(page)
    rows = page.locator("#refer-view .evf-rows .chip").all_inner_texts()
    page.get_by_role("button", name=f"Get {NAME} (3.6 GB)").click()
    page.wait_for_function(ON_ITS_WAY)
    page.get_by_role("button", name="Cancel").locator("visible=true").wait_for()
    page.wait_for_function("document.querySelector('#model input').value.startsWith('evf-sam2-multitask')")
    page.wait_for_function(
        "document.querySelector('#refer-view').closest('.evf-answer').querySelector('a.evf-link')?.href"
        ".includes('model=evf-sam2-multitask')"
    )
    page.wait_for_selector(".evf-stale", state="detached")
    b.wait_for_rows(page, "refer", *rows)
    assert not page.locator("#evf-offer").is_visible()


def test_cancel_keeps_what_has_arrived(chromium, url, hub):
    hub.zeros[WEIGHTS] = 3_600_000_000
    hub.bytes_per_second = 20_000_000
    page = b.open_page(chromium, url)
    page.get_by_role("button", name=f"Get {NAME}").click()
    page.wait_for_function(f"{ON_ITS_WAY} && /left/.test({OFFER})")
    page.locator("#offer-cancel").click()
    page.get_by_role("button", name=f"Go on: {NAME}").wait_for()
    assert re.search(r"The \d+ MB that have arrived are kept", offered(page))

    page.get_by_role("button", name=f"Go on: {NAME}").click()
    page.wait_for_function(ON_ITS_WAY)
    assert hub.ranges and hub.ranges[0] > 0, "what had arrived was downloaded again"
    page.locator("#offer-cancel").click()
    page.get_by_role("button", name=f"Go on: {NAME}").wait_for()


@pytest.mark.slow  # waits until a visitor's wish is forgotten
def test_another_visitor_a_reload_and_a_server_that_dies(chromium, url, hub):
    hub.zeros[WEIGHTS] = 3_600_000_000
    hub.bytes_per_second = 20_000_000
    page = b.open_page(chromium, url)
    page.get_by_role("button", name=f"Get {NAME}").click()
    page.wait_for_function(ON_ITS_WAY)
    asked = len(hub.asked)
    other = b.open_page(chromium, url)
    other.wait_for_function(ON_ITS_WAY)
    other.locator("#offer-cancel").click()  # it belongs to the first visitor
    page.wait_for_function("(told) => document.querySelector('#evf-offer').innerText !== told", arg=offered(page))
    assert page.locator("#offer-cancel").is_visible() and len(hub.asked) == asked

    page.wait_for_timeout(1000 * (CANCEL_LOOKS + 1) * LOOK_S)  # until the other visitor's wish is forgotten
    page.reload()  # a page that is opened again shows the download
    page.wait_for_function(ON_ITS_WAY)
    page.locator("#offer-cancel").click()
    page.get_by_role("button", name=f"Get {NAME}").wait_for()

    hub.bytes_per_second, hub.stays_down, hub.break_off[WEIGHTS] = None, True, 1_000_000
    page.get_by_role("button", name=f"Get {NAME}").click()
    page.get_by_role("button", name=f"Try again: {NAME}").wait_for()
    assert re.search(r"status 503\); try again later", offered(page))


def test_beside_a_gpu_the_first_start_proposes_it_until_it_is_declined_or_taken(chromium, hub, tmp_path):
    beside_gpu = Path(__file__).with_name("app_beside_gpu.py")
    with b.running_app(tmp_path, script=beside_gpu, **reaching(hub, tmp_path)) as address:
        page, other = b.open_page(chromium, address), b.open_page(chromium, address)
        proposal = "This machine can run it: any words; needs 3.6 GB of disk, 3.1 GB of GPU memory"
        for visitor in (page, other):
            visitor.get_by_text(proposal).wait_for()
            assert "primary" in visitor.locator("#offer-get").get_attribute("class")
        page.get_by_role("button", name="Not now").click()
        page.get_by_text("Any words, any picture:").wait_for()  # the quiet offer stays
        page.reload()
        page.wait_for_selector("#refer-examples [data-ready]")
        b.take_example(page, "refer", 0)
        b.wait_for_downloads(page)  # by now the page has long asked what is offered
        assert "Any words, any picture:" in offered(page) and not page.locator("#offer-later").is_visible()

        assert proposal in offered(other)  # it was declined for one visitor
        other.locator("#offer-get").click()
        other.locator("#evf-offer").wait_for(state="hidden")
        assert other.locator("#model input").input_value().startswith(NAME)
