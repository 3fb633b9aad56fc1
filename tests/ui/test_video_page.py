"""The video tab's buttons over HTTP, in the order in which a user presses them."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from evfsam.ui import video_work
from tests.ui.test_turns import FRAMES, Api, private
from tests.ui.test_turns import files as files  # a fixture

WORDS = "the dog, the tree"


class Tab:
    """A session of the page: its states are kept by the app, all other values are given with each press."""

    def __init__(self, app, files):
        self.app, self.api, self.files = app, Api(app), files

    def press(self, handler: str, event: dict | None = None, **values) -> dict:
        """Run a handler. Names of inputs and outputs are the ``elem_id`` without "video-"."""
        function, data = private(self.app, f"video.{handler}", self.files)
        inputs, outputs = (map(_name, part) for part in (self.app.fns[function].inputs, self.app.fns[function].outputs))
        data = [{"phrases": WORDS, **values}.get(name, value) for name, value in zip(inputs, data, strict=True)]
        *_, connection = self.api.start_private(function, data, "session-tab", event)
        with closing(connection):
            lines = connection.stream.read().decode().splitlines()
        told = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
        done = next(message for message in told if message["msg"] == "process_completed")
        assert done["success"], done
        return dict(zip(outputs, done["output"]["data"], strict=True))


def _name(component) -> str:
    return (getattr(component, "elem_id", None) or str(component._id)).removeprefix("video-")


@pytest.fixture
def tab(app, files, monkeypatch):
    monkeypatch.setattr(video_work, "require_video", lambda *_: None)  # random weights track, but claim nothing
    return Tab(app, files)


def test_a_clip_is_looked_at_followed_corrected_and_taken_back(tab):
    tab.press("on_clip")
    shown = tab.press("on_look", frame=3)
    assert shown["view"].count("<li>") == 2 and shown["ask"]["value"] == "Follow"
    tab.press("on_start", frame=3)
    shown = tab.press("on_go")
    assert shown["result"]["visible"] and shown["result"]["value"]["path"].endswith(".overlay.mp4")
    shown = tab.press("on_end", frame=5)
    assert "frame 5" in shown["view"] and "Named on another frame" not in shown["view"]
    assert shown["ask"]["value"] == "Follow" and not shown["cancel"]["visible"]
    shown = tab.press("on_click", {"value": "1", "index": [30, 20, 30, 20], "beside": False}, frame=FRAMES - 3)
    assert 'class="plus"' in shown["view"] and shown["ask"]["value"] == f"Follow again from frame {FRAMES - 3}"
    tab.press("on_start", frame=FRAMES - 3)
    tab.press("on_go")
    shown = tab.press("on_end", frame=FRAMES - 3)
    assert 'class="plus"' in shown["view"] and shown["ask"]["value"] == "Follow"
    shown = tab.press("on_undo", frame=FRAMES - 3)
    assert shown["ask"]["value"] == f"Follow again from frame {FRAMES - 3}" and shown["result"]["visible"]
    shown = tab.press("on_redo", frame=FRAMES - 3)
    assert shown["ask"]["value"] == "Follow"
    shown = tab.press("on_delete", {"value": "1", "index": "0"}, frame=FRAMES - 3)
    assert 'class="plus"' not in shown["view"]
    assert shown["ask"]["value"] == f"Follow again from frame {FRAMES - 3}"
    shown = tab.press("on_frame", frame=0)
    assert "Named on another frame" in next(iter(shown.values()))
