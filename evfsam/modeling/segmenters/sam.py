"""SAM (arXiv 2304.02643) as EVF-SAM's segmenter, over the modules of the segment-anything package."""

from __future__ import annotations

from functools import partial

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn

from evfsam.modeling.config import SamConfig
from evfsam.modeling.pixels import PixelConv2d
from evfsam.modeling.trunks.sam_vit import SamViT
from evfsam.types import ImageFeatures, MaskLogits


class SamSegmenter(Sam):
    """The package's model, with the three methods of every segmenter. Parameter names are the package's."""

    def __init__(self, config: SamConfig):
        grid = config.image_size // config.patch_size
        super().__init__(
            image_encoder=SamViT(
                img_size=config.image_size,
                patch_size=config.patch_size,
                embed_dim=config.width,
                depth=config.depth,
                num_heads=config.heads,
                mlp_ratio=4,
                out_chans=config.embedding_width,
                norm_layer=partial(nn.LayerNorm, eps=1e-6),
                use_rel_pos=True,
                window_size=config.window,
                global_attn_indexes=config.global_attention_blocks,
            ),
            prompt_encoder=PromptEncoder(
                embed_dim=config.embedding_width,
                image_embedding_size=(grid, grid),
                input_image_size=(config.image_size, config.image_size),
                mask_in_chans=16,
            ),
            mask_decoder=MaskDecoder(
                transformer_dim=config.embedding_width,
                transformer=TwoWayTransformer(
                    depth=2,
                    embedding_dim=config.embedding_width,
                    mlp_dim=config.decoder_feed_forward,
                    num_heads=8,
                ),
            ),
        )
        self.image_encoder.patch_embed.proj = PixelConv2d(3, config.width, config.patch_size, stride=config.patch_size)

    def encode_image(self, pixels: torch.Tensor) -> ImageFeatures:
        """Pixels (B, 3, image_size, image_size), normalised -> features of B images."""
        return ImageFeatures(self.image_encoder(pixels).float())

    def embed_prompts(self, points=None, boxes=None):
        """Sparse embeddings (P, N, C) and dense ones (P or 1, C, h, w) of P prompts' points and boxes.

        Args:
            points: None, or coordinates, float (P, N, 2), x and y in pixels of the segmenter's square, and labels,
                int (P, N), 1 inside, 0 outside, -1 padding.
            boxes: None, or float (P, 4), xyxy in pixels of the segmenter's square.
        """
        return self.prompt_encoder(points=points, boxes=boxes, masks=None)

    def decode(self, features: ImageFeatures, sparse, dense, multimask: bool) -> MaskLogits:
        """Masks of P prompts on one image, ``len(features) == 1``, or on P images, one per prompt.

        Only training uses the second form.
        """
        embeddings, positions = features.image_embeddings, self.prompt_encoder.get_dense_pe()
        if len(embeddings) == 1:
            masks, ious = self.mask_decoder(embeddings, positions, sparse, dense, multimask)
        else:
            dense = dense.expand(len(sparse), -1, -1, -1)
            masks, ious = decode_each(self.mask_decoder, positions, embeddings, sparse, dense, multimask)
        best, rows = ious.argmax(-1), torch.arange(len(ious), device=ious.device)
        return MaskLogits(masks[rows, best], ious[rows, best])


def decode_each(
    decoder: MaskDecoder, positions: torch.Tensor, embeddings: torch.Tensor, sparse, dense, multimask: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks (P, M, 4h, 4w) and predicted IoUs (P, M) of P prompts on P images.

    The package's decoder takes one image per call, so vmap calls it P times.
    """

    def decode_one(image: torch.Tensor, few: torch.Tensor, many: torch.Tensor):
        masks, ious = decoder(image[None], positions, few[None], many[None], multimask)
        return masks[0], ious[0]

    return torch.vmap(decode_one)(embeddings, sparse, dense)
