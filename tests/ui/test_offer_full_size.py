"""The whole way at full size: a published checkpoint with weights by the recipe, downloaded and asked.

pytest -m slow -s tests/ui/test_offer_full_size.py     # 8 GB of disk, 6 GB of memory, some minutes
"""

from __future__ import annotations

import pytest

from tests.checkpoints.fake_hub import fake_hub
from tests.checkpoints.small import PHRASES
from tests.checkpoints.test_fetch import run
from tests.modeling.test_full_size_parity import write_published

pytestmark = pytest.mark.slow

NAME = "evf-sam2-multitask"
ASK = """
import json, resource, sys, time
from evfsam.ui.asking import MaskQuestion
from evfsam.ui.examples import read_examples
from evfsam.ui.service import ModelService
from evfsam.ui.settings import Settings

name, start = sys.argv[1], time.perf_counter()
service = ModelService(Settings(device="cpu"))
download = service.checkpoints.get(name, "somebody")
speeds = []
while download.running:
    speeds.append(download.progress().bytes_per_second or 0)
    time.sleep(0.5)
download.wait()
downloaded = time.perf_counter()
answer = service.answer(name, str(read_examples()[0].file), MaskQuestion(("the bus",), (None,)))
print(json.dumps({
    "whole": download.progress().whole,
    "fastest": max(speeds),
    "download_s": downloaded - start,
    "answer_s": time.perf_counter() - downloaded,
    "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    "phrases": list(answer.prompts),
    "offered": service.checkpoints.to_get(service.default_model) is not None,
}))
"""


def test_a_checkpoint_of_full_size_is_downloaded_and_answers(tmp_path):
    from evfsam.checkpoints.tokenizer import train_tokenizer

    folder = tmp_path / "published"
    folder.mkdir()
    write_published(folder, "evf-sam2", "safetensors")
    train_tokenizer(PHRASES, folder, vocabulary_size=90)
    with fake_hub() as hub:
        hub.folders[f"YxZhang/{NAME}"] = folder
        told = run(ASK, NAME, hub=hub, home=tmp_path, timeout=1800, GRADIO_TEMP_DIR=str(tmp_path / "gradio"))
    print(told)
    assert told["whole"] > 3.5e9 and told["fastest"] > 0
    assert told["phrases"] == ["the bus"] and not told["offered"]
