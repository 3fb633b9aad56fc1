"""What the multimodal encoder reads of the cached scenes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import nn

from evfsam.modeling.config import EvfConfig
from evfsam.processing.inputs import prepare
from evfsam.processing.text import PAD_ID, tokenize
from evfsam.training.config import StageConfig
from evfsam.training.sampling import PhraseBatch, read_pictures, sample_phrases
from evfsam.training.scene_cache import SceneCache


class PhraseReader:
    """Cached scenes and phrases -> what the encoder reads; a share of them varied, see :class:`Recipe`."""

    def __init__(self, config: EvfConfig, cache: SceneCache, tokenizer, variety: float = 0.0):
        self.cache, self.spec, self.variety = cache, config.pixels, variety
        positions = config.encoder.text_positions
        self._ids = lru_cache(maxsize=500_000)(lambda text: tokenize(tokenizer, [text], positions).token_ids[0])

    def sample(self, config: StageConfig, rng: np.random.Generator) -> PhraseBatch:
        return sample_phrases(self.cache, config, rng, self.spec.image_size // 4, self.variety / 2)

    def __call__(self, batch: PhraseBatch, device, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels (B, 3, n, n) of the batch's scenes and token ids (P, L) of its phrases, padded."""
        pictures = read_pictures(self.cache, batch.scenes, rng, self.variety)
        pixels = torch.cat([prepare(picture, self.spec).encoder_pixels for picture in pictures])
        ids = [self._ids(phrase) for phrase in batch.phrases]
        return pixels.to(device), nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=PAD_ID).to(device)
