"""Every row of the corpus gets its mask or its sentence, at the door where it is asked."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest

from evfsam import predictor
from evfsam.ui.app import build_app, serve
from evfsam.ui.service import ModelService
from evfsam.ui.settings import Settings
from tests.corpus.doors import Question, RefusedError, command_line_door, http_door, python_door
from tests.corpus.rows import COMMAND_LINE, HTTP, PLAIN, PYTHON, ROWS

LONGEST = 400  # letters of a sentence


@pytest.fixture(scope="module")
def url(no_certificates):
    service = ModelService(Settings(device="cpu"))
    app = build_app(service)
    serve(app, Settings(device="cpu"), prevent_thread_lock=True)
    yield app.local_url
    app.close()


@pytest.fixture(scope="module")
def in_python():
    return python_door(predictor.Predictor.from_pretrained(device="cpu"))


@pytest.fixture(scope="module")
def mask_of(in_python):
    """The mask of a plain question; many rows have the same one."""
    masks = {}

    def ask(question: Question) -> np.ndarray:
        image = question.image if isinstance(question.image, bytes) else question.image.tobytes()
        key = image, question.prompt, str(question.points), question.box
        if key not in masks:
            masks[key] = in_python(question)
        return masks[key]

    return ask


@pytest.fixture(scope="module", autouse=True)
def weights_are_read_once():
    """Each command reads the same file otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictor, "load_checkpoint", functools.cache(predictor.load_checkpoint))
        yield


@pytest.fixture
def ask(request, in_python, tmp_path, capsys):
    """A door by its name."""

    def at(door: str):
        if door == HTTP:
            return http_door(request.getfixturevalue("url"))
        return in_python if door == PYTHON else command_line_door(tmp_path, capsys.readouterr)

    return at


def test_the_corpus_is_large_and_its_plain_question_finds_something(in_python):
    assert len(ROWS) >= 300 and {row.door for row in ROWS} == {PYTHON, COMMAND_LINE, HTTP}
    assert 0.02 < in_python(PLAIN).mean() < 0.5


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.door}, {row.name}"[:80])
def test_row(row, ask, mask_of):
    if row.same_as is None:
        with pytest.raises(RefusedError) as refused:
            ask(row.door)(row.question)
        told = str(refused.value)
        assert re.search(row.words, told), told
        assert "\n" not in told and 10 < len(told) < LONGEST and told.endswith("."), told
        assert not re.search("Traceback|unexpected|upstream|fn_index", told), told
    else:
        assert np.array_equal(ask(row.door)(row.question), mask_of(row.same_as))
