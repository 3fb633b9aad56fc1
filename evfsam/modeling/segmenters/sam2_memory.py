"""SAM-2's memory (arXiv 2408.00714, section 4) as explicit, bounded state over the package's step functions.

Objects are batch rows: P objects that were prompted on the same frames share one :class:`MemoryBank` and one
encoding of each frame. The code neither turns gradients off, nor takes a lock, nor chooses a device, so tracking and
training use the same steps. The size of the bank does not depend on the length of the clip.
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

# The modules that only tracking uses, by the package's names.
MEMORY_MODULES = (
    "memory_attention",
    "memory_encoder",
    "maskmem_tpos_enc",
    "no_mem_pos_enc",
    "mask_downsample",
    "obj_ptr_proj",
    "no_obj_ptr",
)


@dataclass(frozen=True)
class FrameFeatures:
    """One frame, shared by all objects, or P frames, one per object.

    Attributes:
        image: features from the neck, without any memory.
        position: (1 or P, C, h, w), positional encoding of the coarsest level.
    """

    image: ImageFeatures
    position: torch.Tensor

    def rows(self, count: int) -> FrameFeatures:
        """The same with ``count`` rows, one per object; views, not copies."""
        if len(self.image) == count:
            return self
        levels = [
            level.expand(count, -1, -1, -1) for level in (self.image.image_embeddings, *self.image.high_res_features)
        ]
        return FrameFeatures(ImageFeatures(levels[0], tuple(levels[1:])), self.position)


@dataclass(frozen=True)
class Memory:
    """The memory of P objects on one frame.

    Attributes:
        pointer: (P, C), one vector per object.
        spatial: (P, memory_width, h, w); None if the frame is too old to be used.
    """

    pointer: torch.Tensor
    spatial: torch.Tensor | None


@dataclass
class MemoryBank:
    """Memories of P objects by absolute frame index. Its size does not depend on the number of frames.

    Attributes:
        spatial_frames: number of recent frames that keep their spatial memory.
        pointer_frames: number of recent frames that keep their pointer.
        prompted: frames with a prompt; they are never dropped.
        recent: the newest other frames.
    """

    spatial_frames: int
    pointer_frames: int
    prompted: dict[int, Memory] = field(default_factory=dict)
    recent: dict[int, Memory] = field(default_factory=dict)

    def add(self, index: int, memory: Memory, prompted: bool) -> None:
        """Add a frame's memory and drop memories that the next frame does not use."""
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
        """A bank of the prompted frames only, from which a corrected track starts again."""
        return replace(self, prompted=dict(self.prompted), recent={})

    def __len__(self) -> int:
        """Number of objects."""
        memory = next(iter(self.prompted.values()), None)
        return 0 if memory is None else len(memory.pointer)


def _select(memory: Memory, rows: list[int]) -> Memory:
    return Memory(memory.pointer[rows], None if memory.spatial is None else memory.spatial[rows])


