"""Applies a Refinement. The predictor calls it four times: for the text, the image, the decoder and the mask."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np
import torch

from evfsam.processing.masks import restore
from evfsam.processing.text import SEMANTIC_PREFIX, unknown_words
from evfsam.refine.guided_filter import EdgeGuide, filter_masks, make_guide
from evfsam.refine.point_refinement import interior_points
from evfsam.refine.refinement import Refinement
from evfsam.refine.rejection import presence_logits
from evfsam.refine.synonyms import map_to_vocabulary
from evfsam.types import Geometry, MaskLogits

ABSENT_LOGIT = -1024.0  # SAM-2's NO_OBJ_SCORE


@dataclass(frozen=True)
class Refiner:
    """The refinements of one checkpoint.

    Attributes:
        name: of the checkpoint, for warnings.
        refinement: the steps that it uses.
        vocabulary: the words that it was trained on; empty if it was trained on open language.
    """

    name: str
    refinement: Refinement
    vocabulary: Collection[str]

    def read(self, text: str) -> tuple[str, tuple[str, ...]]:
        """A cleaned prompt with known words in place of unknown ones, and warnings about unknown words."""
        text, mapped = map_to_vocabulary(text, self.vocabulary)
        warnings = []
        mapped = {word: known for word, known in mapped.items() if known != "the"}  # an article names nothing
        if mapped:
            warnings.append(f"{self.name} never learned {_some(list(mapped))}; read as {_some(list(mapped.values()))}.")
        if unknown := unknown_words(text, self.vocabulary):
            guess = "the answer is a guess; a published checkpoint may know better"
            warnings.append(f"{self.name} never learned {_some(unknown)}: {guess}.")
        return text, tuple(warnings)

    def guide(self, image: np.ndarray, geometry: Geometry) -> EdgeGuide | None:
        """Statistics of an image, uint8 (H, W, 3), for the guided filter; None if the checkpoint does not use it."""
        return make_guide(image, geometry) if self.refinement.guided_filter else None

    def decode_again(
        self,
        masks: MaskLogits,
        texts: Sequence[str],
        geometry: Geometry,
        tokens: torch.Tensor,
        decode: Callable[[torch.Tensor, tuple[torch.Tensor, torch.Tensor]], MaskLogits],
    ) -> MaskLogits:
        """Point refinement: decodes referring prompts again, together with a point inside the first mask.

        The presence remains that of the first mask, because a point implies that an object is there.

        Args:
            masks: of P text prompts.
            texts: the P prompts, cleaned.
            geometry: of the image.
            tokens: float (P, 1, C), of the prompts.
            decode: (tokens of some prompts, points as in ``EvfSam.decode``) -> their masks.

        Returns the P masks, those of referring prompts replaced.
        """
        rows = [i for i, text in enumerate(texts) if not text.startswith(SEMANTIC_PREFIX)]
        if not self.refinement.point_refinement or not rows:
            return masks
        first = masks.rows(rows)
        points = interior_points(first.low_res_masks, geometry).to(first.low_res_masks.device)
        labels = torch.ones(points.shape[:2], dtype=torch.int64, device=points.device)
        again = replace(decode(tokens[rows], (points, labels)), object_score_logits=presence_logits(first))
        return replace(masks, object_score_logits=presence_logits(masks)).replace_rows(rows, again)

    def rejects(self, masks: MaskLogits) -> bool:
        """Whether the mask of a text prompt (one row) is rejected, because the image does not show it."""
        return self.refinement.rejects(self.presence(masks))

    def presence(self, masks: MaskLogits) -> float | None:
        """Presence, 0..1, of one row; None if the segmenter has no such output and the mask was not trained for it."""
        if masks.object_score_logits is None and self.refinement.reject_below is None:
            return None
        return float(presence_logits(masks)[0].sigmoid())

    def finish(
        self, masks: MaskLogits, geometry: Geometry, guide: EdgeGuide | None, text_alone: bool
    ) -> tuple[np.ndarray, float | None]:
        """Mask logits (one row) -> refined logits at the image's size, float32 (H, W), and the presence.

        ``text_alone``: whether the prompt is text alone. If so, a low presence empties the mask, and its pixels must
        pass ``text_threshold``.
        """
        presence = self.presence(masks)
        if text_alone and self.refinement.rejects(presence):
            return np.full(geometry.original_size_hw, ABSENT_LOGIT, np.float32), presence
        if guide is not None:
            logits = filter_masks(masks.low_res_masks, guide)[0]
        else:
            logits = restore(masks.low_res_masks, geometry)[0].cpu().numpy()
        threshold = self.refinement.text_threshold
        if text_alone and threshold != 0.5:  # every mask ends where its logits are 0
            logits = logits - np.float32(log(threshold / (1 - threshold)))
        return logits, presence


def make_refiner(name: str, refinement: Refinement, vocabulary: Collection[str]) -> Refiner | None:
    """The refiner of a checkpoint; None if it uses no refinement and has no vocabulary."""
    return Refiner(name, refinement, vocabulary) if vocabulary or refinement != Refinement() else None


def _some(words: Sequence[str], most: int = 8, letters: int = 40) -> str:
    """The first ``most`` words, quoted, each cut to ``letters``."""
    named = [repr(word if len(word) <= letters else word[:letters] + "...") for word in words[:most]]
    return ", ".join(named) + (f" and {len(words) - most} more" if len(words) > most else "")
