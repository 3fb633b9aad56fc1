"""Prompts of several askers on one image, decoded as one batch."""

from __future__ import annotations

from collections.abc import Sequence

from evfsam.predictor import Predictor
from evfsam.types import EncodedImage, MaskLogits, SpatialPrompt

OneAsker = tuple[Sequence[str], Sequence[SpatialPrompt | None]]
Decoded = tuple[MaskLogits, range, list[tuple[str, ...]]]


def decode_together(
    predictor: Predictor, encoded: EncodedImage, asked: Sequence[OneAsker]
) -> list[Decoded | Exception]:
    """As :meth:`Predictor.decode` for the prompts of several askers. An error ends its asker's part alone.

    Args:
        asked: of each asker, the texts, and the points and the box of each text.

    Returns for each asker the masks and warnings of a batch, and the rows of the batch that are the asker's.
    """
    try:
        texts = [text for prompts, _ in asked for text in prompts]
        masks, warnings = predictor.decode(encoded, texts, [by_hand for _, spatial in asked for by_hand in spatial])
    except Exception as error:
        if len(asked) <= 1:
            return [error] * len(asked)
        return [part for each in asked for part in decode_together(predictor, encoded, [each])]
    parts: list[Decoded | Exception] = []
    end = 0
    for prompts, _ in asked:
        start, end = end, end + len(prompts)
        parts.append((masks, range(start, end), warnings))
    return parts
