"""ReferSAM's vision-language interactor: a pyramid beside SAM's ViT that exchanges features with it and with the words.

Each interaction gives the pyramid's features to the ViT, runs some of its blocks, reads their result, and lets the
pyramid and the words attend to each other. Parameter names are those of the public code.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from evfsam.modeling.refersam.attention import Attention, DeformableAttention, FeedForward, MultiScaleAttention, Sizes
from evfsam.modeling.refersam.config import ReferSamConfig
from evfsam.modeling.trunks.sam_vit import vit_block

LEVELS = 3  # of the pyramid: strides 8, 16 and 32
Norm = partial(nn.LayerNorm, eps=1e-6)
PixelNorm = partial(nn.GroupNorm, 1, eps=1e-6)


class Grids(NamedTuple):
    """Sizes and places of the tokens of one image.

    Attributes:
        vit: (height, width) of the ViT's tokens.
        levels: of the pyramid's.
        vit_places, level_places: float (N, 2), x and y of each token's centre, 0..1.
        positions: (N, width), of the pyramid's tokens.
    """

    vit: tuple[int, int]
    levels: Sizes
    vit_places: torch.Tensor
    level_places: torch.Tensor
    positions: torch.Tensor


class Language(NamedTuple):
    """What is known of B prompts.

    Attributes:
        words: (B, L, text width).
        real: bool (B, L), False where padded.
        context: (B, context_tokens, text width), learned tokens that follow the words.
    """

    words: torch.Tensor
    real: torch.Tensor
    context: torch.Tensor


class SpatialPrior(nn.Module):
    """Convolutions that keep fine detail (ViT-Adapter, arXiv 2205.08534)."""

    def __init__(self, stem_width: int, width: int):
        super().__init__()
        s = stem_width

        def step(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
            return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), PixelNorm(outputs), nn.ReLU(inplace=True)]

        self.stem = nn.Sequential(*step(3, s, 2), *step(s, s, 1), *step(s, s, 1), nn.MaxPool2d(3, 2, 1))
        self.conv2 = nn.Sequential(*step(s, 2 * s, 2))
        self.conv3 = nn.Sequential(*step(2 * s, 4 * s, 2))
        self.conv4 = nn.Sequential(*step(4 * s, 4 * s, 2))
        self.fc2, self.fc3, self.fc4 = (nn.Conv2d(channels * s, width, 1) for channels in (2, 4, 4))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels (B, 3, S, S) -> the map at stride 4, (B, stem_width, S / 4, S / 4), and tokens (B, N, width)."""
        quarter = self.stem(pixels)
        eighth = self.conv2(quarter)
        sixteenth = self.conv3(eighth)
        maps = self.fc2(eighth), self.fc3(sixteenth), self.fc4(self.conv4(sixteenth))
        return quarter, torch.cat([level.flatten(2).transpose(1, 2) for level in maps], 1)


class Injector(nn.Module):
    """ViT tokens read the pyramid. ``gamma`` starts near zero, so that SAM's features hardly change at first."""

    def __init__(self, config: ReferSamConfig):
        super().__init__()
        width = config.segmenter.width
        self.query_norm = Norm(width)
        self.attn = DeformableAttention(width, config.heads, LEVELS, config.points, config.value_ratio)
        self.gamma = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, vit: torch.Tensor, pyramid: torch.Tensor, grids: Grids) -> torch.Tensor:
        return vit + self.gamma * self.attn(self.query_norm(vit), grids.vit_places, pyramid, grids.levels)


class Extractor(nn.Module):
    """The pyramid reads ViT tokens."""

    def __init__(self, config: ReferSamConfig):
        super().__init__()
        width = config.segmenter.width
        self.query_norm, self.value_norm = Norm(width), Norm(width)
        self.attn = DeformableAttention(width, config.heads, 1, config.points, config.value_ratio)

    def forward(self, pyramid: torch.Tensor, vit: torch.Tensor, grids: Grids) -> torch.Tensor:
        read = self.attn(pyramid, grids.level_places, self.value_norm(vit), [grids.vit])
        return self.query_norm(pyramid + read)


class BidirectionalAttention(nn.Module):
    """Words and context read the pyramid, then the pyramid reads them."""

    def __init__(self, config: ReferSamConfig):
        super().__init__()
        image, text, inner, heads = config.segmenter.width, config.text.hidden_size, config.inner_width, config.heads
        self.l2v_cross_attn = MultiScaleAttention(text, image, inner, heads, LEVELS)
        self.p2l_cross_attn = Attention(text, text, inner, heads)
        self.v2l_cross_attn = Attention(image, text, inner, heads)
        self.prompt_mlp = FeedForward(text, int(text * config.feed_forward_ratio))
        self.vis_mlp = FeedForward(image, int(image * config.feed_forward_ratio))
        self.gamma_v2l = nn.Parameter(torch.ones(1, 1, image))
        self.gamma_l2v = nn.Parameter(torch.ones(1, 1, text))
        self.v_norm1, self.v_norm2 = Norm(image), Norm(image)
        self.l_norm1, self.l_norm2, self.l_norm3 = Norm(text), Norm(text), Norm(text)

    def forward(self, pyramid: torch.Tensor, language: Language, grids: Grids) -> tuple[torch.Tensor, Language]:
        said = torch.cat([language.words, language.context], 1)
        real = torch.cat([language.real, language.real.new_ones(language.context.shape[:2])], 1)
        said = self.l_norm2(said + self.p2l_cross_attn(said, said, said, real))
        read = self.l2v_cross_attn(said, pyramid + grids.positions, pyramid, grids.levels)
        said = self.l_norm1(said + self.gamma_l2v * read)
        said = self.l_norm3(said + self.prompt_mlp(said))
        read = self.v2l_cross_attn(pyramid + grids.positions, said, said, real)
        pyramid = self.v_norm1(pyramid + self.gamma_v2l * read)
        pyramid = self.v_norm2(pyramid + self.vis_mlp(pyramid))
        count = language.words.shape[1]
        return pyramid, language._replace(words=said[:, :count], context=said[:, count:])


class Interaction(nn.Module):
    """One interaction: :meth:`see` needs no text, :meth:`tell` does."""

    def __init__(self, config: ReferSamConfig, extra_layers: int = 0):
        super().__init__()
        self.injector, self.extractor = Injector(config), Extractor(config)
        self.vl_extractor = BidirectionalAttention(config)
        if extra_layers:
            self.extra_extractors = nn.ModuleList(Extractor(config) for _ in range(extra_layers))
            self.extra_vl_extractors = nn.ModuleList(BidirectionalAttention(config) for _ in range(extra_layers))
        self.extra_layers = extra_layers

    def see(
        self, vit: torch.Tensor, pyramid: torch.Tensor, grids: Grids, blocks: Sequence[nn.Module]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """ViT tokens (B, h * w, width) and the pyramid's (B, N, width) after the ViT's ``blocks``."""
        vit = self.injector(vit, pyramid, grids)
        for block in blocks:
            vit = vit_block(block, vit, grids.vit)
        return vit, self.extractor(pyramid, vit, grids)

    def tell(
        self, vit: torch.Tensor, pyramid: torch.Tensor, language: Language, grids: Grids
    ) -> tuple[torch.Tensor, Language]:
        """The pyramid's tokens and the words after they attended to each other."""
        pyramid, language = self.vl_extractor(pyramid, language, grids)
        for number in range(self.extra_layers):
            pyramid = self.extra_extractors[number](pyramid, vit, grids)
            pyramid, language = self.extra_vl_extractors[number](pyramid, language, grids)
        return pyramid, language
