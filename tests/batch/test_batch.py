"""Every item of a batch is answered exactly once, whatever its source, and whatever stops the run."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from evfsam.__main__ import main
from evfsam.batch.items import find_items, read_prompts
from evfsam.batch.results import read_rows
from evfsam.data.scenes import make_scene, render
from evfsam.errors import InputError
from evfsam.media.export import decode_rle
from evfsam.media.video_writer import open_writer
from evfsam.predictor import Predictor

pytest.importorskip("pyarrow")
PROMPTS = ["the red car", "[semantic] sky"]


def scene(seed: int) -> np.ndarray:
    return np.ascontiguousarray(render(make_scene(900_000 + seed), (48, 64)).image)


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(scene(seed)).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(PROMPTS) + "\n\n")
    return str(path)


@pytest.fixture
def photos(tmp_path):
    """Five images in a folder with an inner one, one of them damaged."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for i in range(4):
        (folder / ("more" if i == 3 else "") / f"{i}.png").write_bytes(png(i))
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "notes.md").write_text("not asked for")
    (folder / ".cache").mkdir()
    for hidden in (folder / "._0.png", folder / ".cache" / "0.png"):
        hidden.write_bytes(b"not looked at")
    return folder


def batch(source, prompts, out, checkpoint, *more: str) -> int:
    chosen = ["--prompts", prompts] if prompts else []
    return main(["batch", str(source), *chosen, "-o", str(out), "--model", str(checkpoint), "--device", "cpu", *more])


def test_a_folder(photos, prompts, tmp_path, random_checkpoint, capsys):
    out = tmp_path / "out"
    assert batch(photos, prompts, out, random_checkpoint, "--part", "2", "--coco") == 0
    rows = list(read_rows(out))
    answered = [row for row in rows if row["error"] is None]
    assert Counter(row["item"] for row in answered) == {f"{name}.png": 2 for name in ("0", "1", "2", "more/3")}
    (bad,) = (row for row in rows if row["error"])
    assert bad["item"] == "broken.jpg" and bad["rle"] is None
    told = capsys.readouterr()
    assert "broken.jpg" in told.err and "5 items in 3 files; 1 bad" in told.out
    assert (out / "bad.txt").read_text().startswith("broken.jpg: ")
    expected = Predictor.from_pretrained(random_checkpoint, "cpu").segment(scene(1), PROMPTS)
    for row, found in zip([row for row in rows if row["item"] == "1.png"], expected, strict=True):
        rle = {"size": [row["height"], row["width"]], "counts": row["rle"]}
        assert (decode_rle(rle) == found.mask).all() and row["prompt"] == found.prompt
        assert row["score"] == pytest.approx(found.score) and row["area"] == found.mask.sum()
    coco = COCO(str(out / "coco.json"))
    assert len(coco.imgs) == 4 and {c["name"] for c in coco.cats.values()} == set(PROMPTS)
    for annotation in coco.anns.values():
        assert coco.annToMask(annotation).sum() == annotation["area"] > 0


def test_a_table_has_prompts_of_its_own(photos, tmp_path, random_checkpoint):
    table = tmp_path / "table.csv"
    table.write_text('image,prompts\nphotos/0.png,"the dog; the cat"\nphotos/1.png,a tree\n')
    assert batch(table, None, tmp_path / "out", random_checkpoint) == 0
    found = [(row["item"], row["prompt"]) for row in read_rows(tmp_path / "out")]
    assert found == [("photos/0.png", "the dog"), ("photos/0.png", "the cat"), ("photos/1.png", "a tree")]


def test_a_list_and_a_parquet_table(photos, prompts, tmp_path, random_checkpoint):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "list.txt").write_text("photos/0.png\n\nphotos/more/3.png\n")
    names = ["photos/0.png", "photos/more/3.png"]
    pq.write_table(pa.table({"image": names, "prompts": [PROMPTS, PROMPTS]}), tmp_path / "table.parquet")
    rows = []
    for source, given in (("list.txt", prompts), ("table.parquet", None)):
        assert batch(tmp_path / source, given, tmp_path / f"{source}.out", random_checkpoint) == 0
        rows.append(list(read_rows(tmp_path / f"{source}.out")))
    assert rows[0] == rows[1] and len(rows[0]) == 4


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_webdataset_shards(tmp_path, prompts, random_checkpoint):
    shards = tmp_path / "shards"
    shards.mkdir()
    own = json.dumps({"prompts": ["the dog"]}).encode()
    write_tar(shards / "a-000.tar", {"0001.png": png(1), "0001.json": own, "0002.png": png(2), "0002.cls": b"7"})
    write_tar(shards / "a-001.tar", {"0001.png": png(3), "0001.txt": b"a tree\nthe sun\n"})
    assert batch(shards, prompts, tmp_path / "out", random_checkpoint) == 0
    found = [(row["item"], row["prompt"]) for row in read_rows(tmp_path / "out")]
    assert found == [
        ("a-000/0001.png", "the dog"),
        *(("a-000/0002.png", prompt) for prompt in PROMPTS),
        *(("a-001/0001.png", prompt) for prompt in ("a tree", "the sun")),
    ]


