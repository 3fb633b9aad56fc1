"""One pass through a clip in one direction: frame by frame, all objects together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from evfsam.modeling.segmenters.sam2_memory import FrameFeatures, MemoryBank, Sam2Memory, hide_absent, join
from evfsam.predictor import EncodedImage, Predictor
from evfsam.processing.inputs import prepare, prepare_clicks
from evfsam.runtime import model_step
from evfsam.types import MaskLogits, TrackedObject, VideoPrompt

SAME_THING = 0.3  # IoU from which the words' answer and the memory's speak of one thing


@dataclass
class Group:
    """Objects that share their prompted frames: the rows of one memory bank."""

    object_ids: list[int]
    bank: MemoryBank


@dataclass(frozen=True)
class ObjectMasks:
    """What the decoder says of one object on one frame."""

    object_id: int
    name: str
    masks: MaskLogits  # one row
    warnings: tuple[str, ...] = ()
    prompted: bool = False


class Propagator:
    """One pass through a clip in one direction.

    Args:
        find_again: ask on every frame, as on a picture, for what was named by words: it may be back in sight, or the
            memory may have gone over to something else. SAM 3 (arXiv 2511.16719) prompts its tracker anew by its
            detector in this way; EVF-SAM leaves all to the memory. Only with a checkpoint that learned to say that
            words name nothing here, for another would take something else while the thing is hidden.
    """

    def __init__(self, predictor: Predictor, prompts: Sequence[VideoPrompt], reverse: bool, find_again: bool):
        self.predictor, self.reverse = predictor, reverse
        self.find_again = find_again and predictor.checkpoint.info.presence_threshold is not None
        self.memory = Sam2Memory(predictor.model.visual_model)
        self.prompts: dict[int, list[VideoPrompt]] = {}
        self.names: dict[int, str] = {}
        for prompt in prompts:
            self.prompts.setdefault(prompt.frame_index, []).append(prompt)
            self.names.setdefault(prompt.object_id, name_of(prompt))
        self.phrases = {p.object_id: p.phrase for p in reversed(prompts) if p.phrase.strip()}
        self.unclicked = phrases_alone(prompts)
        self.groups: list[Group] = []
        self.found_again: dict[int, int] = {}  # object id -> the last frame on which its words found it again

    def step(self, index: int, image: np.ndarray, allow_overlap: bool) -> tuple[TrackedObject, ...]:
        """All objects on one frame. The lock is held in here, never while the caller has the result."""
        if not self.groups and index not in self.prompts:
            return ()
        predictor = self.predictor
        inputs = prepare(image, predictor.model.config.pixels)
        device = predictor.runtime.device
        with model_step(predictor.runtime):
            frame = self.memory.encode_frame(inputs.segmenter_pixels.to(device))
            encoded = EncodedImage(
                self.memory.without_memory(frame),
                inputs.encoder_pixels.to(device),
                inputs.geometry,
                predictor.guide_by(image, inputs.geometry),
            )
            prompts = self.prompts.get(index, [])
            corrected = self._take_out({p.object_id for p in prompts})
            answers = self._track_groups(index, frame)
            if self.find_again:
                answers = self._ask_again(index, frame, encoded, answers)
            answers += self._prompt(index, frame, encoded, prompts, corrected)
            answers.sort(key=lambda answer: list(self.names).index(answer.object_id))
            return tracked_objects(predictor, answers, encoded, allow_overlap, self.unclicked)

    def _track_groups(self, index: int, frame: FrameFeatures) -> list[ObjectMasks]:
        """The objects without a prompt here, a group at a time."""
        answers = []
        for group in self.groups:
            masks = self.memory.track(frame, group.bank, index, self.reverse)
            self.memory.remember(group.bank, frame, index, masks)
            answers += [ObjectMasks(i, self.names[i], masks.row(row)) for row, i in enumerate(group.object_ids)]
        return answers

    def _ask_again(
        self, index: int, frame: FrameFeatures, encoded: EncodedImage, answers: list[ObjectMasks]
    ) -> list[ObjectMasks]:
        """The answers, those of the words in the place of the memory's where the words are believed.

        Such an object goes on as from a prompt, but only the last find is kept: a bank does not grow by them.
        """
        asked = [answer for answer in answers if answer.object_id in self.phrases]
        said = self.predictor.answers(encoded, [self.phrases[a.object_id] for a in asked]) if asked else []
        found = {
            answer.object_id: words
            for answer, (words, _) in zip(asked, said, strict=True)
            if not self.predictor.is_absent(words) and is_surer(words, answer.masks)
        }
        for i, bank in self._take_out(set(found)).items():
            bank = bank.only_prompted()
            bank.prompted.pop(self.found_again.get(i), None)
            self.memory.remember(bank, frame, index, found[i], prompted=True)
            self.groups.append(Group([i], bank))
            self.found_again[i] = index
        return [replace(a, masks=found.get(a.object_id, a.masks)) for a in answers]

    def _take_out(self, object_ids: set[int]) -> dict[int, MemoryBank]:
        """Banks of their own for objects that are about to be corrected."""
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
        """The objects with a prompt here; new ones become one group, corrected ones a group each.

        Words are answered as on a picture, without memory, for that is what EVF-SAM learned; clicks alone on
        an object that is being followed correct what the memory says.
        """
        answers: dict[int, tuple[MaskLogits, tuple[str, ...]]] = {}
        for p in prompts:
            if p.object_id in corrected and not p.phrase.strip():
                answers[p.object_id] = self._refine(index, frame, encoded, p, corrected[p.object_id]), ()
        others = [p for p in prompts if p.object_id not in answers]
        if others:
            said = self.predictor.answers(encoded, [p.phrase for p in others], [p.clicks for p in others])
            answers.update({p.object_id: answer for p, answer in zip(others, said, strict=True)})
        started = [p.object_id for p in prompts if p.object_id not in corrected]
        groups = [Group([i], bank.only_prompted()) for i, bank in corrected.items()]
        if started:
            groups.append(Group(started, self.memory.new_bank()))
        for group in groups:
            masks = join([answers[i][0] for i in group.object_ids])
            self.memory.remember(group.bank, frame, index, masks, prompted=True)
        self.groups += groups
        return [ObjectMasks(i, self.names[i], masks, warnings, True) for i, (masks, warnings) in answers.items()]

    def _refine(
        self, index: int, frame: FrameFeatures, encoded: EncodedImage, prompt: VideoPrompt, bank: MemoryBank
    ) -> MaskLogits:
        points, boxes = prepare_clicks(prompt.clicks, encoded.geometry)
        device = encoded.features.image_embeddings.device
        points = None if points is None else tuple(part.to(device) for part in points)
        boxes = None if boxes is None else boxes.to(device)
        return self.memory.refine(frame, bank, index, points, boxes, self.reverse)


def is_visible(masks: MaskLogits) -> bool:
    """Whether one row's object is there and covers anything."""
    return bool(masks.object_score_logits[0] > 0) and bool((masks.low_res_masks > 0).any())


