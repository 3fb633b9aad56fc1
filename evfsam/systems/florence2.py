"""Florence-2: a language model writes the polygons of what an expression names."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from transformers import Florence2ForConditionalGeneration, Florence2Processor

from evfsam.runtime import Runtime
from evfsam.systems.base import System, Things
from evfsam.systems.registry import SystemInfo
from evfsam.systems.weights import pretrained, processor
from evfsam.types import EncodedImage

TASK = "<REFERRING_EXPRESSION_SEGMENTATION>"
TASK_TOKENS = 60  # at most: the words in which the processor puts the task, letter by letter
MOST_TEXT_TOKENS = 256
MOST_TOKENS = 1024  # of polygons; the model was trained with so many


class Florence2(System):
    """Florence-2 (arXiv 2311.06242), its task "referring expression segmentation".

    It gives no probability: the score is that of its tokens, the geometric mean.
    """

    def __init__(self, info: SystemInfo, runtime: Runtime, folders: list[Path]):
        super().__init__(info, runtime, pretrained(Florence2ForConditionalGeneration, folders[0], runtime))
        self.processor = processor(Florence2Processor, folders[0])
        self.tokenizer = self.processor.tokenizer
        positions = self.model.config.text_config.max_position_embeddings
        self.most_tokens = min(MOST_TEXT_TOKENS, positions - self.processor.num_image_tokens - TASK_TOKENS)

    def look(self, image: np.ndarray) -> np.ndarray:
        return image

    def find(self, encoded: EncodedImage, text: str) -> Things:
        height, width = encoded.geometry.original_size_hw
        cut = self.tokenizer(text, add_special_tokens=False, truncation=True, max_length=self.most_tokens)
        text = self.tokenizer.decode(cut["input_ids"])
        inputs = self.processor(images=encoded.features, text=f"{TASK}{text}", return_tensors="pt")
        written = self.model.generate(
            **inputs.to(self.runtime.device),
            max_new_tokens=MOST_TOKENS,
            do_sample=False,
            output_scores=True,
            return_dict_in_generate=True,
        )
        sentence = self.processor.batch_decode(written.sequences, skip_special_tokens=False)[0]
        masks = read_polygons(self.processor, sentence, (height, width))
        return Things(masks, [_mean_probability(self.model, written)] * len(masks))


def read_polygons(processor: Florence2Processor, sentence: str, size_hw: tuple[int, int]) -> list[np.ndarray]:
    """One mask per thing that the model wrote down, bool (H, W); things without an area are left out."""
    height, width = size_hw
    parsed = processor.post_process_generation(text=sentence, task=TASK, image_size=(width, height))[TASK]
    masks = [_filled(polygons, height, width) for polygons in parsed["polygons"]]
    return [mask for mask in masks if mask.any()]


def _filled(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    """bool (H, W) inside polygons of x, y, x, y, ..."""
    mask = np.zeros((height, width), np.uint8)
    corners = [np.asarray(polygon, np.float32).reshape(-1, 2).round().astype(np.int32) for polygon in polygons]
    cv2.fillPoly(mask, [polygon for polygon in corners if len(polygon) >= 3], 1)
    return mask > 0


def _mean_probability(model, written) -> float:
    beams = getattr(written, "beam_indices", None)
    scores = model.compute_transition_scores(written.sequences, written.scores, beams, normalize_logits=True)
    finite = scores[torch.isfinite(scores)]
    return float(finite.mean().exp()) if len(finite) else 0.0
