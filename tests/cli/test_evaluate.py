"""The verb evaluate prints and writes what the library computes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from evfsam.__main__ import main
from evfsam.cli.evaluate import _size_hw
from evfsam.data.scenes.dataset import SceneDataset
from evfsam.evaluation.runner import evaluate
from evfsam.predictor import Predictor
from tests.data import test_refer as refer
from tests.data.photographs import make_pack

SCENES = ["evaluate", "--data", "scenes", "--seed", "900000", "--count", "2", "--size", "64"]


@pytest.fixture
def model(random_checkpoint):
    return ["--model", str(random_checkpoint), "--device", "cpu"]


def test_scores_are_printed_and_written(model, random_checkpoint, tmp_path, capsys):
    path = tmp_path / "out.json"
    assert main([*SCENES, *model, "--probes", "oracle_point", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    predictor = Predictor.from_pretrained(random_checkpoint, device="cpu")
    scores = evaluate(predictor, SceneDataset(range(900_000, 900_002), (64, 64))).to_json()["scores"]
    assert result["scores"]["model"] == scores["model"]
    assert (result["model"], result["samples"], result["data"]) == (
        "random-sam2",
        2,
        "scenes from seed 900000, 64 x 64 px",
    )
    table = capsys.readouterr().out
    for kind, row in result["scores"]["oracle_point"].items():
        assert f"{row['giou']:.3f}" in table and kind.split("/")[-1] in table


def test_one_command_writes_everything_and_goes_on_where_it_stopped(model, tmp_path, capsys):
    records, sheet = tmp_path / "records.jsonl", tmp_path / "worst.jpg"
    command = [*SCENES, *model, "--records", str(records), "--worst", "3", str(sheet), "--json", "-"]
    assert main(command) == 0
    first = json.loads(capsys.readouterr().out)
    rows = [json.loads(line) for line in records.read_text().splitlines()]
    assert {"name", "prompt", "kind", "iou", "intersection", "union"} <= set(rows[0])
    assert {row["name"] for row in rows} == {"scene 900000", "scene 900001"}
    assert Image.open(sheet).format == "JPEG"
    records.write_text(records.read_text()[:-200])
    assert main([*command, "--resume"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == first["scores"]
    assert len(records.read_text().splitlines()) == len(rows)


def scores_file(path: Path, giou: float, prompts: int = 4, data: str = "refcoco:val", several: bool = False) -> str:
    row = {"prompts": prompts, "absent": 0, "giou": giou, "ciou": 0.5, "miou": giou, "oiou": 0.5, "n_acc": None}
    report = {"schema": 1, "data": data, "scores": {"model": {"referring": row}}}
    path.write_text(json.dumps({"schema": 1, "reports": [report]} if several else report))
    return str(path)


@pytest.mark.parametrize("several", [False, True])
def test_two_files_of_scores_are_compared_without_a_model(several, tmp_path, capsys):
    before = scores_file(tmp_path / "a.json", 0.5)
    after = scores_file(tmp_path / "b.json", 0.625, several=several)
    assert main(["evaluate", "--compare", before, after]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["data", "answers", "prompts", "of", "prompts", "gIoU", "cIoU"]
    assert row.split() == ["refcoco:val", "model", "referring", "4", "+0.125", "+0.000"]
    assert main(["evaluate", "--compare", before, scores_file(tmp_path / "b.json", 0.6, prompts=3)]) == 0
    assert "different numbers of prompts" in capsys.readouterr().out


@pytest.mark.parametrize("spoil", ["other data", "no scores", "another schema", "no JSON", "missing"])
def test_files_that_cannot_be_compared_are_told(spoil, tmp_path, capsys):
    before, after = scores_file(tmp_path / "a.json", 0.5), scores_file(tmp_path / "b.json", 0.5)
    told = "does not hold scores"
    if spoil == "other data":
        after, told = scores_file(tmp_path / "b.json", 0.5, data="refcoco:testA"), "in common"
    elif spoil == "missing":
        after, told = str(tmp_path / "c.json"), "c.json"
    else:
        texts = {"no scores": "[1]", "another schema": '{"schema": 99}', "no JSON": "{"}
        Path(after).write_text(texts[spoil])
        told = "b.json" if spoil == "no JSON" else told
    assert main(["evaluate", "--compare", before, after]) == 2
    assert re.search(told, capsys.readouterr().err)


def test_photographs_are_scored_from_their_folder(model, tmp_path, capsys):
    folder = make_pack(tmp_path)
    command = ["evaluate", "--data", "ccp:val", "--root", str(folder), "--limit", "1", "--probes", "constant_mask"]
    assert main([*command, *model, "--json", "-"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert scores["model"]["semantic/coat"]["prompts"] == scores["constant_mask"]["semantic/coat"]["prompts"] == 1


def test_the_command_for_the_papers_table_2_prints_it_and_goes_on_where_it_stopped(
    model, tmp_path, capsys, monkeypatch
):
    """As docs/evaluation.md has it, on miniatures in the sets' own format."""
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    section = page[page.index("## The paper's table 2") :]
    text = re.search(r"    python -m (evfsam evaluate .*?)\n\n", section, re.S)[1].replace("\\\n", " ")
    for name in ("refcoco", "refcoco+", "refcocog"):
        splits = ("val", "test") if name == "refcocog" else ("val", "testA", "testB")
        refs = [refer.ref(i, 1000, 1 + i % 2, split, f"box {i}") for i, split in enumerate(splits)]
        refer.make(tmp_path, name, refs)
    monkeypatch.chdir(tmp_path)
    command = [{"evf-sam2": model[1], "DIR": str(tmp_path)}.get(word, word) for word in text.split()[1:]]
    command += ["--device", "cpu", "--worst", "2", "worst.jpg"]
    assert main(command) == 0
    table, document = capsys.readouterr().out, json.loads(Path("table2.json").read_text())
    rows = [line.split() for line in table.splitlines()]
    sets = [f"{name}:{split}" for name in ("refcoco", "refcoco+") for split in ("val", "testA", "testB")]
    sets += ["refcocog:val", "refcocog:test"]
    assert [row[0] for row in rows] == ["data", *sets, "mean"]
    column = rows[0].index("cIoU") - 1  # "prompts of" are two words
    ciou = [report["scores"]["model"]["referring"]["ciou"] for report in document["reports"]]
    assert [row[column] for row in rows[1:]] == [f"{value:.3f}" for value in (*ciou, sum(ciou) / len(sets))]
    assert Path("worst.refcoco+-val.jpg").is_file()
    alone = ["evaluate", "--data", "refcoco+:val", "--root", str(tmp_path), *model, "--reference-quirks", "--json", "-"]
    assert main(alone) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == document["reports"][3]["scores"]
    answers = Path("table2.refcocog-val.jsonl")
    written = answers.read_text()
    answers.write_text(written[: len(written) // 2])
    assert main(command) == 0
    assert capsys.readouterr().out == table and answers.read_text() == written


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--data", "scenes", "refcoco:val"], "--root"),
        (["--data", "scenes", "refcoco:val", "--seed", "900001"], "--seed is for"),
        (["--data", "ccp"], "--root"),
        (["--data", "refcoco2030"], "Known ones: .*scenes"),
        (["--data", "scenes:best"], "no split 'best'"),
        (["--data", "ccp", "--root", "nowhere"], "There is no nowhere"),
        (["--data", "ccp", "--seed", "1"], "--seed is for"),
        (["--workers", "0"], "from 1 to 256"),
        (["--json", "nowhere/scores.json"], "no folder 'nowhere'"),
        (["--records", "nowhere/x.jsonl"], "no folder 'nowhere'"),
        (["--size", "wide"], "--size is"),
        (["--size", "320x"], "--size is"),
        (["--worst", "no", "x.jpg"], "--worst is"),
        (["--probes", "magic"], "Known ones: .*oracle_box"),
        (["--data", "clips", "--probes", "oracle_box"], "oracle_box is for images"),
        (["--resume"], "--records"),
        (["--data", "scenes:test", "--limit", "0"], "--limit is 0"),
    ],
)
def test_what_cannot_be_measured_is_said(model, capsys, options, told):
    assert main(["evaluate", *options, *model]) == 2
    assert re.search(told, capsys.readouterr().err)


@pytest.mark.parametrize(("size", "size_hw"), [("64", (64, 64)), ("96x32", (32, 96))])
def test_sizes_are_width_and_height(size, size_hw):
    assert _size_hw(size) == size_hw