def is_surer(words: MaskLogits, memory: MaskLogits) -> bool:
    """Whether the words found something that the memory does not see, or something else with a higher score."""
    if not is_visible(words):
        return False
    if not is_visible(memory):
        return True
    a, b = words.low_res_masks > 0, memory.low_res_masks > 0
    overlap = (a & b).sum() / (a | b).sum()
    return bool(overlap < SAME_THING) and bool(words.iou_predictions[0] > memory.iou_predictions[0])


def name_of(prompt: VideoPrompt) -> str:
    """What the user calls the object that this prompt starts."""
    return prompt.phrase.strip() or f"object {prompt.object_id}"


def phrases_alone(prompts: Sequence[VideoPrompt]) -> dict[int, str]:
    """Object id -> phrase, of the objects that nobody clicked on."""
    clicked = {p.object_id for p in prompts if p.clicks is not None}
    return {p.object_id: p.phrase for p in reversed(prompts) if p.object_id not in clicked}


def tracked_objects(
    predictor: Predictor,
    answers: Sequence[ObjectMasks],
    encoded: EncodedImage,
    allow_overlap: bool,
    unclicked: dict[int, str],
) -> tuple[TrackedObject, ...]:
    """Answers as the user gets them, at the size of the frame.

    ``unclicked`` is from :func:`phrases_alone`.
    """
    if not answers:
        return ()
    masks = hide_absent(join([answer.masks for answer in answers]))
    logits = predictor.to_pixels(masks, encoded)
    for row, answer in enumerate(answers):
        if answer.object_id in unclicked:
            logits[row] = predictor.drop_strays(logits[row], unclicked[answer.object_id])
    logits = logits if allow_overlap else _without_overlap(logits)
    scores = masks.iou_predictions.float().clamp(0, 1).tolist()
    presences = masks.object_score_logits.float().sigmoid().tolist()
    objects = []
    for row, answer in enumerate(answers):
        found = TrackedObject(
            prompt=answer.name,
            mask_logits=logits[row],
            score=scores[row],
            presence=presences[row],
            warnings=answer.warnings,
            object_id=answer.object_id,
        )
        objects.append(_with_not_found(found) if answer.prompted and not found.visible else found)
    return tuple(objects)


def _with_not_found(found: TrackedObject) -> TrackedObject:
    what = f'"{found.prompt}"' if found.prompt.strip() else f"object {found.object_id}"
    warning = f"Nothing on this frame answers to {what}: choose another frame, or scan for the first that does."
    return replace(found, warnings=(*found.warnings, warning))


def _without_overlap(logits: np.ndarray) -> np.ndarray:
    """(P, H, W): each pixel stays with its highest logit; elsewhere -10, sure enough of "outside"."""
    rows = np.arange(len(logits)).reshape(-1, 1, 1)
    return np.where(logits.argmax(0) == rows, logits, np.minimum(logits, np.float32(-10.0)))
