"""What the multimodal encoder reads of the cached scenes."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from evfsam.modeling.config import EvfConfig
from evfsam.processing.inputs import prepare
from evfsam.processing.text import PAD_ID, SEMANTIC_PREFIX, tokenize
from evfsam.training.config import StageConfig
from evfsam.training.sampling import read_pictures, sample_phrases
from evfsam.training.scene_cache import SceneCache


class WordBatch(NamedTuple):
    """P phrases about B scenes.

    Attributes:
        scenes: int64 (B,), rows of the cache.
        scene_of_row: int64 (P,), which of the B scenes a phrase belongs to.
        encoder_pixels: float32 (B, 3, n, n), see :func:`evfsam.processing.inputs.prepare`.
        segmenter_pixels: float32 (B, 3, S, S), or None for who has the features already.
        token_ids: int64 (P, L), padded.
        one_thing: bool (P,), whether it refers to one thing ("[semantic] " to all).
        coverage: float32 (P, g, g), 0..1, S / 4 cells a side.
        token_coverage: float32 (P, t, t), 0..1, a cell for each of the encoder's t x t image tokens; see
            :class:`~evfsam.training.sampling.PhraseBatch` for what differs.
    """

    scenes: torch.Tensor
    scene_of_row: torch.Tensor
    encoder_pixels: torch.Tensor
    segmenter_pixels: torch.Tensor | None
    token_ids: torch.Tensor
    one_thing: torch.Tensor
    coverage: torch.Tensor
    token_coverage: torch.Tensor


class PhraseReader:
    """Cached scenes and phrases -> what a model reads; a share of them varied, see :class:`Recipe`."""

    def __init__(self, config: EvfConfig, cache: SceneCache, tokenizer, variety: float = 0.0):
        self.cache, self.spec, self.variety = cache, config.pixels, variety
        self.tokens = config.encoder.image_size // config.encoder.patch_size
        positions = config.encoder.text_positions
        # int64 (L,) of a text, not padded.
        self.token_ids = lru_cache(maxsize=500_000)(lambda text: tokenize(tokenizer, [text], positions).token_ids[0])

    def sample(self, config: StageConfig, rng: np.random.Generator, both_copies: bool = False) -> WordBatch:
        """``config.scenes`` scenes and ``config.prompts`` phrases of each.

        Args:
            both_copies: of the pictures: the segmenter's as well.
        """
        batch = sample_phrases(self.cache, config, rng, self.spec.image_size // 4, self.tokens, self.variety / 2)
        pictures = read_pictures(self.cache, batch.scenes, rng, self.variety)
        if both_copies:
            inputs = [prepare(picture, self.spec) for picture in pictures]
            for_encoder = [one.encoder_pixels for one in inputs]
            for_segmenter = torch.cat([one.segmenter_pixels for one in inputs])
        else:
            for_encoder = [prepare(picture, self.spec).encoder_pixels for picture in pictures]
            for_segmenter = None
        ids = [self.token_ids(phrase) for phrase in batch.phrases]
        return WordBatch(
            torch.from_numpy(batch.scenes),
            batch.scene_of_row,
            torch.cat(for_encoder),
            for_segmenter,
            nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=PAD_ID),
            torch.tensor([not phrase.startswith(SEMANTIC_PREFIX) for phrase in batch.phrases]),
            batch.coverage,
            batch.token_coverage,
        )
