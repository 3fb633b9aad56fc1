"""EfficientSAM (arXiv 2312.00863) as EVF-SAM's segmenter.

It is here for fidelity to the reference implementation, which builds EVF-Effi-SAM; no such weights are published.
No package contains it. Module names equal those of yformer/EfficientSAM, so weights load by name. Attention, norms
and random Fourier positions are SAM's, from the segment-anything package. The differences: an encoder without
windows, positions stretched from 224 px, GELU, a residual around the decoder's first self-attention, no dense prompts.
"""

from __future__ import annotations

import torch
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.prompt_encoder import PositionEmbeddingRandom
from segment_anything.modeling.transformer import Attention
from torch import nn
from torch.nn import functional as F

from evfsam.modeling.config import EfficientSamConfig
from evfsam.modeling.linear import feed_forward, linear
from evfsam.modeling.pixels import PixelConv2d
from evfsam.types import ImageFeatures, MaskLogits

PRETRAINING_IMAGE_SIZE = 224
POINT_TOKENS = 6  # points are padded to this number (official decoder_max_num_input_points)
MASK_TOKENS = 4  # one mask for clear prompts, three for ambiguous ones
BOX_CORNER_LABELS = (2, 3)  # top left, bottom right


class EfficientSamSegmenter(nn.Module):
    """The model, with the three methods of every segmenter; see ``segmenters/sam.py``."""

    def __init__(self, config: EfficientSamConfig):
        super().__init__()
        self.image_encoder = ImageEncoder(config)
        self.prompt_encoder = PromptEncoder(config)
        self.mask_decoder = MaskDecoder(config)

    def encode_image(self, pixels: torch.Tensor) -> ImageFeatures:
        """Pixels (B, 3, image_size, image_size), normalised -> features of B images."""
        return ImageFeatures(self.image_encoder(pixels).float())

    def embed_prompts(self, points=None, boxes=None):
        """Sparse embeddings (P, N, C) of P prompts' points and boxes, (1, 0, C) if there are none; no dense ones.

        Arguments as in ``segmenters/sam.py``. EfficientSAM was trained with points inside only: a point outside gets
        its position and no label.
        """
        return self.prompt_encoder(points, boxes), None

    def decode(self, features: ImageFeatures, sparse, dense, multimask: bool) -> MaskLogits:
        """Masks of P prompts on one image, ``len(features) == 1``, or on P images, one per prompt."""
        image = features.image_embeddings.expand(len(sparse), -1, -1, -1)
        masks, ious = self.mask_decoder(image, self.prompt_encoder.dense_positions(), sparse, multimask)
        best = ious.argmax(-1)
        rows = torch.arange(len(best), device=best.device)
        return MaskLogits(masks[rows, best], ious[rows, best])