def test_clips_are_followed(tmp_path, prompts, random_tracking_checkpoint):
    folder = tmp_path / "clips"
    folder.mkdir()
    with open_writer(folder / "one.mp4", Fraction(10)) as writer:
        for t in range(4):
            writer.write(scene(1), Fraction(t, 10), Fraction(1, 10))
    (folder / "two.mp4").write_bytes(b"no video")
    (folder / "three.png").write_bytes(png(3))
    assert batch(folder, prompts, tmp_path / "out", random_tracking_checkpoint, "--coco") == 0
    rows = list(read_rows(tmp_path / "out"))
    assert [row["frame"] for row in rows if row["item"] == "one.mp4"] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [row["item"] for row in rows if row["error"]] == ["two.mp4"]
    assert len(COCO(str(tmp_path / "out" / "coco.json")).imgs) == 5


SOURCES = {
    "nothing": (lambda f: str(f / "nothing"), "no file or folder"),
    "an empty folder": (lambda f: str(f), "no images or clips"),
    "an image": (lambda f: _write(f / "a.png", png(0)), "is no source"),
    "no tar": (lambda f: _write(f / "a.tar", b"\0" * 100), "no plain tar file|no images"),
    "a packed tar": (lambda f: _write(f / "a.tar", b"\x1f\x8b" + b"0" * 600), "no plain tar file"),
    "no column": (lambda f: _write(f / "a.csv", b"name\na.png\n"), "no column image"),
    "an empty cell": (lambda f: _write(f / "a.csv", b"image,prompts\n,dog\n"), "Row 1"),
    "twice": (lambda f: _write(f / "a.txt", b"a.png\na.png\n"), "twice"),
    "prompts of numbers": (lambda f: _write_parquet(f / "a.parquet", [[1, 2]]), "no texts"),
    "a name that is too long": (lambda f: "a" * 5000, "no file or folder"),
    "a list in UTF-16": (lambda f: _write(f / "a.txt", "a.png".encode("utf-16")), "save it as UTF-8"),
    "a list with NUL": (lambda f: _write(f / "a.txt", b"a.png\0"), "save it as UTF-8"),
    "a table in UTF-16": (lambda f: _write(f / "a.csv", "image\na.png".encode("utf-16")), "save it as UTF-8"),
    "an endless cell": (lambda f: _write(f / "a.csv", b"image,prompts\na.png," + b"a" * 200_000), "no CSV table"),
    **{
        f"Parquet: {name}": (lambda f, content=content: _write(f / "a.parquet", content), "no Parquet table")
        for name, content in (("empty", b""), ("text", b"image\na.png\n"), ("no footer", b"PAR1junkPAR1"))
    },
    **{
        f"tar: {name}": (lambda f, said=said: _write_tar(f / "a.tar", {"a.png": (b"a", said)}), "no plain tar file")
        for name, said in (
            ("a negative size", {"size": "-5"}),
            ("a size beyond the end", {"size": "99999999999"}),
            ("a sparse file", {"GNU.sparse.size": "10", "GNU.sparse.numblocks": "0"}),
            ("a broken sparse file", {"GNU.sparse.map": "a,b,c"}),
        )
    },
    **{
        f"tar: {name}": (lambda f, b=beside: _write_tar(f / "a.tar", {"a.png": (b"a", {}), **b}), words)
        for name, beside, words in (
            ("deep JSON", {"a.json": (b"[" * 100_000, {})}, "no JSON"),
            ("cut JSON", {"a.json": (b'{"prompts": ["a', {})}, "no JSON"),
            ("prompts in UTF-16", {"a.txt": ("the dog".encode("utf-16"), {})}, "save it as UTF-8"),
            ("endless prompts", {"a.txt": (b"a" * 2_000_000, {})}, "write fewer"),
        )
    },
}
PROMPT_FILES = {
    "UTF-16": ("the dog".encode("utf-16"), "save it as UTF-8"),
    "Latin-1": ("die Tür".encode("latin-1"), "save it as UTF-8"),
    "NUL": (b"the\0dog", "save it as UTF-8"),
    "endless": (b"the dog\n" * 200_000, "write fewer"),
    "empty": (b"\xef\xbb\xbf\n", "write one prompt"),
}


