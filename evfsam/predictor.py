"""An image and prompts in, masks out."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from evfsam import values
from evfsam.checkpoints.load import LoadedCheckpoint, load_checkpoint
from evfsam.checkpoints.registry import default_model, semantic_warning
from evfsam.media.images import ImageSource, open_image
from evfsam.processing.inputs import prepare, prepare_spatial, spatial_prompts
from evfsam.processing.masks import restore
from evfsam.processing.text import SEMANTIC_PREFIX, clean_prompt, tokenize
from evfsam.refine.refinement import Refinement
from evfsam.refine.refiner import make_refiner
from evfsam.refine.zoom import zoom_in
from evfsam.runtime import Runtime, choose_runtime, model_step
from evfsam.types import EncodedImage, MaskLogits, PointPrompt, Segmentation, SpatialPrompt, join

KEPT_IMAGES = 4  # features of SAM-2 at 1024 px take about 100 MB per image


class Predictor:
    """Segments images by prompts with one checkpoint.

    The last few images are kept encoded and found by content. Threads may share it: model steps take turns.
    """

    def __init__(self, checkpoint: LoadedCheckpoint, runtime: Runtime):
        self.checkpoint, self.runtime = checkpoint, runtime
        self.model, self.info = checkpoint.model, checkpoint.info
        self.refiner = make_refiner(self.info.name, self.info.refinement, self.info.vocabulary)
        self._pixels = self.model.config.pixels
        self._kept: OrderedDict[bytes, EncodedImage] = OrderedDict()

    @classmethod
    def from_pretrained(cls, name: str | Path | None = None, device="auto", precision="auto") -> Predictor:
        """Load a checkpoint, ready to segment.

        Args:
            name: a name from :func:`evfsam.list_models`, a folder, or "owner/name" on the Hub ("@" and a revision may
                follow); None for the default bundled checkpoint.
            device: "auto" (CUDA, else MPS, else the CPU), "cpu", "cuda", "cuda:1" or "mps".
            precision: "auto", "fp32", "fp16", "bf16", "8bit" or "4bit", as far as the device can.

        Raises CheckpointError for a checkpoint, InputError for a device or a precision that cannot be used.
        """
        runtime = choose_runtime(device, precision)
        name = name or default_model().name
        return cls(load_checkpoint(name, runtime.device, runtime.dtype, runtime.quantized_bits), runtime)

    def with_refinement(self, refinement: Refinement) -> Predictor:
        """The same model with another refinement, for example ``Refinement()``: the paper's answers alone."""
        return Predictor(replace(self.checkpoint, info=replace(self.info, refinement=refinement)), self.runtime)

    def segment(
        self,
        image: ImageSource | EncodedImage,
        prompts: Sequence[str] | str,
        points: Sequence[PointPrompt | None] | None = None,
        boxes: Sequence[Sequence[float] | None] | None = None,
    ) -> list[Segmentation]:
        """One mask per prompt.

        Args:
            image: uint8 (H, W, 3), or anything that :func:`evfsam.media.images.open_image` reads, or the result of
                :meth:`encode`.
            prompts: texts. "[semantic] " before a text asks for everything of a category or part. A text may be
                empty where there are points or a box.
            points: one entry per prompt: points that refine it, or None.
            boxes: one entry per prompt: (x_min, y_min, x_max, y_max) in pixels of the image, or None.

        Raises InputError for an image, a text, a point or a box that cannot be used.
        """
        return list(self.iter_segment(image, prompts, points, boxes))

    def iter_segment(self, image, prompts, points=None, boxes=None) -> Iterator[Segmentation]:
        """As :meth:`segment`, but one mask at a time is brought to the image's size: this saves memory."""
        encoded = image if isinstance(image, EncodedImage) else self.encode(image)
        prompts = values.prompts(prompts)
        spatial: list[SpatialPrompt | None] = [None] * len(prompts)
        if points is not None or boxes is not None:
            spatial = spatial_prompts(points, boxes, len(prompts), encoded.geometry.original_size_hw)
        masks, warnings = self.decode(encoded, prompts, spatial)
        return (self.finish(masks, i, encoded, prompt, warnings[i], spatial[i]) for i, prompt in enumerate(prompts))

    def encode(self, image: ImageSource, whole: bool = True) -> EncodedImage:
        """Encode an image, or find it among those kept. ``whole=False``: a part of another, neither kept nor zoomed."""
        opened = open_image(image)
        salt = np.asarray(opened.shape[:2], np.uint64).tobytes()  # a 2 x 6 image may have the bytes of a 3 x 4 one
        key = hashlib.blake2b(np.ascontiguousarray(opened).data, digest_size=16, salt=salt).digest()
        encoded = self._kept.pop(key, None) if whole else None
        if encoded is None:
            inputs, device = prepare(opened, self._pixels), self.runtime.device
            with model_step(self.runtime):
                features = self.model.encode_image(inputs.segmenter_pixels.to(device))
            own = opened.copy() if self.refiner and opened is image else opened  # the caller may use its array again
            guide = self.refiner.guide(own, inputs.geometry) if self.refiner else None
            near = own if whole and self.refiner and self.refiner.refinement.zoom else None
            encoded = EncodedImage(features, inputs.encoder_pixels.to(device), inputs.geometry, guide, near)
        if whole:
            self._kept[key] = encoded
        while len(self._kept) > KEPT_IMAGES:
            self._kept.popitem(last=False)
        return encoded

    def decode(
        self, encoded: EncodedImage, prompts: Sequence[str], spatial: Sequence[SpatialPrompt | None]
    ) -> tuple[MaskLogits, list[tuple[str, ...]]]:
        """Mask logits of P prompts on one image as one batch, and warnings per prompt.

        Raises InputError for a text that cannot be used.
        """
        read = {i: clean_prompt(text) for i, text in enumerate(prompts) if spatial[i] is None or text.strip()}
        warnings: list[tuple[str, ...]] = [()] * len(prompts)
        tokens: dict[int, torch.Tensor] = {}
        if self.refiner:
            for i, cleaned in read.items():
                read[i], warnings[i] = self.refiner.read(cleaned)
        if read:
            text = tokenize(self.checkpoint.tokenizer, list(read.values()), self.model.config.encoder.longest_text)
            token_ids = text.token_ids.to(self.runtime.device)
            padding = text.padding_mask.to(self.runtime.device) if text.padding_mask.any() else None  # faster
            with model_step(self.runtime):
                read_tokens = self.model.encode_prompt(encoded.encoder_pixels, token_ids, padding).float()
            for row, i in enumerate(read):
                tokens[i] = read_tokens[row : row + 1]
                if read[i].startswith(SEMANTIC_PREFIX) and (warning := semantic_warning(self.info)):
                    warnings[i] += (warning,)
                if text.cut[row]:
                    warnings[i] += ("The prompt is longer than this checkpoint reads; its end was left out.",)
        # Prompts without points and boxes are decoded together, the others one by one.
        batches, order = [], [i for i in read if spatial[i] is None]
        with model_step(self.runtime, half=False):
            if order:
                batch = torch.cat([tokens[i] for i in order])
                masks = self.model.decode(encoded.features, batch)
                if self.refiner:
                    texts, decode = [read[i] for i in order], partial(self.model.decode, encoded.features)
                    masks = self.refiner.decode_again(masks, texts, encoded.geometry, batch, decode)
                batches.append(masks)
            for i, by_hand in enumerate(spatial):
                if by_hand is not None:
                    points, boxes = prepare_spatial(by_hand, encoded.geometry, self.runtime.device)
                    batches.append(self.model.decode(encoded.features, tokens.get(i), points, boxes))
                    order.append(i)
        if len(batches) > 1:
            batches = [join(batches).rows([order.index(i) for i in range(len(spatial))])]
        return batches[0], warnings

    def finish(
        self,
        masks: MaskLogits,
        row: int,
        encoded: EncodedImage,
        prompt: str,
        warnings: tuple[str, ...] = (),
        spatial: SpatialPrompt | None = None,
        text_alone: bool | None = None,
    ) -> Segmentation:
        """Mask logits -> the answer to one prompt, for images and for frames of a clip.

        Args:
            spatial: the points and the box of the prompt.
            text_alone: whether a text alone asks here; None if ``spatial`` tells. A tracker tells it.
        """
        if self.refiner:
            text_alone = spatial is None if text_alone is None else text_alone
            logits, presence = self.refiner.finish(masks.rows([row]), encoded.geometry, encoded.guide, text_alone)
            if encoded.image is not None and (spatial or not clean_prompt(prompt).startswith(SEMANTIC_PREFIX)):
                logits = zoom_in(logits, encoded.image, spatial, self._decode_part)
        else:
            score = masks.object_score_logits
            presence = None if score is None else float(score[row].float().sigmoid())
            logits = restore(masks.low_res_masks[row : row + 1], encoded.geometry)[0].cpu().numpy()
        iou = float(masks.iou_predictions[row].float().clamp(0, 1))
        return Segmentation(prompt, logits, iou, presence, warnings)

    def _decode_part(self, image: np.ndarray, spatial: SpatialPrompt) -> np.ndarray:
        """Logits of a mask by points and a box on a part of an image. The part is neither kept nor zoomed into."""
        encoded = self.encode(image, whole=False)
        masks, _ = self.decode(encoded, [""], [spatial])
        return self.finish(masks, 0, encoded, "", spatial=spatial).mask_logits

    def cls_attention(self, image: ImageSource, prompt: str) -> np.ndarray:
        """Where [CLS] looks (paper, figure 5): float32 (n, n), n encoder patches per side, sum <= number of heads."""
        encoded, text = self.encode(image), clean_prompt(prompt)
        text = self.refiner.read(text)[0] if self.refiner else text
        tokens = tokenize(self.checkpoint.tokenizer, [text], self.model.config.encoder.longest_text)
        with model_step(self.runtime):
            weights = self.model.cls_attention(encoded.encoder_pixels, tokens.token_ids.to(self.runtime.device))
        return weights[0].float().cpu().numpy()