class Sam2Memory:
    """The steps of tracking: encode a frame, attend to the memory, decode, remember.

    Args:
        segmenter: SAM-2 with memory modules; raises ValueError for another.
    """

    def __init__(self, segmenter: nn.Module):
        if not isinstance(segmenter, Sam2Segmenter) or not segmenter.config.memory:
            raise ValueError("this segmenter was built without memory modules")
        self.segmenter = segmenter

    def new_bank(self) -> MemoryBank:
        """An empty bank that keeps as many frames as the segmenter looks back."""
        # SAM2Base looks back num_maskmem - 1 frames for spatial memories, max_obj_ptrs_in_encoder - 1 for pointers.
        return MemoryBank(self.segmenter.num_maskmem - 1, self.segmenter.max_obj_ptrs_in_encoder - 1)

    def encode_frame(self, pixels: torch.Tensor) -> FrameFeatures:
        """Pixels (B, 3, image_size, image_size), normalised -> features of B frames."""
        encoded = self.segmenter.forward_image(pixels)
        *high_res, embeddings = [level.float() for level in encoded["backbone_fpn"]]
        return FrameFeatures(ImageFeatures(embeddings, tuple(high_res)), encoded["vision_pos_enc"][-1])

    def without_memory(self, frame: FrameFeatures) -> ImageFeatures:
        """Features for a prompt without memory; equal to ``EvfSam.encode_image`` of that frame."""
        return self.segmenter.without_memory(frame.image)

    def with_memory(self, frame: FrameFeatures, bank: MemoryBank, index: int, reverse: bool = False) -> ImageFeatures:
        """The frame's features after attention to the bank, one row per object.

        Args:
            index: absolute index of the frame.
            reverse: True when tracking towards the start of the clip.
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
            num_frames=sys.maxsize,  # the package uses it as an upper limit only
            track_in_reverse=reverse,
        )
        return ImageFeatures(fused, frame.image.high_res_features)

    def track(self, frame: FrameFeatures, bank: MemoryBank, index: int, reverse: bool = False) -> MaskLogits:
        """Masks of the bank's P objects on a frame without a prompt.

        Logits are the decoder's own, even for an object with a negative object score; see :func:`hide_absent`.
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
        """As :meth:`track`, corrected by points and boxes. They are decoded with the tracked mask, as in SAM-2.

        Args:
            points, boxes: as in ``EvfSam.decode``, P rows.
        """
        features = self.with_memory(frame, bank, index, reverse)
        tracked = hide_absent(self._decode_unprompted(features))
        # The package clamps them in this way, against "rare numerical issues".
        mask_prompt = tracked.low_res_masks.clamp(-32, 32).unsqueeze(1)
        sparse, dense = self.segmenter.sam_prompt_encoder(points=points, boxes=boxes, masks=mask_prompt)
        count = (0 if points is None else points[1].shape[1]) + (0 if boxes is None else 2)
        return self.segmenter.decode(features, sparse, dense, self._multimask(count))

    def _decode_unprompted(self, features: ImageFeatures) -> MaskLogits:
        # For "no prompt" the package uses a padding point; its prompt encoder adds a second one.
        embeddings = features.image_embeddings
        nowhere = torch.zeros(len(embeddings), 1, 2, device=embeddings.device)
        padding = torch.full((len(embeddings), 1), -1, device=embeddings.device)
        sparse, dense = self.segmenter.embed_prompts((nowhere, padding))
        return self.segmenter.decode(features, sparse, dense, self._multimask(0))

    def _multimask(self, point_count: int) -> bool:
        """Whether to take the best of three masks. The package counts a box as two points."""
        points = None if point_count == 0 else {"point_labels": torch.empty(1, point_count)}
        return self.segmenter._use_multimask(is_init_cond_frame=False, point_inputs=points)

    def remember(
        self, bank: MemoryBank, frame: FrameFeatures, index: int, masks: MaskLogits, prompted: bool = False
    ) -> None:
        """Encode a frame's P masks into the bank.

        Args:
            prompted: the masks come from prompts. They are binarised before encoding, as SAM2Base does in evaluation
                mode, and the bank never drops them.
        """
        spatial = self.encode_memory(frame, hide_absent(masks), prompted)
        bank.add(index, Memory(self.object_pointer(masks), spatial), prompted)

    def encode_memory(self, frame: FrameFeatures, masks: MaskLogits, prompted: bool) -> torch.Tensor:
        """The spatial memory of a frame and P masks, (P, memory_width, h, w)."""
        frame = frame.rows(len(masks.low_res_masks))
        size = (self.segmenter.image_size,) * 2
        logits = F.interpolate(masks.low_res_masks.float().unsqueeze(1), size, mode="bilinear", align_corners=False)
        embeddings = frame.image.image_embeddings
        spatial, _ = self.segmenter._encode_new_memory(
            current_vision_feats=[_tokens(embeddings)],
            feat_sizes=[embeddings.shape[-2:]],
            pred_masks_high_res=logits,
            object_score_logits=object_scores(masks),
            is_mask_from_pts=prompted,
        )
        return spatial

    def object_pointer(self, masks: MaskLogits) -> torch.Tensor:
        """(P, C): a projection of each mask token, or the learned "no object" vector if the object is absent."""
        pointer = self.segmenter.obj_ptr_proj(masks.mask_tokens)
        visible = object_scores(masks).unsqueeze(1) > 0
        return torch.where(visible, pointer, self.segmenter.no_obj_ptr.to(pointer.dtype))

    def _as_outputs(self, memories: dict[int, Memory], frame: FrameFeatures) -> dict[int, dict]:
        """The memories in the form that SAM2Base reads."""
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
        """(P, memory_width, h, w): positions, the same for every memory, so the bank does not keep them."""
        embeddings = frame.image.image_embeddings
        count, (height, width) = len(embeddings), embeddings.shape[-2:]
        like = embeddings.new_empty(1, self.segmenter.mem_dim, height, width)
        return self.segmenter.memory_encoder.position_encoding(like).expand(count, -1, -1, -1)


def object_scores(masks: MaskLogits) -> torch.Tensor:
    """(P,) logits that the image shows the object. Raises ValueError for masks that are not SAM-2's."""
    if masks.object_score_logits is None:
        raise ValueError("these masks have no object scores: only SAM-2 gives them")
    return masks.object_score_logits


def hide_absent(masks: MaskLogits) -> MaskLogits:
    """Empty the masks (far below 0 everywhere) of objects whose object score is not positive."""
    absent = (object_scores(masks) <= 0)[:, None, None]
    return replace(masks, low_res_masks=masks.low_res_masks.masked_fill(absent, NO_OBJ_SCORE))


def _tokens(level: torch.Tensor) -> torch.Tensor:
    """(P, C, h, w) -> (h * w, P, C), the package's layout for attention."""
    return level.flatten(2).permute(2, 0, 1)