def _write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def _write_tar(path: Path, files: dict[str, tuple[bytes, dict[str, str]]]) -> str:
    """A tar of files: name -> (content, what its pax header says of it)."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, (content, said) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.pax_headers = len(content), said
            tar.addfile(member, io.BytesIO(content))
    return str(path)


def _write_parquet(path: Path, prompts) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": ["a.png"], "prompts": prompts}), path)
    return str(path)


@pytest.mark.parametrize("name", SOURCES)
def test_sources_that_are_refused(tmp_path, prompts, random_checkpoint, capsys, name):
    make, told = SOURCES[name]
    folder = tmp_path / "source"
    folder.mkdir()
    assert batch(make(folder), prompts, tmp_path / "out", random_checkpoint) == 2
    assert pytest.importorskip("re").search(told, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", PROMPT_FILES)
def test_files_of_prompts_that_are_refused(tmp_path, name):
    content, told = PROMPT_FILES[name]
    with pytest.raises(InputError, match=told):
        read_prompts(_write(tmp_path / "prompts.txt", content))


def test_marks_of_utf_8_are_no_part_of_a_name(tmp_path):
    mark = b"\xef\xbb\xbf"
    assert read_prompts(_write(tmp_path / "prompts.txt", mark + b"the dog\n")) == ("the dog",)
    for name, text in (("a.txt", b"a.png\n"), ("a.csv", b"image\na.png\n")):
        assert [item.key for item in find_items(_write(tmp_path / name, mark + text))] == ["a.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are text")
def test_names_that_are_not_utf_8_and_files_that_are_none(photos, prompts, tmp_path, random_checkpoint):
    os.rename(photos / "0.png", os.fsencode(photos) + b"/\xff.png")
    os.mkfifo(photos / "pipe.png")
    listed = _write(tmp_path / "list.txt", b"photos/pipe.png\n/dev/zero\nphotos/1.png\n")
    for source, bad in ((photos, {"broken.jpg"}), (listed, {"photos/pipe.png", "/dev/zero"})):
        out = tmp_path / f"of-{Path(source).stem}"
        assert batch(source, prompts, out, random_checkpoint) == 0
        rows = list(read_rows(out))
        assert {row["item"] for row in rows if row["error"]} == bad
        assert source == listed or "\\udcff.png" in {row["item"] for row in rows}


def test_items_without_prompts(photos, tmp_path, random_checkpoint, capsys):
    assert batch(photos, None, tmp_path / "out", random_checkpoint) == 2
    assert "--prompts" in capsys.readouterr().err
    table = tmp_path / "table.csv"
    table.write_text("image,prompts\nphotos/0.png,a dog\nphotos/1.png,\nphotos/gone.png,a dog\n")
    assert batch(table, None, tmp_path / "out", random_checkpoint) == 0
    assert [row["item"] for row in read_rows(tmp_path / "out") if row["error"]] == ["photos/1.png", "photos/gone.png"]


def test_a_folder_of_another_run_is_left_alone(photos, prompts, tmp_path, random_checkpoint, capsys):
    out = tmp_path / "out"
    assert batch(photos, prompts, out, random_checkpoint) == 0
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert batch(photos, prompts, out, random_checkpoint) == 0  # nothing left to do
    (photos / "new.png").write_bytes(png(9))
    assert batch(photos, prompts, out, random_checkpoint) == 2
    assert "another folder" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")} == before


def test_a_killed_run_is_resumed_and_nothing_is_lost_or_doubled(photos, prompts, tmp_path, random_checkpoint):
    for i in range(10, 40):
        (photos / f"{i}.png").write_bytes(png(i))
    out = tmp_path / "out"
    arguments = ["batch", str(photos), "--prompts", prompts, "-o", str(out), "--part", "2", "--device", "cpu"]
    command = [sys.executable, "-m", "evfsam", *arguments, "--model", str(random_checkpoint)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while len(list(out.glob("part-*"))) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert 3 <= len(done) < 18
    assert batch(photos, prompts, out, random_checkpoint, "--part", "2") == 0
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}.items() >= done.items()
    assert Counter(row["item"] for row in read_rows(out) if row["error"] is None) == {
        item.key: 2 for item in find_items(str(photos)) if item.key != "broken.jpg"
    }


@pytest.mark.slow  # starts a cluster
def test_a_ray_cluster_that_loses_a_worker_does_all_the_same(photos, prompts, tmp_path, random_checkpoint):
    ray = pytest.importorskip("ray")
    from evfsam.batch import run
    from evfsam.batch.on_ray import ray_pool

    for i in range(10, 60):
        (photos / f"{i}.png").write_bytes(png(i))
    items = find_items(str(photos))
    parts = run.plan(items, 2)
    try:
        pool = ray_pool(None, 2, 0)
        work = run.run(parts, tmp_path / "out", str(random_checkpoint), PROMPTS, "cpu", on_ray=pool)
        found = [next(work)]
        pids = [int(p) for p in subprocess.run(["pgrep", "-f", "ray::.*RayWorker"], capture_output=True).stdout.split()]
        os.kill(pids[0], signal.SIGKILL)
        found += work
    finally:
        ray.shutdown()
    assert sorted(done.number for done in found) == list(range(len(parts)))
    assert Counter(row["item"] for row in read_rows(tmp_path / "out") if row["error"] is None) == {
        item.key: 2 for item in items if item.key != "broken.jpg"
    }
