"""The README tells the truth: its examples run, its tree is the tree, its links lead somewhere."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

import evfsam
from evfsam.media.video import VideoReader
from evfsam.media.video_writer import open_writer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

# A fenced block, and the comment before it that says why it is not run here.
BLOCK = re.compile(r"(?:<!-- (?:not )?run by (?P<reason>.+?) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)```", re.S)
BLOCKS = [match.groupdict() for match in BLOCK.finditer(README)]
COUNT = re.compile(r"--count \d+")  # whatever it is, the same command is run on fewer scenes


@pytest.fixture
def clone(tmp_path):
    """A folder that looks like a clone to a command, where it may write; its clip has fewer frames."""
    (tmp_path / "evfsam").symlink_to(ROOT / "evfsam")
    examples = tmp_path / "assets" / "examples"
    examples.mkdir(parents=True)
    for path in (ROOT / "assets" / "examples").iterdir():
        if path.name != "street.mp4":
            (examples / path.name).symlink_to(path)
    clip = VideoReader(ROOT / "assets" / "examples" / "street.mp4", end_s=0.5)
    with open_writer(examples / "street.mp4", clip.info.fps) as writer:
        for index, frame in enumerate(clip):
            writer.write(frame, *clip.time_of(index))
    return tmp_path


def code_of(language: str, text: str = README) -> list[str]:
    blocks = [match.groupdict() for match in BLOCK.finditer(text)]
    return [b["code"] for b in blocks if b["language"] == language and not b["reason"]]


def test_the_python_examples_run_one_after_the_other(clone, monkeypatch, capsys):
    monkeypatch.chdir(clone)
    names: dict = {}
    assert code_of("python")
    for code in code_of("python"):
        exec(compile(code, "README.md", "exec"), names)
    assert "yellow balloon: " in capsys.readouterr().out
    assert (clone / "yellow balloon.png").is_file()
    assert names["result"].mask.shape == (640, 960)


def test_the_examples_of_the_python_page_run(clone, monkeypatch, capsys):
    monkeypatch.chdir(clone)
    names: dict = {}
    for code in code_of("python", (ROOT / "docs" / "python.md").read_text(encoding="utf-8")):
        exec(compile(code, "docs/python.md", "exec"), names)
    said = capsys.readouterr().out
    assert "yellow balloon: " in said and "The prompt is empty" in said
    assert names["detections"].mask.shape[1:] == names["results"][0].mask.shape
    assert len(names["frames"]) == len(names["clip"])


@pytest.mark.parametrize("line", [line for code in code_of("bash") for line in code.splitlines()])
def test_the_shell_examples_run(line, clone, monkeypatch, capsys):
    command = shlex.split(COUNT.sub("--count 1", line))
    assert command[:3] == ["python", "-m", "evfsam"]
    monkeypatch.chdir(clone)
    monkeypatch.setattr("sys.argv", command[2:])
    with pytest.raises(SystemExit) as ended:  # python -m, but packages are imported once for all examples
        runpy.run_module("evfsam", run_name="__main__", alter_sys=True)
    told = capsys.readouterr()
    assert not ended.value.code and told.out, told.err
    for option in ("-o", "--json"):
        if option in command:
            assert (clone / command[command.index(option) + 1]).exists()


def test_the_tree_is_the_tree():
    tree = next(block["code"] for block in BLOCKS if "app.py" in block["code"] and not block["language"])
    folder = Path()
    for line in tree.splitlines():
        indented, name = line.startswith(" "), line.split()[0]
        path = folder / name if indented else Path(name)
        folder = folder if indented else path
        assert (ROOT / path).exists(), path
    told = {line.split()[0].split("/")[0] for line in tree.splitlines() if line.startswith(" ")}
    entries = (ROOT / "evfsam").iterdir()
    there = {path.name for path in entries if path.name[0] not in "._" and (path.is_dir() or path.suffix == ".py")}
    assert there <= told, there - told


def test_the_table_of_models_is_the_registry():
    table = re.search(r"^name \|.*\n[-|]+\n((?:.+\n)+)", README, re.M)[1]
    rows = [[cell.strip(" `") for cell in line.split("|")] for line in table.splitlines() if "`evf-" in line]
    told = {row[0]: tuple(cell == "yes" for cell in row[2:]) for row in rows}
    columns = ({"semantic", "parts"}, {"video"})
    able = {m.name: tuple(column <= set(m.capabilities) for column in columns) for m in evfsam.list_models()}
    assert all("referring" in m.capabilities for m in evfsam.list_models())
    assert told == able


PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "assets" / "checkpoints").glob("*/*.md")]
LINKS = {(page, link) for page in PAGES for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))}


def anchors(page: Path) -> list[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize(("page", "link"), sorted(LINKS), ids=lambda part: getattr(part, "name", part))
def test_local_links_lead_somewhere(page, link):
    if not link.startswith(("https://", "http://")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists() and (not anchor or anchor in anchors(target))


def test_the_front_matter_fits_the_requirements():
    """A Space installs sdk_version, which requirements.txt must allow; it starts app_file."""
    front = dict(re.findall(r"^(\w+): (.+)$", README.split("---")[1], re.M))
    lowest = re.search(r"^gradio>=([\d.]+),<(\d+)", (ROOT / "requirements.txt").read_text(), re.M)
    version = tuple(map(int, front["sdk_version"].split(".")))
    assert tuple(map(int, lowest[1].split("."))) <= version < (int(lowest[2]),)
    assert (ROOT / front["app_file"]).is_file() and front["sdk"] == "gradio"
