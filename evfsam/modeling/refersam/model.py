"""ReferSAM (TCSVT 2025, DOI 10.1109/TCSVT.2024.3524543): SAM's image features and its prompts both depend on the text.

Parameter names are those of the public code (lsa1997/ReferSAM), so that weights for it load here.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from evfsam.modeling.refersam.attention import (
    Attention,
    DeformableAttention,
    FeedForward,
    MultiScaleAttention,
    Sizes,
    centres,
    sine_positions,
)
from evfsam.modeling.refersam.config import ReferSamConfig
from evfsam.modeling.refersam.interactor import LEVELS, Grids, Interaction, Language, Norm, PixelNorm, SpatialPrior
from evfsam.modeling.segmenters.sam import SamSegmenter, decode_each
from evfsam.modeling.trunks.sam_vit import SamViT


class Looked(NamedTuple):
    """What is known of B images before any text.

    Attributes:
        quarter: (B, stem_width, S / 4, S / 4), of the spatial prior.
        vit: (B, h * w, width), after the first blocks.
        pyramid: (B, N, width).
    """

    quarter: torch.Tensor
    vit: torch.Tensor
    pyramid: torch.Tensor

    def select(self, rows: torch.Tensor) -> Looked:
        """The images at ``rows``, int64 (P,), one per prompt."""
        return Looked(*(part[rows] for part in self))


class Answer(NamedTuple):
    """P masks.

    Attributes:
        low_res_masks: float32 logits (P, S / 4, S / 4).
        coarse_masks: the same, from which SAM's dense prompt was made; training supervises them as well.
        iou_predictions: float32 (P,).
        prompt_tokens: float32 (P, sparse_tokens, C), SAM's sparse prompts.
    """

    low_res_masks: torch.Tensor
    coarse_masks: torch.Tensor
    iou_predictions: torch.Tensor
    prompt_tokens: torch.Tensor

    def full_size(self) -> torch.Tensor:
        """Logits at the size of the model's image, (P, S, S), resized as the public code does it."""
        side = self.low_res_masks.shape[-1] * 4
        return F.interpolate(self.low_res_masks[:, None], (side, side), mode="bilinear", align_corners=True)[:, 0]


