"""SAM 3: all things of a concept, each with its own mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import Sam3Model, Sam3Processor

from evfsam.runtime import Runtime
from evfsam.systems.base import System, Things
from evfsam.systems.registry import SystemInfo
from evfsam.systems.weights import pretrained, processor
from evfsam.types import EncodedImage

THRESHOLD = 0.5


@dataclass(frozen=True)
class Looked:
    """SAM 3's features of an image, and its size as the processor wants it."""

    features: Any
    original_sizes: list


class Sam3(System):
    """SAM 3 (arXiv 2511.16719) with concept prompts. It finds every thing of a concept; words of place do nothing."""

    def __init__(self, info: SystemInfo, runtime: Runtime, folders: list[Path]):
        super().__init__(info, runtime, pretrained(Sam3Model, folders[0], runtime))
        self.processor = processor(Sam3Processor, folders[0])
        self.tokenizer = self.processor.tokenizer
        self.most_tokens = self.model.config.text_config.max_position_embeddings

    def look(self, image: np.ndarray) -> Looked:
        inputs = self.processor(images=image, return_tensors="pt")
        features = self.model.get_vision_features(pixel_values=inputs["pixel_values"].to(self.runtime.device))
        return Looked(features, inputs["original_sizes"].tolist())

    def find(self, encoded: EncodedImage, text: str) -> Things:
        looked = encoded.features
        words = tokens(self.tokenizer, text, self.most_tokens).to(self.runtime.device)
        output = self.model(vision_embeds=looked.features, **words)
        found = self.processor.post_process_instance_segmentation(
            output, threshold=THRESHOLD, target_sizes=looked.original_sizes
        )[0]
        return Things(list(found["masks"].bool().cpu().numpy()), found["scores"].tolist())


def tokens(tokenizer, text: str, most: int):
    """Ids and attention mask, int64 (1, most). SAM 3's processors would not cut a long text."""
    return tokenizer([text], padding="max_length", truncation=True, max_length=most, return_tensors="pt")
