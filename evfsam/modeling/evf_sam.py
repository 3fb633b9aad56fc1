"""EVF-SAM (arXiv 2406.20076): an encoder turns image and text into one prompt token for a segmenter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from evfsam.modeling.config import EvfConfig
from evfsam.modeling.encoders.base import PromptEncoder
from evfsam.modeling.encoders.beit3 import Beit3Encoder, TrunkEmbedding
from evfsam.types import ImageFeatures, MaskLogits, join

if TYPE_CHECKING:  # each of their packages takes a second to import, and a checkpoint needs one of them
    from evfsam.modeling.segmenters.efficient_sam import EfficientSamSegmenter
    from evfsam.modeling.segmenters.sam import SamSegmenter
    from evfsam.modeling.segmenters.sam2 import Sam2Segmenter

    Segmenter = SamSegmenter | Sam2Segmenter | EfficientSamSegmenter

# In one batch of encoder and decoder, so that memory does not grow with the number of prompts. With gradients all are
# one batch: intermediate values are kept anyway.
PROMPTS_AT_ONCE = 16


class EvfSam(nn.Module):
    """Encoder, projector and segmenter. Build it with :func:`evfsam.modeling.build.build_model`.

    Attribute names are those of the published checkpoints.
    """

    def __init__(self, config: EvfConfig, encoder: PromptEncoder, segmenter: Segmenter):
        super().__init__()
        self.config = config
        self.mm_extractor = encoder
        self.visual_model = segmenter
        if isinstance(encoder, Beit3Encoder) and isinstance(encoder.beit3.vision_embed, TrunkEmbedding):
            encoder.beit3.vision_embed.share(segmenter.get_submodule("image_encoder.trunk"))
        self.text_hidden_fcs = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Linear(config.hidden_size, config.hidden_size),
                    nn.ReLU(),
                    nn.Linear(config.hidden_size, config.out_dim),
                )
            ]
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.text_hidden_fcs.parameters()).device

    def half_parameters(self) -> set[str]:
        """Names of the parameters that may be stored in half precision.

        They belong to matrix products, which autocast rounds anyway, and to the large table of words. Norms, positions
        and the decoder stay float32. The decoder is small, and rounding its logits near 0 would move outlines.
        """
        names = set()
        for name, module in self.named_modules():
            product = type(module) in (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)  # PixelConv2d is not among them
            decodes = "mask_decoder." in name or "prompt_encoder." in name
            if name.endswith(".text_embed") or product and not decodes:
                names |= {f"{name}.{own}" for own, _ in module.named_parameters(recurse=False)}
        return names

    def encode_image(self, segmenter_pixels: torch.Tensor) -> ImageFeatures:
        """Pixels (B, 3, image_size, image_size), normalised -> the segmenter's features, for any number of prompts."""
        return self.visual_model.encode_image(segmenter_pixels)

    def encode_prompt(
        self, encoder_pixels: torch.Tensor, token_ids: torch.Tensor, padding_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Encode P text prompts with their images.

        Args:
            encoder_pixels: (P or 1, 3, encoder_image_size, encoder_image_size) in -1..1; one image may serve all
                prompts.
            token_ids: int64 (P, L).
            padding_mask: bool (P, L), True where padded.

        Returns the prompt tokens, (P, 1, out_dim).
        """
        shared, done = len(encoder_pixels) == 1, []
        size = max(1, len(token_ids)) if torch.is_grad_enabled() else PROMPTS_AT_ONCE
        for first in range(0, len(token_ids), size):
            rows = slice(first, first + size)
            pixels = encoder_pixels if shared else encoder_pixels[rows]
            padding = None if padding_mask is None else padding_mask[rows]
            done.append(self.text_hidden_fcs[0](self.mm_extractor.prompt(pixels, token_ids[rows], padding)))
        return torch.cat(done)

    def project(self, encoder_tokens: torch.Tensor) -> torch.Tensor:
        """Tokens of ``mm_extractor`` (P, T, width) -> prompt tokens (P, 1, out_dim): [CLS] through the MLP."""
        return self.text_hidden_fcs[0](self.mm_extractor.pool(encoder_tokens))

    def cls_attention(self, encoder_pixels: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
        """Attention of [CLS] to the image in the last layer (paper, figure 5): float32 (P, n, n), summed over heads."""
        return self.mm_extractor.cls_attention(encoder_pixels, token_ids)

    def decode(
        self,
        features: ImageFeatures,
        prompt_tokens: torch.Tensor | None = None,
        points: tuple[torch.Tensor, torch.Tensor] | None = None,
        boxes: torch.Tensor | None = None,
        multimask: bool | None = None,
    ) -> MaskLogits:
        """Masks of P prompts. A prompt is a text, points, a box, or several of them together.

        Args:
            features: of one image, shared by all prompts, or of P images, one per prompt.
            prompt_tokens: (P, 1, out_dim) from :meth:`encode_prompt`.
            points: coordinates, float (P, N, 2), x and y in pixels of the segmenter's square; labels, int (P, N),
                1 inside, 0 outside, -1 padding.
            boxes: float (P, 4), xyxy in pixels of the segmenter's square.
            multimask: whether the best of three masks is taken; None as the config says.

        Raises ValueError if there is no prompt at all.
        """
        if prompt_tokens is None and points is None and boxes is None:
            raise ValueError("decode needs prompt tokens, points or boxes")
        sparse, dense = self.visual_model.embed_prompts(points, boxes)
        if prompt_tokens is not None:
            # The text's token comes after the points (official prompt_encoder.py). Without points the package gives
            # one empty row, whatever P is.
            sparse = sparse.expand(len(prompt_tokens), -1, -1)
            sparse = torch.cat([sparse, prompt_tokens], dim=1)
        multimask = self.config.multimask if multimask is None else multimask
        if len(features.image_embeddings) > 1:
            return self.visual_model.decode(features, sparse, dense, multimask)
        batches = []
        size = max(1, len(sparse)) if torch.is_grad_enabled() else PROMPTS_AT_ONCE
        for first in range(0, len(sparse), size):
            rows = slice(first, first + size)
            own_dense = dense if dense is None or len(dense) == 1 else dense[rows]
            batches.append(self.visual_model.decode(features, sparse[rows], own_dense, multimask))
        return batches[0] if len(batches) == 1 else join(batches)

    def forward(
        self,
        segmenter_pixels: torch.Tensor,
        encoder_pixels: torch.Tensor,
        token_ids: torch.Tensor,
        padding_mask: torch.Tensor | None = None,
    ) -> MaskLogits:
        """One image and P text prompts in one call; shapes as in the methods above."""
        features = self.encode_image(segmenter_pixels)
        return self.decode(features, self.encode_prompt(encoder_pixels, token_ids, padding_mask))
