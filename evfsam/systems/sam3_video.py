"""SAM 3 on a clip: every thing of a concept, with an id of its own from the frame on which it appears."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Sized
from pathlib import Path

import numpy as np
from transformers import Sam3VideoModel, Sam3VideoProcessor

from evfsam import values
from evfsam.media.images import open_frames
from evfsam.processing.text import SEMANTIC_PREFIX, clean_prompt
from evfsam.runtime import Runtime, model_step
from evfsam.systems.base import LOGIT, too_long
from evfsam.systems.registry import SystemInfo
from evfsam.systems.sam3 import tokens
from evfsam.systems.weights import pretrained, processor
from evfsam.types import TrackedFrame, TrackedObject


class Sam3Video:
    """SAM 3 (arXiv 2511.16719) detects on every frame and joins what it finds to the objects that it follows.

    It gives the same masks as transformers' ``propagate_in_video_iterator``, but keeps no frames. transformers does
    not remove doubles among its detections and does not fill holes unless the package ``kernels`` is installed.
    """

    def __init__(self, info: SystemInfo, runtime: Runtime, folders: list[Path]):
        self.info, self.runtime = info, runtime
        self.model = pretrained(Sam3VideoModel, folders[0], runtime)
        self.processor = processor(Sam3VideoProcessor, folders[0])
        self._most_tokens = self.model.config.detector_config.text_config.max_position_embeddings
        memory = self.model.config.tracker_config
        # The tracker looks back over fewer frames than this. Older ones are forgotten.
        self._looks_back = max(memory.num_maskmem, memory.max_object_pointers_in_encoder)

    def track(self, frames: Iterable[np.ndarray], prompts: Sequence[str] | str) -> Iterator[TrackedFrame]:
        """Every frame with the objects that are visible on it, in the order of their ids.

        ``score`` is the detector's probability, 0..1, when it first found the object. ``presence`` is None. Logits are
        +10 and -10. Ids start at 1, and none is used twice. Frames come late, by up to 15 in the published model: first
        the model takes back objects that it does not find again.

        Args:
            frames: images of one size, uint8 (H, W, 3), or what :func:`evfsam.media.images.open_image` reads.
            prompts: concepts. The same one twice counts once.

        Raises InputError for prompts that cannot be used and, while iterating, for frames.
        """
        asked: dict[str, str] = {}  # what the model reads -> what the user wrote
        for prompt in values.prompts(prompts):
            asked.setdefault(clean_prompt(prompt).removeprefix(SEMANTIC_PREFIX), prompt)
        return self._track(frames, asked)

    def _track(self, frames: Iterable[np.ndarray], asked: dict[str, str]) -> Iterator[TrackedFrame]:
        session = self._session(asked, len(frames) if isinstance(frames, Sized) else self._looks_back)
        cut = {text: too_long(self.info, self.processor.tokenizer, text, self._most_tokens) for text in asked}
        waiting: deque[tuple] = deque()
        for index, image in enumerate(open_frames(frames)):
            session.video_height, session.video_width = image.shape[:2]
            waiting.append((index, image, self._step(session, index, image)))
            if len(waiting) >= self.model.hotstart_delay:
                yield self._finished(session, asked, cut, *waiting.popleft())
        while waiting:
            yield self._finished(session, asked, cut, *waiting.popleft())

    def _session(self, asked: Iterable[str], frames: int):
        session = self.processor.init_video_session(inference_device=self.runtime.device)
        session.processed_frames = dict.fromkeys(range(frames))  # their number limits how far the tracker looks back
        for text in asked:
            key = session.add_prompt(text)
            words = tokens(self.processor.tokenizer, text, self._most_tokens).to(self.runtime.device)
            session.prompt_input_ids[key], session.prompt_attention_masks[key] = (
                words["input_ids"],
                words["attention_mask"],
            )
        return session

    def _step(self, session, index: int, image: np.ndarray):
        """The model's output for the next frame."""
        with model_step(self.runtime):
            session.add_new_frame(self.processor(images=image, return_tensors="pt")["pixel_values"], index)
            output = self.model(session, frame_idx=index)
        session.processed_frames[index] = None
        session.hotstart_removed_obj_ids.update(output.removed_obj_ids)
        for kept in session.output_dict_per_obj.values():
            kept["non_cond_frame_outputs"].pop(index - self._looks_back, None)
        return output

    def _finished(self, session, asked, cut, index: int, image: np.ndarray, output) -> TrackedFrame:
        """``cut``: text -> warnings that nobody has been given yet."""
        found = self.processor.postprocess_outputs(session, output)
        texts = {i: text for text, ids in found["prompt_to_obj_ids"].items() for i in ids}
        objects = tuple(
            TrackedObject(
                prompt=asked[texts[i]],
                mask_logits=np.where(mask, np.float32(LOGIT), np.float32(-LOGIT)),
                score=min(max(score, 0.0), 1.0),
                warnings=cut.pop(texts[i], ()),
                object_id=i + 1,
            )
            for i, score, mask in zip(
                found["object_ids"].tolist(), found["scores"].tolist(), found["masks"].cpu().numpy(), strict=True
            )
        )
        return TrackedFrame(index, image, objects)
