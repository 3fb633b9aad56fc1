"""CLIPSeg: one soft mask per text, without things."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

from evfsam.runtime import Runtime
from evfsam.systems.base import System, Things, resized
from evfsam.systems.registry import SystemInfo
from evfsam.systems.weights import pretrained, processor
from evfsam.types import EncodedImage


class ClipSeg(System):
    """CLIPSeg (arXiv 2112.10003). A pixel is inside if its probability is above one half.

    The score is the mean probability of the pixels inside.
    """

    def __init__(self, info: SystemInfo, runtime: Runtime, folders: list[Path]):
        super().__init__(info, runtime, pretrained(CLIPSegForImageSegmentation, folders[0], runtime))
        self.processor = processor(CLIPSegProcessor, folders[0])
        self.tokenizer = self.processor.tokenizer
        self.most_tokens = self.model.config.text_config.max_position_embeddings

    def look(self, image: np.ndarray) -> torch.Tensor:
        return self.processor(images=image, return_tensors="pt")["pixel_values"].to(self.runtime.device)

    def find(self, encoded: EncodedImage, text: str) -> Things:
        words = self.tokenizer([text], truncation=True, max_length=self.most_tokens, return_tensors="pt")
        logits = self.model(pixel_values=encoded.features, **words.to(self.runtime.device)).logits
        logits = logits.reshape(logits.shape[-2:]).float()
        if not (logits > 0).any():
            return Things([], [])
        score = logits[logits > 0].sigmoid().mean()
        return Things([resized(logits, encoded.geometry.original_size_hw)], [score.item()])
