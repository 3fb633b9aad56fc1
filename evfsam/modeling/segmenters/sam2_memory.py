"""SAM-2's memory (arXiv 2408.00714, section 4) as explicit, bounded state over the package's step functions.

Objects are batch rows: P objects that were prompted on the same frames share one :class:`MemoryBank` and one
encoding of each frame. Nothing here turns gradients off, takes a lock or chooses a device, so the same steps
serve tracking and training. The bank never learns how long the clip is.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace

import torch
from sam2.modeling.sam2_base import NO_OBJ_SCORE
from torch import nn
from torch.nn import functional as F

from evfsam.modeling.segmenters.sam2 import Sam2Segmenter
from evfsam.types import ImageFeatures, MaskLogits

# What the memory adds to SAM-2's picture model, as the package names it.
MEMORY_MODULES = (
    "memory_attention",
    "memory_encoder",
    "maskmem_tpos_enc",
    "no_mem_pos_enc",
    "mask_downsample",
    "obj_ptr_proj",
    "no_obj_ptr",
)


def memory_parameters(segmenter: nn.Module) -> list[nn.Parameter]:
    """Those that only clips can teach; none of another segmenter's."""
    return [p for name, p in segmenter.named_parameters() if name.startswith(MEMORY_MODULES)]


@dataclass(frozen=True)
class FrameFeatures:
    """One frame, shared by all objects, or P frames, one an object.

    Attributes:
        image: features as they leave the neck, nothing of a memory added.
        position: (1 or P, C, h, w), the positional encoding of the coarsest level.
    """

    image: ImageFeatures
    position: torch.Tensor

    def rows(self, count: int) -> FrameFeatures:
        """The same with one row an object; views, not copies."""
        if len(self.image) == count:
            return self
        levels = [
            level.expand(count, -1, -1, -1) for level in (self.image.image_embeddings, *self.image.high_res_features)
        ]
        return FrameFeatures(ImageFeatures(levels[0], tuple(levels[1:])), self.position)


@dataclass(frozen=True)
class Memory:
    """What is kept of one frame for P objects.

    Attributes:
        pointer: (P, C), the object in one vector.
        spatial: (P, memory_width, h, w); None once the frame is too old to be looked at.
    """

    pointer: torch.Tensor
    spatial: torch.Tensor | None


@dataclass
class MemoryBank:
    """Memories of P objects by absolute frame index; its size does not depend on the number of frames.

    Attributes:
        spatial_frames: how many recent frames keep their spatial memory.
        pointer_frames: how many recent frames keep their pointer.
        prompted: frames with a prompt; they stay for good.
        recent: the newest of the others.
    """

    spatial_frames: int
    pointer_frames: int
    prompted: dict[int, Memory] = field(default_factory=dict)
    recent: dict[int, Memory] = field(default_factory=dict)

    def add(self, index: int, memory: Memory, prompted: bool) -> None:
        """Keep a frame's memory and let go of what the next frame will not look at."""
        self.recent.pop(index, None)
        self.prompted.pop(index, None)
        (self.prompted if prompted else self.recent)[index] = memory
        for other in list(self.recent):
            age = abs(index - other)
            if age >= self.pointer_frames:
                del self.recent[other]
            elif age >= self.spatial_frames:
                self.recent[other] = replace(self.recent[other], spatial=None)

    def select(self, rows: list[int]) -> MemoryBank:
        """A bank of some of the objects."""
        return replace(
            self,
            prompted={i: _select(memory, rows) for i, memory in self.prompted.items()},
            recent={i: _select(memory, rows) for i, memory in self.recent.items()},
        )

    def only_prompted(self) -> MemoryBank:
        """A bank without the frames that nobody vouched for: where a corrected track starts again."""
        return replace(self, prompted=dict(self.prompted), recent={})

    def __len__(self) -> int:
        """Number of objects."""
        memory = next(iter(self.prompted.values()), None)
        return 0 if memory is None else len(memory.pointer)