class PromptLayer(nn.Module):
    """Prompts attend to themselves, to the pyramid and to the words."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.p2v_cross_attn = MultiScaleAttention(width, width, width, heads, LEVELS)
        self.p2l_cross_attn = Attention(width, width, width, heads)
        self.p_self_attn = Attention(width, width, width, heads)
        self.prompt_mlp = FeedForward(width, 4 * width)
        self.norm1, self.norm2, self.norm3, self.norm4 = (Norm(width) for _ in range(4))

    def forward(self, prompts, positions, pyramid, pyramid_positions, sizes: Sizes, words, real) -> torch.Tensor:
        """Prompts (B, 1 + sparse_tokens, width) -> the same."""
        placed = prompts + positions
        prompts = self.norm1(prompts + self.p_self_attn(placed, placed, prompts))
        keys = pyramid + pyramid_positions
        prompts = self.norm2(prompts + self.p2v_cross_attn(prompts + positions, keys, pyramid, sizes))
        prompts = self.norm3(prompts + self.p2l_cross_attn(prompts + positions, words, words, real))
        return self.norm4(prompts + self.prompt_mlp(prompts))


class VisionLanguageAdapter(nn.Module):
    """The interactor and the prompter, around SAM's image encoder."""

    def __init__(self, config: ReferSamConfig, image_encoder: SamViT):
        super().__init__()
        self.config = config
        width, out, text = config.segmenter.width, config.segmenter.embedding_width, config.text.hidden_size
        self.vis_model = image_encoder
        self.level_embed = nn.Parameter(torch.randn(LEVELS, width))
        self.spm = SpatialPrior(config.stem_width, width)
        self.lang_prompts = nn.Embedding(config.context_tokens, text)
        last = len(config.groups) - 1
        self.interactions = nn.ModuleList(
            Interaction(config, config.extra_layers if number == last else 0) for number in range(last + 1)
        )
        self.adapter_proj = nn.ModuleList(nn.Sequential(nn.Linear(width, out), Norm(out)) for _ in range(LEVELS))
        self.lang_proj = _mlp(text, out, Norm(out))
        self.sparse_prompts = nn.Embedding(config.sparse_tokens, out)
        self.prompt_pos = nn.Embedding(1 + config.sparse_tokens, out)
        self.level_embed_prompter = nn.Parameter(torch.randn(LEVELS, out))
        self.prompt_blocks = nn.ModuleList(PromptLayer(out, config.prompt_heads) for _ in range(config.prompt_layers))
        self.c1_conv = nn.Conv2d(config.stem_width, out, 1, bias=False)
        self.c1_norm = PixelNorm(out)
        self.out_conv = nn.Sequential(
            nn.Conv2d(out, out, 3, padding=1, bias=False), PixelNorm(out), nn.GELU(), nn.Conv2d(out, out, 1)
        )

    def look(self, pixels: torch.Tensor) -> Looked:
        """Pixels (B, 3, S, S), normalised -> all that no text changes."""
        vit = self.vis_model.patch_embed(pixels)
        height, width = vit.shape[1:3]
        positions = self.vis_model.pos_embed.permute(0, 3, 1, 2)
        positions = F.interpolate(positions, (height, width), mode="bilinear", align_corners=False)
        vit = (vit + positions.permute(0, 2, 3, 1)).flatten(1, 2)
        quarter, pyramid = self.spm(pixels)
        return Looked(quarter, *self._see(0, vit, pyramid, self._grids((height, width), pixels.device)))

    def forward(self, looked: Looked, words: torch.Tensor, real: torch.Tensor):
        """P prompts on P images: features of the words, bool ``real`` (P, L) False where padded.

        Returns image embeddings (P, C, h, w), mask features (P, C, 4h, 4w) and prompt tokens (P, 1 + sparse_tokens, C).
        """
        side = looked.quarter.shape[-1] // 4
        grids = self._grids((side, side), words.device)
        language = Language(words, real, self.lang_prompts.weight.expand(len(words), -1, -1))
        _, vit, pyramid = looked
        for number, interaction in enumerate(self.interactions):
            if number:
                vit, pyramid = self._see(number, vit, pyramid, grids)
            pyramid, language = interaction.tell(vit, pyramid, language, grids)  # type: ignore[operator]
        words = self.lang_proj(language.words)
        counts = [height * width for height, width in grids.levels]
        levels = [project(part) for project, part in zip(self.adapter_proj, pyramid.split(counts, 1), strict=True)]
        eighth, sixteenth = (
            part.transpose(1, 2).unflatten(2, size) for part, size in zip(levels[:2], grids.levels, strict=False)
        )
        quarter = self.c1_norm(self.c1_conv(looked.quarter))
        quarter = quarter + F.interpolate(eighth, quarter.shape[-2:], mode="bilinear", align_corners=False)
        neck = self.vis_model.neck(vit.transpose(1, 2).unflatten(2, grids.vit))
        prompts = self._prompts(torch.cat(levels, 1), words, real, grids.levels)
        return neck + sixteenth, self.out_conv(quarter), prompts

    def _prompts(self, pyramid: torch.Tensor, words: torch.Tensor, real: torch.Tensor, sizes: Sizes) -> torch.Tensor:
        # The token that stands for the whole text: BERT's first, CLIP's last.
        last = real.sum(1) - 1 if self.config.text.kind == "clip" else torch.zeros_like(real[:, 0], dtype=torch.int64)
        whole = words[torch.arange(len(words), device=words.device), last].detach()
        prompts = torch.cat([whole[:, None], self.sparse_prompts.weight.expand(len(words), -1, -1)], 1)
        positions = self._positions(sizes, self.level_embed_prompter)
        for layer in self.prompt_blocks:
            prompts = layer(prompts, self.prompt_pos.weight, pyramid, positions, sizes, words, real)
        return prompts

    def _see(self, number: int, vit: torch.Tensor, pyramid: torch.Tensor, grids: Grids):
        first, last = self.config.groups[number]
        return self.interactions[number].see(vit, pyramid, grids, self.vis_model.blocks[first : last + 1])  # type: ignore[operator]

    def _grids(self, vit: tuple[int, int], device: torch.device) -> Grids:
        height, width = vit
        levels = [(2 * height, 2 * width), vit, (height // 2, width // 2)]
        positions = self._positions(levels, self.level_embed)
        return Grids(vit, levels, centres([vit], device), centres(levels, device), positions)

    @staticmethod
    def _positions(sizes: Sizes, of_levels: torch.Tensor) -> torch.Tensor:
        counts = torch.tensor([height * width for height, width in sizes], device=of_levels.device)
        own = of_levels.repeat_interleave(counts, 0, output_size=sum(h * w for h, w in sizes))
        return sine_positions(sizes, of_levels.shape[1], of_levels.device) + own


class ReferSam(nn.Module):
    """ReferSAM.

    Args:
        text_encoder: BERT or CLIP's text encoder; called with ids and a mask, its first output is (P, L, hidden_size).
    """

    def __init__(self, config: ReferSamConfig, text_encoder: nn.Module):
        super().__init__()
        self.config = config
        sam = SamSegmenter(config.segmenter)
        out = config.segmenter.embedding_width
        self.sam_prompt_encoder, self.sam_mask_decoder = sam.prompt_encoder, sam.mask_decoder
        self.text_encoder = text_encoder
        self.vl_adapter = VisionLanguageAdapter(config, sam.image_encoder)
        self.mask_embedding = _mlp(out, out)
        self.mask_scaling = nn.Conv2d(1, 1, 1)
        self.sparse_embedding = _mlp(out, out, Norm(out))

    @torch.no_grad()
    def initialise(self) -> None:
        """Initial weights as in the public code; SAM and the text encoder keep theirs."""
        for name, module in self.named_modules():
            if name.startswith(("sam_", "text_encoder", "vl_adapter.vis_model")):
                continue
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, DeformableAttention):
                module.initialise()
        nn.init.ones_(self.mask_scaling.weight)

    def encode_image(self, pixels: torch.Tensor) -> Looked:
        """Pixels (B, 3, S, S), normalised -> what no text changes. The rest of the image encoder runs per prompt."""
        return self.vl_adapter.look(pixels)

    def decode(self, looked: Looked, token_ids: torch.Tensor, real: torch.Tensor) -> Answer:
        """P prompts on P images, ``looked``.

        Args:
            token_ids: int64 (P, L).
            real: bool (P, L), False where padded.
        """
        words = self.text_encoder(token_ids, attention_mask=real.long())[0]
        embeddings, mask_features, prompts = self.vl_adapter(looked, words, real)
        coarse = torch.einsum("pc,pchw->phw", self.mask_embedding(prompts[:, 0]), mask_features)[:, None]
        dense = self.sam_prompt_encoder.mask_downscaling(self.mask_scaling(coarse)).float()
        sparse = self.sparse_embedding(prompts[:, 1:]).float()
        places = self.sam_prompt_encoder.pe_layer(tuple(embeddings.shape[-2:]))[None]
        masks, ious = decode_each(self.sam_mask_decoder, places, embeddings.float(), sparse, dense, multimask=False)
        return Answer(masks[:, 0].float(), coarse[:, 0].float(), ious[:, 0].float(), sparse)

    def forward(self, pixels: torch.Tensor, token_ids: torch.Tensor, real: torch.Tensor) -> Answer:
        """P images and one prompt for each; shapes as in the methods above."""
        return self.decode(self.encode_image(pixels), token_ids, real)


def _mlp(inputs: int, outputs: int, *last: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.GELU(), nn.Linear(outputs, outputs), *last)
