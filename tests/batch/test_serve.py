"""One checkpoint behind Ray Serve: the wire format, a replica as it is, and (slow) two replicas behind the page."""

from __future__ import annotations

import asyncio
import base64
import json
import shlex
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from evfsam.batch import wire
from evfsam.batch.remote import RemotePredictor
from evfsam.data.scenes import make_scene, render
from evfsam.errors import EvfSamError, InputError
from evfsam.media.export import decode_rle, png
from evfsam.predictor import Predictor
from evfsam.types import MaskLogits, PointPrompt, SpatialPrompt
from evfsam.ui.settings import Settings, read_settings

ROOT = Path(__file__).parents[2]
POINT = SpatialPrompt(PointPrompt(np.array([[3.5, 4.5]], np.float32), np.array([1])), (1.0, 2.0, 30.0, 40.0))


def scene(seed: int = 1) -> np.ndarray:
    return np.ascontiguousarray(render(make_scene(900_000 + seed), (48, 64)).image)


def test_a_question_comes_back_as_it_was():
    file = png(scene())
    read, image, whole, (prompts, spatial) = wire.read_question(
        wire.write_question(file, ["the dog", ""], [None, POINT])
    )
    assert whole and read == file and (image == scene()).all() and prompts == ["the dog", ""]
    assert spatial[0] is None and spatial[1].box == POINT.box
    assert (spatial[1].points.coords == POINT.points.coords).all()


def test_masks_come_back_to_the_bit():
    masks = MaskLogits(torch.randn(2, 4, 5), torch.rand(2), torch.randn(2))
    told = json.loads(json.dumps(wire.write_masks(masks, [("a",), ()])))
    read, warnings = wire.read_masks(told, 2)
    for name in ("low_res_masks", "iou_predictions", "object_score_logits"):
        assert torch.equal(getattr(read, name), getattr(masks, name))
    assert warnings == [("a",), ()]
    for spoilt in (
        {**told, "shape": [2, 4, 6]},
        {**told, "iou_predictions": [1]},
        {},
        [],
        None,
        {**told, "shape": None},
    ):
        with pytest.raises(EvfSamError, match="cannot be read"):
            wire.read_masks(spoilt, 2)
    with pytest.raises(EvfSamError):
        wire.read_masks(told, 3)


GOOD = json.loads(wire.write_question(png(scene()), ["the dog"], [None]))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x80\x04pickle",
        b"[" * 100_000,
        b"null",
        json.dumps({**GOOD, "image": "no base64!"}),
        json.dumps({**GOOD, "image": base64.b64encode(b"no image").decode()}),
        json.dumps({**GOOD, "prompts": []}),
        json.dumps({**GOOD, "prompts": "x" * 5000}),
        json.dumps({**GOOD, "prompts": None}),
        json.dumps({**GOOD, "prompts": [1]}),
        json.dumps({**GOOD, "points": [{"coords": [[1e9, 0]], "labels": [1]}]}),
        json.dumps({**GOOD, "points": [3]}),
        json.dumps({**GOOD, "boxes": [[1, 2]]}),
        json.dumps({**GOOD, "boxes": [None, None]}),
    ],
)
def test_what_is_no_question_is_refused_in_a_sentence(body):
    with pytest.raises(InputError) as told:
        wire.read_question(body if isinstance(body, bytes) else body.encode())
    assert str(told.value).endswith(".")


def test_a_replica_answers_a_batch_by_image_and_an_error_fails_alone(random_checkpoint):
    pytest.importorskip("ray")
    from evfsam.batch.serve import Segmenter

    replica = Segmenter.func_or_class(str(random_checkpoint), "cpu", "auto")
    predictor, batches = replica.predictor, []
    decode = predictor.decode
    predictor.decode = lambda encoded, texts, spatial: batches.append(len(texts)) or decode(encoded, texts, spatial)
    asked = [(1, ["the dog"]), (2, ["a tree"]), (1, ["the car", "sky"]), (2, ["?!"]), (2, ["the sun"])]
    questions = [
        wire.read_question(wire.write_question(png(scene(seed)), texts, [None] * len(texts))) for seed, texts in asked
    ]
    answers = replica._answer([(*question, True) for question in questions])
    assert batches[0] == 3 and isinstance(answers[3], InputError)
    for (seed, texts), answer in zip(asked, answers, strict=True):
        if not isinstance(answer, Exception):
            expected = Predictor.from_pretrained(random_checkpoint, "cpu").segment(scene(seed), texts)
            assert [row["phrase"] for row in answer["results"]] == texts
            for row, found in zip(answer["results"], expected, strict=True):
                assert row["score"] == pytest.approx(found.score, abs=1e-5)
                assert (decode_rle(row["rle"]) != found.mask).mean() < 1e-3
    assert asyncio.iscoroutinefunction(replica.__call__)


