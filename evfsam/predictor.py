"""A picture and phrases in, masks out. Numpy at the door, torch inside."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from evfsam.checkpoints.load import LoadedCheckpoint
from evfsam.checkpoints.registry import semantic_warning
from evfsam.errors import InputError
from evfsam.processing.edges import EdgeGuide, follow_edges, guide_by
from evfsam.processing.inputs import prepare, prepare_clicks
from evfsam.processing.masks import (
    presence_logits,
    restore,
    surest_points,
    without_faint,
    without_strays,
    worth_including,
)
from evfsam.processing.readings import read_as_known
from evfsam.processing.text import SEMANTIC_PREFIX, clean_prompt, tokenize, unknown_words
from evfsam.runtime import Runtime, model_step
from evfsam.types import Clicks, Geometry, ImageFeatures, MaskLogits, Segmentation

ABSENT_LOGIT = -1024.0  # SAM-2's NO_OBJ_SCORE
REMEMBERED_PICTURES = 4  # features of SAM-2 at 1024 px take about 50 MB a picture


@dataclass(frozen=True)
class EncodedImage:
    """A picture's features on the device, ready for any number of phrases.

    ``guide`` is there if outlines are to follow the picture's edges.
    """

    features: ImageFeatures
    encoder_pixels: torch.Tensor
    geometry: Geometry
    guide: EdgeGuide | None = None


class Predictor:
    """Segments pictures by phrases with one checkpoint.

    Asking again about the same picture does not encode it again: features of the last few pictures are kept,
    found by content. Safe to share between threads: model steps take turns.
    """

    def __init__(self, checkpoint: LoadedCheckpoint, runtime: Runtime):
        self.checkpoint = checkpoint
        self.runtime = runtime
        self.model = checkpoint.model
        self._pictures: OrderedDict[bytes, EncodedImage] = OrderedDict()

    def with_facts(self, **facts) -> Predictor:
        """The same model, taken for one of other facts (:class:`~evfsam.checkpoints.registry.CheckpointInfo`).

        To tell what ``self_prompts=False`` or ``presence_threshold=None`` would change, say.
        """
        return Predictor(replace(self.checkpoint, info=replace(self.checkpoint.info, **facts)), self.runtime)

    def encode(self, image: np.ndarray) -> EncodedImage:
        """Encode a picture, uint8 (H, W, 3), or find it among those encoded before."""
        key = hashlib.blake2b(np.ascontiguousarray(image), digest_size=16, salt=_shape_salt(image)).digest()
        encoded = self._pictures.pop(key, None)
        if encoded is None:
            inputs = prepare(image, self.model.config.pixels)
            device = self.runtime.device
            with model_step(self.runtime):
                features = self.model.encode_image(inputs.segmenter_pixels.to(device))
            guide = self.guide_by(image, inputs.geometry)
            encoded = EncodedImage(features, inputs.encoder_pixels.to(device), inputs.geometry, guide)
        self._pictures[key] = encoded
        while len(self._pictures) > REMEMBERED_PICTURES:
            self._pictures.popitem(last=False)
        return encoded

    def segment(
        self,
        image: np.ndarray | EncodedImage,
        prompts: Sequence[str],
        clicks: Sequence[Clicks | None] | None = None,
    ) -> list[Segmentation]:
        """Mask what each phrase names.

        A checkpoint that learned to tell what is not there answers such a phrase with an empty mask: every logit
        at :data:`ABSENT_LOGIT`, as SAM-2 does for objects out of sight. Who clicks on a thing is always believed.

        Args:
            image: uint8 (H, W, 3), or what :meth:`encode` made of it.
            prompts: phrases; "[semantic] " before one asks for all of a category or part. A phrase may be
                empty where there are clicks to go by. A word that the checkpoint never learned is read as one
                that it did where that is known to be meant, and the answer's warnings say so
                (:func:`~evfsam.processing.readings.read_as_known`).
            clicks: for each phrase, points and a box that refine it, or None.

        Raises InputError for a phrase that cannot be used.
        """
        if isinstance(prompts, str):
            prompts = [prompts]
        encoded = image if isinstance(image, EncodedImage) else self.encode(image)
        answers = self.answers(encoded, prompts, clicks)
        return [
            self._segmentation(prompt, masks, encoded, warnings, by_words=not (clicks and clicks[i]))
            for i, (prompt, (masks, warnings)) in enumerate(zip(prompts, answers, strict=True))
        ]

    def answers(
        self, encoded: EncodedImage, prompts: Sequence[str], clicks: Sequence[Clicks | None] | None = None
    ) -> list[tuple[MaskLogits, tuple[str, ...]]]:
        """What the decoder says of each prompt (a batch of one each), and warnings for the user.

        Arguments and errors as in :meth:`segment`. A tracker starts from these.
        """
        clicks = list(clicks or [None] * len(prompts))
        if not prompts or len(clicks) != len(prompts):
            raise InputError("Give at least one phrase, and for each phrase its clicks or none.")
        words = [i for i, prompt in enumerate(prompts) if clicks[i] is None or str(prompt).strip()]
        phrases, readings = zip(*[self._read(prompts[i]) for i in words], strict=True) if words else ((), ())
        tokens, cut = self._prompt_tokens(encoded, phrases)
        rows: dict[int, tuple[torch.Tensor | None, tuple[str, ...]]] = {i: (None, ()) for i in range(len(prompts))}
        for row, i in enumerate(words):
            rows[i] = (tokens[row : row + 1], self._warnings(phrases[row], readings[row], cut[row]))
        by_prompt = [rows[i][0] for i in range(len(prompts))]
        decoded = self._decode(encoded, by_prompt, clicks)
        if self.checkpoint.info.self_prompts:
            one_thing = [i for row, i in enumerate(words) if not phrases[row].startswith(SEMANTIC_PREFIX)]
            self._ask_again(encoded, by_prompt, decoded, [i for i in one_thing if clicks[i] is None])
        return [(masks, rows[i][1]) for i, masks in enumerate(decoded)]

    def cls_attention(self, image: np.ndarray, prompt: str) -> np.ndarray:
        """Where [CLS] looks for a phrase (paper, figure 5): float32 (n, n), n encoder patches a side, sum <= heads."""
        encoded = self.encode(image)
        text = self._tokenize([self._read(prompt)[0]])
        with model_step(self.runtime):
            weights = self.model.mm_extractor.beit3.cls_attention(
                encoded.encoder_pixels, text.token_ids.to(self.runtime.device)
            )
        return weights[0].float().cpu().numpy()

    def _read(self, prompt: str) -> tuple[str, dict[str, str]]:
        """A phrase as the model reads it, and what words that it never learned were read as."""
        return read_as_known(clean_prompt(prompt), self.checkpoint.info.vocabulary)

    def _tokenize(self, phrases: Sequence[str]):
        return tokenize(self.checkpoint.tokenizer, phrases, self.model.config.encoder.text_positions)

    def _prompt_tokens(self, encoded: EncodedImage, phrases: Sequence[str]):
        """Prompt tokens (P, 1, C) of P phrases as one batch, and which of them lost their end."""
        if not phrases:
            return None, ()
        text, device = self._tokenize(phrases), self.runtime.device
        padding_mask = text.padding_mask.to(device) if text.padding_mask.any() else None  # without one it is quicker
        with model_step(self.runtime):
            tokens = self.model.encode_prompt(encoded.encoder_pixels, text.token_ids.to(device), padding_mask)
        return tokens, text.cut

    def _decode(self, encoded, tokens: list, clicks: list) -> list[MaskLogits]:
        """One MaskLogits a prompt: those without clicks in one batch, the others one by one; all in float32."""
        plain = [i for i, click in enumerate(clicks) if click is None]
        decoded: dict[int, MaskLogits] = {}
        with model_step(self.runtime, half=False):
            features, tokens = encoded.features.float(), [None if token is None else token.float() for token in tokens]
            if plain:
                batch = self.model.decode(features, torch.cat([tokens[i] for i in plain]))
                decoded.update({i: batch.row(row) for row, i in enumerate(plain)})
            for i, click in enumerate(clicks):
                if click is not None:
                    points, boxes = prepare_clicks(click, encoded.geometry)
                    if points is not None:
                        points = tuple(part.to(self.runtime.device) for part in points)
                    boxes = None if boxes is None else boxes.to(self.runtime.device)
                    decoded[i] = self.model.decode(features, tokens[i], points, boxes)
        return [decoded[i] for i in range(len(tokens))]

    def _ask_again(self, encoded: EncodedImage, tokens: list, decoded: list[MaskLogits], one_thing: list[int]) -> None:
        """Put a second answer in the place of the first where a phrase names one thing.

        It has a click of the model's own besides the words, in the middle of what the first answer is surest of:
        where that wavers between things it settles on one, and outlines are what a segmenter knows from clicks.
        Whether there is anything at all stays with the first, for a click says that there is.
        """
        if not one_thing:
            return
        first = [decoded[i] for i in one_thing]
        points = surest_points(torch.cat([masks.low_res_masks for masks in first]), encoded.geometry)
        points = points.to(self.runtime.device)
        labels = torch.ones(points.shape[:2], dtype=torch.int64, device=points.device)
        with model_step(self.runtime, half=False):
            words = torch.cat([tokens[i] for i in one_thing]).float()
            again = self.model.decode(encoded.features.float(), words, (points, labels))
        for row, (i, masks) in enumerate(zip(one_thing, first, strict=True)):
            decoded[i] = replace(again.row(row), object_score_logits=presence_logits(masks))

    def _warnings(self, phrase: str, read: dict[str, str], cut: bool) -> tuple[str, ...]:
        info = self.checkpoint.info
        found = []
        if phrase.startswith(SEMANTIC_PREFIX) and (warning := semantic_warning(info)):
            found.append(warning)
        if read:
            found.append(f"{info.name} never learned {_some(list(read))}; read as {_some(list(read.values()))}.")
        if unknown := unknown_words(phrase, info.vocabulary):
            guess = "the answer is a guess; a published checkpoint may know better"
            found.append(f"{info.name} never learned {_some(unknown)}: {guess}.")
        if cut:
            found.append("The phrase is longer than this checkpoint reads; its end was left out.")
        return tuple(found)

    def to_pixels(self, masks: MaskLogits, encoded: EncodedImage) -> np.ndarray:
        """Logits (P, h, w) at the picture's own size, float32 (P, H, W): the one way back.

        As far as the checkpoint asks for it, 0 is where a pixel begins to be worth its risk to the IoU, and no longer
        where it is as likely in as out: see :func:`~evfsam.processing.masks.worth_including`.
        """
        low_res_masks = masks.low_res_masks
        if encoded.guide is not None:
            logits = follow_edges(low_res_masks, encoded.guide)
        else:
            logits = restore(low_res_masks, encoded.geometry).cpu().numpy()
        if share := self.checkpoint.info.iou_thresholds:
            logits += share * worth_including(masks.iou_predictions).cpu().numpy()[:, None, None]
        return logits

    def drop_strays(self, mask_logits: np.ndarray, prompt: str) -> np.ndarray:
        """Logits (H, W) of the answer to words without pieces that are hardly meant, if this checkpoint asks for it:
        of one thing those apart from it (:func:`~evfsam.processing.masks.without_strays`), of all of a kind small ones
        that are nowhere sure (:func:`~evfsam.processing.masks.without_faint`). Who clicks may mean any piece.
        """
        if not self.checkpoint.info.drops_strays:
            return mask_logits
        all_of_a_kind = clean_prompt(prompt).startswith(SEMANTIC_PREFIX)
        return without_faint(mask_logits) if all_of_a_kind else without_strays(mask_logits)

    def guide_by(self, image: np.ndarray, geometry: Geometry) -> EdgeGuide | None:
        """What outlines are to follow in a picture, uint8 (H, W, 3); None if this checkpoint's do not."""
        return guide_by(image, geometry) if self.checkpoint.info.follows_edges else None

    def is_absent(self, masks: MaskLogits) -> bool:
        """Whether an answer to words (a batch of one) says that they name nothing here."""
        return self.checkpoint.info.denies(self._presence(masks))

    def _presence(self, masks: MaskLogits) -> float | None:
        """0..1; None from a segmenter that neither has such an output nor learned to say it with the mask."""
        if masks.object_score_logits is None and self.checkpoint.info.presence_threshold is None:
            return None
        return float(presence_logits(masks)[0].sigmoid())

    def _segmentation(
        self, prompt: str, masks: MaskLogits, encoded: EncodedImage, warnings, by_words: bool
    ) -> Segmentation:
        logits = self.to_pixels(masks, encoded)[0]
        if by_words:
            absent = self.is_absent(masks)
            logits = np.full_like(logits, ABSENT_LOGIT) if absent else self.drop_strays(logits, prompt)
        return Segmentation(
            prompt=prompt,
            mask_logits=logits,
            score=float(masks.iou_predictions[0].float().clamp(0, 1)),
            presence=self._presence(masks),
            warnings=warnings,
        )


def _some(words: Sequence[str], most: int = 8, letters: int = 40) -> str:
    """The first of many words, none of them endless."""
    named = [repr(word if len(word) <= letters else word[:letters] + "...") for word in words[:most]]
    return ", ".join(named) + (f" and {len(words) - most} more" if len(words) > most else "")


def _shape_salt(array: np.ndarray) -> bytes:
    """Sixteen bytes that tell a 2 x 6 picture from a 3 x 4 one of the same bytes."""
    return np.asarray(array.shape[:2], dtype=np.uint64).tobytes()
