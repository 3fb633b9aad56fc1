"""Words to boxes by a detector, boxes to masks by SAM-2: Grounded-SAM, and OWLv2 with SAM-2."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import (
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
    Owlv2ForObjectDetection,
    Owlv2Processor,
    Sam2Model,
    Sam2Processor,
)

from evfsam.runtime import Runtime
from evfsam.systems.base import MOST_THINGS, System, Things
from evfsam.systems.registry import SystemInfo
from evfsam.systems.weights import pretrained, processor
from evfsam.types import EncodedImage


@dataclass(frozen=True)
class Looked:
    """An image, and SAM-2's features of it."""

    image: np.ndarray
    original_sizes: Any
    embeddings: list[torch.Tensor]


class BoxSystem(System):
    """A detector names boxes, SAM-2 draws one mask per box.

    Attributes:
        threshold: boxes with a lower probability are left out.
    """

    detector_class: type
    detector_processor_class: type
    threshold: float

    def __init__(self, info: SystemInfo, runtime: Runtime, folders: list[Path]):
        detector, segmenter = folders
        parts = {
            "detector": pretrained(self.detector_class, detector, runtime),
            "segmenter": pretrained(Sam2Model, segmenter, runtime),
        }
        super().__init__(info, runtime, nn.ModuleDict(parts))
        self.detector_processor = processor(self.detector_processor_class, detector)
        self.segmenter_processor = processor(Sam2Processor, segmenter)
        self.tokenizer, self.most_tokens = self.detector_processor.tokenizer, self.text_limit()

    def look(self, image: np.ndarray) -> Looked:
        inputs = self.segmenter_processor(images=image, return_tensors="pt")
        pixels = inputs["pixel_values"].to(self.runtime.device)
        return Looked(image, inputs["original_sizes"], self.model["segmenter"].get_image_embeddings(pixels))

    def find(self, encoded: EncodedImage, text: str) -> Things:
        looked, size = encoded.features, encoded.geometry.original_size_hw
        boxes, scores = self.detect(looked.image, text)
        best = scores.argsort(descending=True)[:MOST_THINGS]
        boxes, scores = boxes[best], scores[best]
        if not len(boxes):
            return Things([], [])
        limit = torch.tensor([size[1], size[0]] * 2, device=boxes.device)
        boxes = boxes.clamp(min=0).minimum(limit)
        prompts = self.segmenter_processor(
            original_sizes=looked.original_sizes, input_boxes=[boxes.tolist()], return_tensors="pt"
        )
        found = self.model["segmenter"](
            image_embeddings=looked.embeddings,
            input_boxes=prompts["input_boxes"].to(self.runtime.device),
            multimask_output=False,
        )
        masks = self.segmenter_processor.post_process_masks(
            found.pred_masks.float().cpu(), looked.original_sizes, binarize=False
        )[0]
        return Things(list(masks[:, 0]), scores.tolist())

    @abstractmethod
    def text_limit(self) -> int:
        """How many tokens the detector reads."""

    @abstractmethod
    def detect(self, image: np.ndarray, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes of what a text names, float32 (N, 4) as (x_min, y_min, x_max, y_max) in pixels, and scores (N,)."""

    def _detected(self, inputs, size_hw: tuple[int, int], **named) -> tuple[torch.Tensor, torch.Tensor]:
        output = self.model["detector"](**inputs.to(self.runtime.device))
        found = self.detector_processor.post_process_grounded_object_detection(
            output, threshold=self.threshold, target_sizes=[size_hw], **named
        )[0]
        return found["boxes"].float().cpu(), found["scores"].float().cpu()


class GroundedSam(BoxSystem):
    """Grounding DINO (arXiv 2303.05499) and SAM-2, with the thresholds of Grounded-SAM (arXiv 2401.14159)."""

    detector_class, detector_processor_class = GroundingDinoForObjectDetection, GroundingDinoProcessor
    threshold = 0.3

    def text_limit(self):
        return self.model["detector"].config.max_text_len

    def detect(self, image, text):
        # It was trained on phrases in lower case that end in a full stop.
        inputs = self.detector_processor(
            images=image, text=f"{text.lower()}.", truncation=True, max_length=self.most_tokens, return_tensors="pt"
        )
        return self._detected(inputs, image.shape[:2], input_ids=inputs["input_ids"], text_threshold=0.25)


class Owlv2Sam2(BoxSystem):
    """OWLv2 (arXiv 2306.09683) and SAM-2."""

    detector_class, detector_processor_class = Owlv2ForObjectDetection, Owlv2Processor
    threshold = 0.2

    def text_limit(self):
        return self.model["detector"].config.text_config.max_position_embeddings

    def detect(self, image, text):
        inputs = self.detector_processor(
            text=[[text]],
            images=image,
            padding="max_length",
            truncation=True,
            max_length=self.most_tokens,
            return_tensors="pt",
        )
        return self._detected(inputs, image.shape[:2])