def _select(memory: Memory, rows: list[int]) -> Memory:
    return Memory(memory.pointer[rows], None if memory.spatial is None else memory.spatial[rows])


class Sam2Memory:
    """Frame by frame: encode, look into the memory, decode, remember.

    Args:
        segmenter: built with its memory modules; raises ValueError if it was not.
    """

    def __init__(self, segmenter: Sam2Segmenter):
        if not segmenter.config.memory:
            raise ValueError("this SAM-2 was built without memory modules")
        self.segmenter = segmenter

    def new_bank(self) -> MemoryBank:
        # Seen from the next frame, the newest memory is one frame old: SAM2Base looks back num_maskmem - 1
        # frames for spatial memories and max_obj_ptrs_in_encoder - 1 for pointers.
        return MemoryBank(self.segmenter.num_maskmem - 1, self.segmenter.max_obj_ptrs_in_encoder - 1)

    def encode_frame(self, pixels: torch.Tensor) -> FrameFeatures:
        """(B, 3, image_size, image_size), normalised -> features of B frames."""
        encoded = self.segmenter.forward_image(pixels)
        *high_res, embeddings = [level.float() for level in encoded["backbone_fpn"]]
        return FrameFeatures(ImageFeatures(embeddings, tuple(high_res)), encoded["vision_pos_enc"][-1])

    def without_memory(self, frame: FrameFeatures) -> ImageFeatures:
        """Features for a prompt that needs no memory; equal to ``EvfSam.encode_image`` of that frame."""
        return self.segmenter.without_memory(frame.image)

    def with_memory(self, frame: FrameFeatures, bank: MemoryBank, index: int, reverse: bool = False) -> ImageFeatures:
        """The frame's features after attention to the bank, one row an object.

        Args:
            index: the frame's absolute index.
            reverse: the clip is being tracked towards its start.
        """
        frame = frame.rows(len(bank))
        embeddings = frame.image.image_embeddings
        fused = self.segmenter._prepare_memory_conditioned_features(
            frame_idx=index,
            is_init_cond_frame=False,
            current_vision_feats=[_tokens(embeddings)],
            current_vision_pos_embeds=[_tokens(frame.position.expand_as(embeddings))],
            feat_sizes=[embeddings.shape[-2:]],
            output_dict={
                "cond_frame_outputs": self._as_outputs(bank.prompted, frame),
                "non_cond_frame_outputs": self._as_outputs(bank.recent, frame),
            },
            num_frames=sys.maxsize,  # only ever used as an upper limit
            track_in_reverse=reverse,
        )
        return ImageFeatures(fused, frame.image.high_res_features)

    def track(self, frame: FrameFeatures, bank: MemoryBank, index: int, reverse: bool = False) -> MaskLogits:
        """Masks of the bank's P objects on a frame without a prompt.

        Logits are as the decoder gives them, also where it thinks that the object is not there: see
        :func:`hide_absent`.
        """
        return self._decode_unprompted(self.with_memory(frame, bank, index, reverse))

    def refine(
        self,
        frame: FrameFeatures,
        bank: MemoryBank,
        index: int,
        points: tuple[torch.Tensor, torch.Tensor] | None,
        boxes: torch.Tensor | None,
        reverse: bool = False,
    ) -> MaskLogits:
        """As :meth:`track`, corrected by points and boxes, which go in with the mask they correct, as SAM-2 learned.

        Args:
            points, boxes: as in ``EvfSam.decode``, P rows.
        """
        features = self.with_memory(frame, bank, index, reverse)
        tracked = hide_absent(self._decode_unprompted(features))
        # The package clamps them so, against "rare numerical issues".
        mask_prompt = tracked.low_res_masks.clamp(-32, 32).unsqueeze(1)
        sparse, dense = self.segmenter.sam_prompt_encoder(points=points, boxes=boxes, masks=mask_prompt)
        clicks = (0 if points is None else points[1].shape[1]) + (0 if boxes is None else 2)
        return self.segmenter.decode(features, sparse, dense, self._multimask(clicks))

    def _decode_unprompted(self, features: ImageFeatures) -> MaskLogits:
        # No prompt at all is a padding point, as the package has it; the prompt encoder adds a second.
        embeddings = features.image_embeddings
        nowhere = torch.zeros(len(embeddings), 1, 2, device=embeddings.device)
        padding = torch.full((len(embeddings), 1), -1, device=embeddings.device)
        sparse, dense = self.segmenter.embed_prompts((nowhere, padding))
        return self.segmenter.decode(features, sparse, dense, self._multimask(clicks=0))

    def _multimask(self, clicks: int) -> bool:
        """Whether to take the best of three masks; the package counts a box as two clicks."""
        counted = None if clicks == 0 else {"point_labels": torch.empty(1, clicks)}
        return self.segmenter._use_multimask(is_init_cond_frame=False, point_inputs=counted)

    def remember(
        self, bank: MemoryBank, frame: FrameFeatures, index: int, masks: MaskLogits, prompted: bool = False
    ) -> None:
        """Encode a frame's P masks into the bank.

        Args:
            prompted: the masks answer a prompt; they are binarised before encoding (SAM2Base does so in
                evaluation mode) and stay in the bank for good.
        """
        spatial = self.encode_memory(frame, hide_absent(masks), prompted)
        bank.add(index, Memory(self.object_pointer(masks), spatial), prompted)

    def encode_memory(self, frame: FrameFeatures, masks: MaskLogits, prompted: bool) -> torch.Tensor:
        """(P, memory_width, h, w) of a frame and P masks."""
        frame = frame.rows(len(masks.low_res_masks))
        size = (self.segmenter.image_size,) * 2
        logits = F.interpolate(masks.low_res_masks.float().unsqueeze(1), size, mode="bilinear", align_corners=False)
        embeddings = frame.image.image_embeddings
        spatial, _ = self.segmenter._encode_new_memory(
            current_vision_feats=[_tokens(embeddings)],
            feat_sizes=[embeddings.shape[-2:]],
            pred_masks_high_res=logits,
            object_score_logits=masks.object_score_logits,
            is_mask_from_pts=prompted,
        )
        return spatial

    def object_pointer(self, masks: MaskLogits) -> torch.Tensor:
        """(P, C): the objects as their mask tokens tell, or the learned "not there"."""
        pointer = self.segmenter.obj_ptr_proj(masks.mask_tokens)
        visible = masks.object_score_logits.unsqueeze(1) > 0
        return torch.where(visible, pointer, self.segmenter.no_obj_ptr.to(pointer.dtype))

    def _as_outputs(self, memories: dict[int, Memory], frame: FrameFeatures) -> dict[int, dict]:
        """The bank in the form that SAM2Base reads."""
        if not memories:
            return {}
        position = self._memory_position(frame)
        return {
            index: {
                "maskmem_features": memory.spatial,
                "maskmem_pos_enc": [position],
                "obj_ptr": memory.pointer,
            }
            for index, memory in memories.items()
        }

    def _memory_position(self, frame: FrameFeatures) -> torch.Tensor:
        """(P, memory_width, h, w): the same for every memory, so it is not kept with them."""
        embeddings = frame.image.image_embeddings
        count, (height, width) = len(embeddings), embeddings.shape[-2:]
        like = embeddings.new_empty(1, self.segmenter.mem_dim, height, width)
        return self.segmenter.memory_encoder.position_encoding(like).expand(count, -1, -1, -1)


def hide_absent(masks: MaskLogits) -> MaskLogits:
    """Masks of objects with a negative object score become empty (far below 0 everywhere)."""
    absent = (masks.object_score_logits <= 0)[:, None, None]
    return replace(masks, low_res_masks=masks.low_res_masks.masked_fill(absent, NO_OBJ_SCORE))


def _tokens(level: torch.Tensor) -> torch.Tensor:
    """(P, C, h, w) -> (h * w, P, C), the package's layout for attention."""
    return level.flatten(2).permute(2, 0, 1)
