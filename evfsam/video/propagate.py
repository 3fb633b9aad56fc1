"""Tracks all objects through a clip in one direction, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from evfsam.geometry import mask_iou
from evfsam.modeling.segmenters.sam2_memory import FrameFeatures, MemoryBank, Sam2Memory, hide_absent, object_scores
from evfsam.predictor import Predictor
from evfsam.processing.inputs import prepare, prepare_spatial, spatial_prompts
from evfsam.processing.masks import mask_prompt
from evfsam.runtime import model_step
from evfsam.types import EncodedImage, MaskLogits, SpatialPrompt, TrackedObject, VideoPrompt, join

SAME_OBJECT = 0.3  # from this IoU on, the detection and the memory show the same object


@dataclass
class Group:
    """Objects that were prompted on the same frames. They are the rows of one memory bank."""

    object_ids: list[int]
    bank: MemoryBank


@dataclass(frozen=True)
class ObjectMasks:
    """Mask logits of one object on one frame.

    Attributes:
        masks: a batch of one.
        prompted: the object has a prompt on this frame.
    """

    object_id: int
    prompt: str
    masks: MaskLogits
    warnings: tuple[str, ...] = ()
    prompted: bool = False


class Propagator:
    """One pass through a clip in one direction.

    On its prompted frame, a text gets the same mask as on an image. If it is rejected, its mask is empty, and the
    memory stores the object as not visible. On other frames, SAM-2's object score alone decides whether an object is
    visible (above 0), because the rejection threshold was calibrated on prompts, not on memories.

    Args:
        redetect: detect every text again on every frame. The detection replaces the memory's mask if the memory finds
            nothing or another object. SAM 3 (arXiv 2511.16719) prompts its tracker in this way; EVF-SAM uses the
            memory alone. It works only with checkpoints that can reject a prompt: others would choose another object
            while the right one is hidden.
        asked: those of the prompts that this pass meets; None for all.
    """

    def __init__(
        self,
        predictor: Predictor,
        prompts: Sequence[VideoPrompt],
        reverse: bool,
        redetect: bool,
        asked: Sequence[VideoPrompt] | None = None,
    ):
        self.predictor, self.reverse = predictor, reverse
        self.redetect = redetect and predictor.info.refinement.reject_below is not None
        self.memory = Sam2Memory(predictor.model.visual_model)
        self.prompts: dict[int, list[VideoPrompt]] = {}
        self.names: dict[int, str] = {}
        asked = prompts if asked is None else asked
        self.earlier = [p for p in prompts if not any(p is other for other in asked)]
        for prompt in asked:
            self.prompts.setdefault(prompt.frame_index, []).append(prompt)
        for prompt in prompts:
            self.names.setdefault(prompt.object_id, name_of(prompt))
        self.texts = {p.object_id: p.text for p in reversed(prompts) if p.text.strip()}
        self.text_only = text_only(prompts)
        self.groups: list[Group] = []
        self.detected: dict[int, int] = {}  # object id -> the last frame on which its text was detected again

    def step(self, index: int, image: np.ndarray, allow_overlap: bool) -> tuple[TrackedObject, ...]:
        """All objects on one frame, an image, uint8 (H, W, 3). Frames must come in order.

        The lock of the model is released before this method returns.
        """
        if not self.groups and index not in self.prompts:
            return ()
        predictor = self.predictor
        inputs = prepare(image, predictor.model.config.pixels)
        device = predictor.runtime.device
        with model_step(predictor.runtime), ThreadPoolExecutor(1) as beside:
            guide = predictor.refiner and beside.submit(predictor.refiner.guide, image, inputs.geometry)
            frame = self.memory.encode_frame(inputs.segmenter_pixels.to(device))
            features = self.memory.without_memory(frame)
            encoded = EncodedImage(
                features, inputs.encoder_pixels.to(device), inputs.geometry, guide.result() if guide else None
            )
            prompts = self.prompts.get(index, [])
            corrected = self._take_out({p.object_id for p in prompts})
            found = self._track(index, frame)
            if self.redetect:
                found = self._detect_again(index, frame, encoded, found)
            found += self._prompt(index, frame, encoded, prompts, corrected)
            found.sort(key=lambda each: list(self.names).index(each.object_id))
            return finish_objects(predictor, found, encoded, allow_overlap, self.text_only)

    def recall(self, index: int, image: np.ndarray, object_id: int, mask: np.ndarray) -> None:
        """Remember an object's mask, bool (H, W), that is known on an earlier frame, an image as in :meth:`step`.

        The pointer is made anew: from the object's prompt on that frame, or by tracking from what was recalled before.
        Nothing happens if there is neither. Objects that step has met already cannot be recalled.
        """
        predictor = self.predictor
        group = next((group for group in self.groups if group.object_ids == [object_id]), None)
        prompts = [p for p in self.earlier if (p.object_id, p.frame_index) == (object_id, index)]
        inputs = prepare(image, predictor.model.config.pixels)
        with model_step(predictor.runtime):
            frame = self.memory.encode_frame(inputs.segmenter_pixels.to(predictor.runtime.device))
            if group is None or (prompts and prompts[0].text.strip()):
                if not prompts:
                    return
                features = self.memory.without_memory(frame)
                encoded = EncodedImage(
                    features, inputs.encoder_pixels.to(predictor.runtime.device), inputs.geometry, None
                )
                found = prompted_masks(predictor, encoded, prompts)[0].masks
            else:
                found = self.memory.track(frame, group.bank, index, self.reverse)
            if group is None:
                group = Group([object_id], self.memory.new_bank())
                self.groups.append(group)
            logits = mask_prompt(mask, inputs.geometry).to(found.low_res_masks)
            score = object_scores(found).abs() * (1 if mask.any() else -1)
            known = replace(found, low_res_masks=logits, object_score_logits=score)
            self.memory.remember(group.bank, frame, index, known, bool(prompts))

    def _track(self, index: int, frame: FrameFeatures) -> list[ObjectMasks]:
        """Masks of the objects without a prompt on this frame, from the memory."""
        found = []
        for group in self.groups:
            masks = self.memory.track(frame, group.bank, index, self.reverse)
            self.memory.remember(group.bank, frame, index, masks)
            found += [ObjectMasks(i, self.names[i], masks.rows([row])) for row, i in enumerate(group.object_ids)]
        return found

    def _detect_again(
        self, index: int, frame: FrameFeatures, encoded: EncodedImage, found: list[ObjectMasks]
    ) -> list[ObjectMasks]:
        """The objects with their masks, some of them replaced by a better detection.

        A replaced object goes on as after a prompt. Its bank keeps only the last detection, so it does not grow.
        """
        refiner = self.predictor.refiner
        with_text = [each for each in found if each.object_id in self.texts]
        if refiner is None or not with_text:
            return found
        texts = [self.texts[each.object_id] for each in with_text]
        detections, _ = self.predictor.decode(encoded, texts, [None] * len(texts))
        accepted = {}
        for row, each in enumerate(with_text):
            masks = detections.rows([row])
            if not refiner.rejects(masks) and is_better(masks, each.masks):
                accepted[each.object_id] = masks
        for i, bank in self._take_out(set(accepted)).items():
            bank = bank.only_prompted()
            bank.prompted.pop(self.detected.get(i, -1), None)
            self.memory.remember(bank, frame, index, accepted[i], prompted=True)
            self.groups.append(Group([i], bank))
            self.detected[i] = index
        return [replace(each, masks=accepted.get(each.object_id, each.masks)) for each in found]

    def _take_out(self, object_ids: set[int]) -> dict[int, MemoryBank]:
        """Remove objects from their groups. Returns one bank per object."""
        banks = {}
        for group in self.groups:
            stay = [row for row, i in enumerate(group.object_ids) if i not in object_ids]
            if len(stay) < len(group.object_ids):
                for row, i in enumerate(group.object_ids):
                    if i in object_ids:
                        banks[i] = group.bank.select([row])
                group.bank = group.bank.select(stay)
                group.object_ids = [group.object_ids[row] for row in stay]
        self.groups = [group for group in self.groups if group.object_ids]
        return banks

    def _prompt(
        self,
        index: int,
        frame: FrameFeatures,
        encoded: EncodedImage,
        prompts: Sequence[VideoPrompt],
        corrected: dict[int, MemoryBank],
    ) -> list[ObjectMasks]:
        """Masks of the objects with a prompt on this frame. New objects form one group, corrected ones one group each.

        Texts are decoded without memory, as EVF-SAM was trained. Points and boxes without a text correct the memory's
        mask if the object is already tracked.
        """
        found: dict[int, ObjectMasks] = {}
        for p in prompts:
            if p.text.strip():
                self.texts[p.object_id] = p.text
            elif p.object_id in corrected:
                check_spatial(p, encoded)
                spatial = p.spatial or SpatialPrompt()
                points, boxes = prepare_spatial(spatial, encoded.geometry, self.predictor.runtime.device)
                masks = self.memory.refine(frame, corrected[p.object_id], index, points, boxes, self.reverse)
                found[p.object_id] = ObjectMasks(p.object_id, self.names[p.object_id], masks, prompted=True)
        others = [p for p in prompts if p.object_id not in found]
        for p, answer in zip(others, prompted_masks(self.predictor, encoded, others), strict=True):
            found[p.object_id] = replace(answer, prompt=self.names[p.object_id])
        started = [p.object_id for p in prompts if p.object_id not in corrected]
        groups = [Group([i], bank.only_prompted()) for i, bank in corrected.items()]
        if started:
            groups.append(Group(started, self.memory.new_bank()))
        for group in groups:
            masks = join([self._hide_rejected(found[i]) for i in group.object_ids])
            self.memory.remember(group.bank, frame, index, masks, prompted=True)
        self.groups += groups
        return list(found.values())

    def _hide_rejected(self, found: ObjectMasks) -> MaskLogits:
        """The mask for the memory. An object whose text was rejected is stored as not visible."""
        refiner, masks = self.predictor.refiner, found.masks
        if refiner and found.object_id in self.text_only and refiner.rejects(masks):
            return replace(masks, object_score_logits=-object_scores(masks).abs())
        return masks


def prompted_masks(predictor: Predictor, encoded: EncodedImage, prompts: Sequence[VideoPrompt]) -> list[ObjectMasks]:
    """Mask logits of prompts on their frame, without memory. Raises InputError for a point outside the frame."""
    for p in prompts:
        check_spatial(p, encoded)
    if not prompts:
        return []
    masks, warnings = predictor.decode(encoded, [p.text for p in prompts], [p.spatial for p in prompts])
    return [
        ObjectMasks(p.object_id, name_of(p), masks.rows([row]), warnings[row], prompted=True)
        for row, p in enumerate(prompts)
    ]


def check_spatial(prompt: VideoPrompt, encoded: EncodedImage) -> None:
    """Raises InputError for points and boxes that are incomplete or outside the frame."""
    if prompt.spatial is not None:
        points, box = prompt.spatial.points, prompt.spatial.box
        spatial_prompts([points], [box], 1, encoded.geometry.original_size_hw)


def is_visible(masks: MaskLogits) -> bool:
    """Whether the object (a batch of one) has a positive object score and a mask that is not empty."""
    return bool(object_scores(masks)[0] > 0) and bool((masks.low_res_masks > 0).any())


def is_better(detection: MaskLogits, memory: MaskLogits) -> bool:
    """Whether the detection finds an object and the memory none, or another object with a lower score."""
    if not is_visible(detection):
        return False
    if not is_visible(memory):
        return True
    a, b = ((masks.low_res_masks[0] > 0).cpu().numpy() for masks in (detection, memory))
    return mask_iou(a, b) < SAME_OBJECT and bool(detection.iou_predictions[0] > memory.iou_predictions[0])


def name_of(prompt: VideoPrompt) -> str:
    """The name of the object that this prompt starts: its text, or "object" and its id."""
    return prompt.text.strip() or f"object {prompt.object_id}"


def text_only(prompts: Sequence[VideoPrompt]) -> set[int]:
    """The ids of the objects that have no point and no box on any frame."""
    return {p.object_id for p in prompts} - {p.object_id for p in prompts if p.spatial is not None}


def finish_objects(
    predictor: Predictor,
    found: Sequence[ObjectMasks],
    encoded: EncodedImage,
    allow_overlap: bool,
    text_only: set[int],
) -> tuple[TrackedObject, ...]:
    """Mask logits -> results at the frame's size, by :meth:`Predictor.finish`.

    Args:
        allow_overlap: as in :meth:`evfsam.video.tracker.VideoTracker.track`.
        text_only: from :func:`text_only`.
    """
    objects, encoded = [], replace(encoded, image=None)  # only single images are zoomed into
    for each in found:
        masks = hide_absent(each.masks)
        text_alone = each.prompted and each.object_id in text_only
        answer = predictor.finish(masks, 0, encoded, each.prompt, each.warnings, text_alone=text_alone)
        warnings = answer.warnings
        if each.prompted and not answer.mask.any():
            warnings += (_not_found(each),)
        objects.append(
            TrackedObject(
                prompt=each.prompt,
                mask_logits=answer.mask_logits,
                score=answer.score,
                presence=answer.presence,
                warnings=warnings,
                object_id=each.object_id,
            )
        )
    if allow_overlap or len(objects) < 2:
        return tuple(objects)
    logits = np.stack([each.mask_logits for each in objects])
    winner = logits.argmax(0)
    # -10 is clearly outside.
    return tuple(
        replace(each, mask_logits=np.where(winner == row, logits[row], np.minimum(logits[row], np.float32(-10))))
        for row, each in enumerate(objects)
    )


def _not_found(each: ObjectMasks) -> str:
    name = f'"{each.prompt}"' if each.prompt.strip() else f"object {each.object_id}"
    return f"Nothing on this frame matches {name}: choose another frame, or look for the first one that does."
