"""ReferSAM: SAM whose image features and prompts both depend on the text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from transformers import BertTokenizer, CLIPTokenizer

from evfsam.checkpoints.layout import SENTENCEPIECE_FILE
from evfsam.checkpoints.refersam import load_refersam
from evfsam.checkpoints.tokenizer import load_tokenizer
from evfsam.processing.inputs import segmenter_pixels
from evfsam.processing.masks import restore
from evfsam.processing.text import tokenize
from evfsam.runtime import Runtime
from evfsam.systems.base import System, Things
from evfsam.systems.registry import SystemInfo
from evfsam.systems.weights import processor
from evfsam.types import EncodedImage, Geometry

_TOKENIZERS = {"bert": BertTokenizer, "clip": CLIPTokenizer}


class ReferSamSystem(System):
    """ReferSAM (DOI 10.1109/TCSVT.2024.3524543). The score is SAM's predicted IoU.

    An encoded image holds only what no text changes: the image encoder's first blocks. The others run once per prompt,
    because the text enters between them.
    """

    reads_prefix = True

    def __init__(self, info: SystemInfo, runtime: Runtime, folders: list[Path]):
        super().__init__(info, runtime, load_refersam(folders[0], runtime.device))
        text = self.model.config.text
        if (folders[0] / SENTENCEPIECE_FILE).is_file():
            self.tokenizer = load_tokenizer(folders[0], text.vocab_size)
        else:
            self.tokenizer = processor(_TOKENIZERS[text.kind], folders[0])
        self.most_tokens = text.max_position_embeddings

    def look(self, image: np.ndarray):
        pixels, resized = segmenter_pixels(image, self.model.config.pixels)
        return self.model.encode_image(pixels.to(self.runtime.device)), resized

    def find(self, encoded: EncodedImage, text: str) -> Things:
        looked, resized = encoded.features
        words = tokenize(self.tokenizer, [text], self.most_tokens)
        ids, padding = words.token_ids.to(self.runtime.device), words.padding_mask.to(self.runtime.device)
        answer = self.model.decode(looked, ids, ~padding)
        side = self.model.config.segmenter.image_size
        geometry = Geometry(encoded.geometry.original_size_hw, resized, (side, side))
        logits = restore(answer.full_size(), geometry)
        if not (logits > 0).any():
            return Things([], [])
        return Things(list(logits), answer.iou_predictions.tolist())
