"""The command behind docs/paper-questions.md, on a few scenes and steps."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from benchmarks import paper_questions


@pytest.mark.slow
def test_the_command_trains_scores_resumes_and_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paper_questions, "ROWS", tuple(paper_questions.ROWS[i] for i in (0, 9)))
    few = ["--steps", "1", "--pretraining", "1", "--scenes", "2", "--held-out", "1", "--out", str(tmp_path / "run")]
    plot = tmp_path / "plot.svg"
    assert paper_questions.main([*few, "--seeds", "0"]) == 0
    first = (tmp_path / "run" / "results.jsonl").read_text()
    assert paper_questions.main([*few, "--seeds", "0", "1", "--plot", str(plot)]) == 0
    every = (tmp_path / "run" / "results.jsonl").read_text()
    assert every.startswith(first) and len(every.splitlines()) == 4  # finished runs are not repeated
    rows = [json.loads(line) for line in every.splitlines()]
    assert all(0 <= row[score] <= 1 for row in rows for score in paper_questions.SCORES)
    assert "without the [semantic] token (7) |" in capsys.readouterr().out
    assert len(ElementTree.fromstring(plot.read_text()).findall("{*}circle")) == 2 * len(rows)