def test_a_replica_keeps_whole_images_alone(random_checkpoint):
    pytest.importorskip("ray")
    from evfsam.batch.serve import Segmenter

    replica = Segmenter.func_or_class(str(random_checkpoint), "cpu", "auto")
    for whole in (False, True):
        question = wire.read_question(wire.write_question(png(scene()), ["the dog"], [None], whole))
        (answer,) = replica._answer([(*question, False)])
        assert answer["shape"][0] == 1 and len(replica.predictor._kept) == whole


def test_scaling_by_settings():
    pytest.importorskip("ray")
    from evfsam.batch.serve import build, scaling

    asked = {"max_replicas": "5", "target_ongoing_requests": "2", "upscale_delay_s": "3", "downscale_delay_s": "9"}
    told = build({"model": "evf-sam2-tiny", **asked})._bound_deployment._deployment_config.autoscaling_config
    assert {name: getattr(told, name) for name in asked} == {name: float(value) for name, value in asked.items()}
    assert told.min_replicas == 1 and scaling({"min_replicas": "3"})["max_replicas"] == 3


@pytest.mark.parametrize(
    "options",
    [
        {"max_replica": "2"},
        {"max_replicas": "0"},
        {"min_replicas": "2", "max_replicas": "1"},
        {"min_replicas": "1.5"},
        {"target_ongoing_requests": "0"},
        {"target_ongoing_requests": "65"},  # more than a replica takes: another one would never come
        {"upscale_delay_s": "-1"},
        {"downscale_delay_s": "soon"},
        {"gpus": "nan"},
    ],
)
def test_a_wrong_setting_is_one_sentence(options):
    pytest.importorskip("ray")
    from evfsam.batch.serve import build

    with pytest.raises(InputError, match=list(options)[-1]):
        build(options)


def test_the_compose_file_names_what_is_there():
    services = yaml.safe_load((ROOT / "docs" / "compose.yaml").read_text())["services"]
    replicas, page = (shlex.split(services[name]["command"]) for name in ("replicas", "page"))
    assert "evfsam.batch.serve:build" in replicas[-1] and page[:2] == ["python", "app.py"]
    settings = read_settings(page[2:], {})
    address = urlsplit(settings.server)
    assert address.hostname in services and f"--http-port {address.port}" in replicas[-1]
    assert services["page"]["ports"] == [f"{settings.port}:{settings.port}"]


def test_no_replica_there(caplog):
    with pytest.raises(EvfSamError, match="did not answer") as told:
        RemotePredictor("http://127.0.0.1:9")
    assert "127.0.0.1" not in str(told.value) and "127.0.0.1:9" in caplog.text


@pytest.mark.slow  # starts a cluster
def test_two_replicas_behind_the_page(random_checkpoint, tmp_path, monkeypatch):
    ray, serve = pytest.importorskip("ray"), pytest.importorskip("ray.serve")
    from evfsam.batch.serve import build
    from evfsam.ui import api
    from evfsam.ui.service import ModelService

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, model = f"http://127.0.0.1:{port}", str(random_checkpoint)
    try:
        ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(build({"model": model, "device": "cpu", "min_replicas": "2", "max_replicas": "2"}))
        here, there = Predictor.from_pretrained(model, "cpu"), RemotePredictor(url)
        texts, by_hand = ["the red car", "", "[semantic] sky"], [None, POINT, None]
        points, boxes = [None, POINT.points, None], [None, POINT.box, None]
        for found, expected in zip(
            there.segment(scene(), texts, points, boxes), here.segment(scene(), texts, points, boxes), strict=True
        ):
            assert np.abs(found.mask_logits - expected.mask_logits).max() < 1e-4
            assert found.score == pytest.approx(expected.score, abs=1e-5) and found.warnings == expected.warnings
        with pytest.raises(InputError, match="prompt"):
            there.decode(there.encode(scene()), ["x" * 5000], [None])
        answer = httpx.post(f"{url}/segment", content=wire.write_question(png(scene()), texts, by_hand))
        assert [row["phrase"] for row in answer.json()["results"]] == texts
        assert httpx.get(f"{url}/nothing").status_code == 404

        path = tmp_path / "scene.png"
        Image.fromarray(scene()).save(path)
        page, alone = (ModelService(Settings(models=(model,), device="cpu", server=server)) for server in (url, ""))
        with ThreadPoolExecutor(8) as pool:
            many = pool.map(lambda i: api.segment(page, str(path), "the dog, every tree", "", 0.5)[0], range(8))
            expected = api.segment(alone, str(path), "the dog, every tree", "", 0.5)[0]["results"]
            for document in many:
                for row, other in zip(document["results"], expected, strict=True):
                    assert row["phrase"] == other["phrase"] and len(row["things"]) == len(other["things"])
                    assert (decode_rle(row["rle"]) != decode_rle(other["rle"])).mean() < 1e-3
    finally:
        serve.shutdown()
        ray.shutdown()