class ImageEncoder(nn.Module):
    """Plain ViT with global attention in every block, then two convolutions."""

    def __init__(self, config: EfficientSamConfig):
        super().__init__()
        width, out = config.width, config.embedding_width
        positions = (PRETRAINING_IMAGE_SIZE // config.patch_size) ** 2 + 1
        self.pos_embed = nn.Parameter(torch.zeros(1, positions, width))  # the first is for [CLS], which is not used
        patches = PixelConv2d(3, width, config.patch_size, stride=config.patch_size)
        self.patch_embed = nn.ModuleDict({"proj": patches})
        self.blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.depth))
        self.neck = nn.Sequential(
            nn.Conv2d(width, out, 1, bias=False),
            LayerNorm2d(out),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            LayerNorm2d(out),
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels (B, 3, H, W), normalised -> features (B, C, H / patch_size, W / patch_size)."""
        patches = self.patch_embed["proj"](pixels)
        grid_hw = patches.shape[-2:]
        tokens = (patches + self._positions(grid_hw)).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return self.neck(tokens.transpose(1, 2).unflatten(-1, grid_hw))

    def _positions(self, grid_hw: tuple[int, int]) -> torch.Tensor:
        """The positions of pre-training, (1, width, h, w), stretched to the grid."""
        positions = self.pos_embed[:, 1:].transpose(1, 2)
        side = round(positions.shape[-1] ** 0.5)
        positions = positions.unflatten(-1, (side, side))
        if (side, side) == tuple(grid_hw):
            return positions
        return F.interpolate(positions, size=grid_hw, mode="bicubic", align_corners=False)


class Block(nn.Module):
    """A transformer layer of the image encoder."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        qkv = linear(self.attn["qkv"], self.norm1(tokens)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        tokens = linear(self.attn["proj"], attended, add=tokens)
        return feed_forward(self.mlp["fc1"], self.mlp["fc2"], self.norm2(tokens), add=tokens)


class PromptEncoder(nn.Module):
    """A point is its position plus its label; a box is its two corners."""

    def __init__(self, config: EfficientSamConfig):
        super().__init__()
        width = config.embedding_width
        self.image_size = config.image_size
        self.grid = config.image_size // config.patch_size
        self.pe_layer = PositionEmbeddingRandom(width // 2)
        self.invalid_points = nn.Embedding(1, width)
        self.point_embeddings = nn.Embedding(1, width)
        self.bbox_top_left_embeddings = nn.Embedding(1, width)
        self.bbox_bottom_right_embeddings = nn.Embedding(1, width)

    def dense_positions(self) -> torch.Tensor:
        """The position of each cell of the image features, (1, C, h, w)."""
        return self.pe_layer((self.grid, self.grid)).unsqueeze(0)

    def forward(self, points, boxes) -> torch.Tensor:
        """Sparse embeddings (P, N, C); arguments as in :meth:`EfficientSamSegmenter.embed_prompts`."""
        width = self.point_embeddings.weight.shape[1]
        if points is None and boxes is None:
            return self.point_embeddings.weight.new_zeros(1, 0, width)
        coordinates, labels = _as_points(points, boxes)
        padding = max(0, POINT_TOKENS - labels.shape[1])
        coordinates = F.pad(coordinates, (0, 0, 0, padding), value=-1.0)
        labels = F.pad(labels, (0, padding), value=-1)
        positions = self.pe_layer.forward_with_coords(coordinates + 0.5, (self.image_size, self.image_size))
        label_embeddings = {
            -1: self.invalid_points,
            1: self.point_embeddings,
            2: self.bbox_top_left_embeddings,
            3: self.bbox_bottom_right_embeddings,
        }
        for label, embedding in label_embeddings.items():
            positions = positions + embedding.weight * labels.eq(label).unsqueeze(-1)
        return positions


def _as_points(points, boxes) -> tuple[torch.Tensor, torch.Tensor]:
    """Points and boxes as one list: coordinates (P, N, 2) and labels (P, N)."""
    coordinates, labels = [], []
    if boxes is not None:
        coordinates.append(boxes.view(-1, 2, 2))
        labels.append(torch.tensor(BOX_CORNER_LABELS, device=boxes.device).expand(len(boxes), 2))
    if points is not None:
        coordinates.append(points[0])
        labels.append(points[1])
    return torch.cat(coordinates, dim=1), torch.cat(labels, dim=1)


class MaskDecoder(nn.Module):
    """SAM's two-way decoder with GELU and group norm, without dense prompts."""

    def __init__(self, config: EfficientSamConfig):
        super().__init__()
        width = config.embedding_width
        self.transformer = TwoWayTransformer(width, config.decoder_feed_forward)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(MASK_TOKENS, width)
        self.final_output_upscaling_layers = nn.ModuleList(
            [
                nn.Sequential(
                    nn.ConvTranspose2d(width, width // 4, 2, stride=2), nn.GroupNorm(1, width // 4), nn.GELU()
                ),
                nn.Sequential(nn.ConvTranspose2d(width // 4, width // 8, 2, stride=2), nn.Identity(), nn.GELU()),
            ]
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            Mlp(width, width, width // 8, layers=2) for _ in range(MASK_TOKENS)
        )
        self.iou_prediction_head = Mlp(width, width, MASK_TOKENS, layers=2)

    def forward(self, image, positions, sparse, multimask: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Mask logits (P, 1 or 3, 4h, 4w) and their predicted IoU (P, 1 or 3)."""
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        tokens, cells = self.transformer(tokens, image.flatten(2).transpose(1, 2), positions.flatten(2).transpose(1, 2))
        upscaled = cells.transpose(1, 2).unflatten(-1, image.shape[-2:])
        for layer in self.final_output_upscaling_layers:
            upscaled = layer(upscaled)
        weights = [mlp(tokens[:, 1 + i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)]
        masks = torch.einsum("pmc,pchw->pmhw", torch.stack(weights, dim=1), upscaled)
        ious = self.iou_prediction_head(tokens[:, 0])
        chosen = slice(1, None) if multimask else slice(0, 1)
        return masks[:, chosen], ious[:, chosen]


class TwoWayTransformer(nn.Module):
    """Attention from prompt and output tokens to the cells of the image, and back."""

    def __init__(self, width: int, feed_forward: int, depth: int = 2, heads: int = 8):
        super().__init__()
        self.layers = nn.ModuleList(TwoWayLayer(width, feed_forward, heads, first=i == 0) for i in range(depth))
        self.final_attn_token_to_image = Attention(width, heads, downsample_rate=2)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, tokens, cells, cell_positions) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (P, T, C) and cells (P, h * w, C), each after attending to the other."""
        token_positions = tokens
        for layer in self.layers:
            tokens, cells = layer(tokens, cells, token_positions, cell_positions)
        attended = self.final_attn_token_to_image(q=tokens + token_positions, k=cells + cell_positions, v=cells)
        return self.norm_final_attn(tokens + attended), cells


class TwoWayLayer(nn.Module):
    """Self-attention of tokens, tokens to image, feed-forward, image to tokens."""

    def __init__(self, width: int, feed_forward: int, heads: int, first: bool):
        super().__init__()
        self.first = first  # its tokens are their own positions already
        self.self_attn = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, heads, downsample_rate=2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, feed_forward, width, layers=1)
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, heads, downsample_rate=2)

    def forward(self, tokens, cells, token_positions, cell_positions) -> tuple[torch.Tensor, torch.Tensor]:
        """Shapes as in :meth:`TwoWayTransformer.forward`."""
        if not self.first:
            tokens = tokens + token_positions
        tokens = self.norm1(tokens + self.self_attn(q=tokens, k=tokens, v=tokens))
        cells_placed = cells + cell_positions
        tokens = self.norm2(
            tokens + self.cross_attn_token_to_image(q=tokens + token_positions, k=cells_placed, v=cells)
        )
        tokens = self.norm3(tokens + self.mlp(tokens))
        attended = self.cross_attn_image_to_token(q=cells_placed, k=tokens + token_positions, v=tokens)
        return tokens, self.norm4(cells + attended)


class Mlp(nn.Module):
    """``layers`` hidden layers with GELU, then a linear one."""

    def __init__(self, width: int, hidden: int, out: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width if i == 0 else hidden, hidden), nn.GELU()) for i in range(layers)
        )
        self.fc = nn.Linear(hidden, out)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            tokens = layer(tokens)
        return self.fc(tokens)
