"""EVF-SAM (arXiv 2406.20076): words and picture become one prompt token for a segmenter."""

from __future__ import annotations

import torch
from torch import nn

from evfsam.modeling.config import EvfConfig
from evfsam.types import ImageFeatures, MaskLogits


class EvfSam(nn.Module):
    """Encoder + projector + segmenter. Build it with :func:`evfsam.modeling.build.build_model`.

    The attribute names are the published checkpoints' own.
    """

    def __init__(self, config: EvfConfig, encoder: nn.Module, segmenter: nn.Module):
        super().__init__()
        self.config = config
        self.mm_extractor = encoder
        self.visual_model = segmenter
        if config.encoder.stem == "trunk":
            encoder.beit3.vision_embed.share(segmenter.image_encoder.trunk)
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
        return self.text_hidden_fcs[0][0].weight.device

    def half_parameters(self) -> set[str]:
        """Names of the parameters that may be stored in half precision.

        Those of matrix products, which autocast rounds anyway, and the table of words, which is large. All that
        is added or scaled stays float32, and with it the sum that runs through the transformers; so does the
        decoder, small and run in float32 (:class:`evfsam.predictor.Predictor`): near its zeros masks begin.
        """
        names = set()
        for name, module in self.named_modules():
            product = type(module) in (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)  # PixelConv2d is not among them
            decodes = "mask_decoder." in name or "prompt_encoder." in name
            if name.endswith(".text_embed") or product and not decodes:
                names |= {f"{name}.{own}" for own, _ in module.named_parameters(recurse=False)}
        return names

    def encode_image(self, segmenter_pixels: torch.Tensor) -> ImageFeatures:
        """(B, 3, image_size, image_size), normalised -> the segmenter's features, reusable for any prompt."""
        return self.visual_model.encode_image(segmenter_pixels)

    def encode_prompt(
        self, encoder_pixels: torch.Tensor, token_ids: torch.Tensor, padding_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Read P phrases with their pictures.

        Args:
            encoder_pixels: (P or 1, 3, encoder_image_size, encoder_image_size) in -1..1; one picture serves
                all phrases.
            token_ids: int64 (P, L).
            padding_mask: bool (P, L), True where padded.

        Returns the prompt tokens, (P, 1, out_dim).
        """
        encoder_tokens = self.mm_extractor(encoder_pixels, token_ids, padding_mask)
        return self.text_hidden_fcs[0](encoder_tokens[:, :1])  # [CLS] through the MLP

    def project(self, encoder_tokens: torch.Tensor) -> torch.Tensor:
        """The encoder's tokens (P, T, hidden_size) -> prompt tokens (P, 1, out_dim): [CLS] through the MLP."""
        return self.text_hidden_fcs[0](encoder_tokens[:, :1])

    def cls_attention(self, encoder_pixels: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
        """Where [CLS] looks in the last layer (paper, figure 5): (P, n, n), summed over heads."""
        return self.mm_extractor.beit3.cls_attention(encoder_pixels, token_ids)

    def decode(
        self,
        features: ImageFeatures,
        prompt_tokens: torch.Tensor | None = None,
        points: tuple[torch.Tensor, torch.Tensor] | None = None,
        boxes: torch.Tensor | None = None,
        multimask: bool | None = None,
    ) -> MaskLogits:
        """Masks of P prompts: words, points, a box, or words refined by points and a box.

        Args:
            features: of one picture, shared by all prompts, or of P pictures, one a prompt.
            prompt_tokens: (P, 1, out_dim) from :meth:`encode_prompt`.
            points: (coordinates float (P, N, 2) in pixels of the segmenter's square, labels int (P, N):
                1 inside, 0 outside, -1 padding).
            boxes: float (P, 4), xyxy in pixels of the segmenter's square.
            multimask: overrules the config.

        Raises ValueError if there is no prompt at all.
        """
        if prompt_tokens is None and points is None and boxes is None:
            raise ValueError("decode needs prompt tokens, points or boxes")
        sparse, dense = self.visual_model.embed_prompts(points, boxes)
        if prompt_tokens is not None:
            # The words' token follows the clicks' (official prompt_encoder.py: concatenated last). Without
            # clicks the package gives one empty row, whatever P is.
            sparse = sparse.expand(len(prompt_tokens), -1, -1)
            sparse = torch.cat([sparse, prompt_tokens], dim=1)
        multimask = self.config.multimask if multimask is None else multimask
        return self.visual_model.decode(features, sparse, dense, multimask)

    def forward(
        self,
        segmenter_pixels: torch.Tensor,
        encoder_pixels: torch.Tensor,
        token_ids: torch.Tensor,
        padding_mask: torch.Tensor | None = None,
    ) -> MaskLogits:
        """One picture and P phrases, in one call; shapes as in the methods above."""
        features = self.encode_image(segmenter_pixels)
        return self.decode(features, self.encode_prompt(encoder_pixels, token_ids, padding_mask))
