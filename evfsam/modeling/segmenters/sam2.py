"""SAM-2 (arXiv 2408.00714) as EVF-SAM's segmenter, over the modules of the sam2 package."""

from __future__ import annotations

import torch
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.transformer import RoPEAttention, TwoWayTransformer
from sam2.modeling.sam2_base import SAM2Base

from evfsam.modeling.config import Sam2Config
from evfsam.modeling.pixels import PixelConv2d
from evfsam.modeling.segmenters.memory_attention import MemoryCrossAttention
from evfsam.modeling.trunks.efficientnet_lite import EfficientNetLite0
from evfsam.modeling.trunks.hiera import FusedHiera
from evfsam.types import ImageFeatures, MaskLogits


class Sam2Segmenter(SAM2Base):
    """The package's model, with the three methods of every segmenter. Parameter names are the package's.

    Options that are not in :class:`Sam2Config` are those of ``sam2_hiera_l.yaml`` (version 2.0). They are the same for
    every size of the published SAM-2. Without memory modules it segments images only.
    """

    def __init__(self, config: Sam2Config):
        self.config = config  # before the base class, which builds the heads from it
        grid = config.image_size // 16
        super().__init__(
            image_encoder=_image_encoder(config),
            memory_attention=_memory_attention(config, grid) if config.memory else None,
            memory_encoder=_memory_encoder(config) if config.memory else None,
            num_maskmem=config.memory_frames if config.memory else 0,
            image_size=config.image_size,
            sigmoid_scale_for_mem_enc=20.0,
            sigmoid_bias_for_mem_enc=-10.0,
            binarize_mask_from_pts_for_mem_enc=True,
            use_mask_input_as_output_without_sam=True,
            directly_add_no_mem_embed=True,
            use_high_res_features_in_sam=True,
            multimask_output_in_sam=config.extra_masks,
            multimask_output_for_tracking=True,
            multimask_min_pt_num=0,
            multimask_max_pt_num=1,
            use_multimask_token_for_obj_ptr=True,
            iou_prediction_use_sigmoid=True,
            use_obj_ptrs_in_encoder=config.memory,
            add_tpos_enc_to_obj_ptrs=False,
            only_obj_ptrs_in_the_past_for_eval=True,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
            fixed_no_obj_ptr=config.memory,
            use_mlp_for_obj_ptr_proj=config.memory,
            # As the package's build_sam2 adds for inference: the best of three masks replaces an unstable single one.
            sam_mask_decoder_extra_args={
                "dynamic_multimask_via_stability": config.extra_masks,
                "dynamic_multimask_stability_delta": 0.05,
                "dynamic_multimask_stability_thresh": 0.98,
            },
        )
        if not config.memory:  # the package makes them even if nothing uses them
            del self.maskmem_tpos_enc, self.no_mem_pos_enc

    def _build_sam_heads(self):
        super()._build_sam_heads()
        if (
            self.config.decoder_feed_forward != 2048
        ):  # the package's method has this number fixed; small models need less
            self.sam_mask_decoder.transformer = TwoWayTransformer(
                depth=2,
                embedding_dim=self.config.embedding_width,
                mlp_dim=self.config.decoder_feed_forward,
                num_heads=8,
            )

    def encode_image(self, pixels: torch.Tensor) -> ImageFeatures:
        """Pixels (B, 3, image_size, image_size), normalised -> features of B images, with "no memory" added."""
        *high_res, embeddings = [level.float() for level in self.forward_image(pixels)["backbone_fpn"]]
        embeddings = embeddings + self.no_mem_embed.reshape(1, -1, 1, 1)
        return ImageFeatures(embeddings, tuple(high_res))

    def without_memory(self, features: ImageFeatures) -> ImageFeatures:
        """Add the learned "no memory" vector, for an image or the first frame of a clip."""
        return ImageFeatures(
            features.image_embeddings + self.no_mem_embed.reshape(1, -1, 1, 1), features.high_res_features
        )

    def embed_prompts(self, points=None, boxes=None):
        """As :meth:`evfsam.modeling.segmenters.sam.SamSegmenter.embed_prompts`."""
        return self.sam_prompt_encoder(points=points, boxes=boxes, masks=None)

    def decode(self, features: ImageFeatures, sparse, dense, multimask: bool) -> MaskLogits:
        """Masks of P prompts on one image, ``len(features) == 1``, or on P images, one per prompt."""
        single = len(features.image_embeddings) == 1
        high_res = features.high_res_features
        masks, ious, tokens, object_score_logits = self.sam_mask_decoder(
            image_embeddings=features.image_embeddings,
            image_pe=self.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense if single else dense.expand(len(sparse), -1, -1, -1),
            multimask_output=multimask,
            repeat_image=single,
            high_res_features=[level for level in high_res],
        )
        best = ious.argmax(-1)
        rows = torch.arange(len(best), device=best.device)
        # The decoder returns one token per mask.
        token = tokens[rows, best] if tokens.shape[1] > 1 else tokens[:, 0]
        return MaskLogits(masks[rows, best], ious[rows, best], object_score_logits[:, 0], token)


def _image_encoder(config: Sam2Config) -> ImageEncoder:
    trunk = _hiera(config) if config.trunk == "hiera" else EfficientNetLite0()
    neck = FpnNeck(
        position_encoding=PositionEmbeddingSine(num_pos_feats=config.embedding_width),
        d_model=config.embedding_width,
        backbone_channel_list=trunk.channel_list,
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    return ImageEncoder(trunk=trunk, neck=neck, scalp=1)


def _hiera(config: Sam2Config) -> FusedHiera:
    trunk = FusedHiera(
        embed_dim=config.width,
        num_heads=config.heads,
        stages=config.stages,
        global_att_blocks=config.global_attention_blocks,
        window_pos_embed_bkg_spatial_size=config.window_position_size,
        window_spec=config.windows,
    )
    trunk.patch_embed.proj = PixelConv2d(3, config.width, kernel_size=7, stride=4, padding=3)
    return trunk


def _memory_attention(config: Sam2Config, grid: int) -> MemoryAttention:
    width = config.embedding_width
    attention = {
        "rope_theta": 10000.0,
        # The package's config says 64 x 64 for 1024 px; RoPE follows the grid it meets at other sizes.
        "feat_sizes": (grid, grid),
        "embedding_dim": width,
        "num_heads": 1,
        "downsample_rate": 1,
        "dropout": 0.1,
    }
    layer = MemoryAttentionLayer(
        activation="relu",
        dim_feedforward=config.memory_feed_forward,
        dropout=0.1,
        pos_enc_at_attn=False,
        self_attention=RoPEAttention(**attention),
        d_model=width,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        cross_attention=MemoryCrossAttention(**attention, rope_k_repeat=True, kv_in_dim=config.memory_width),
    )
    for rotary in (layer.self_attn, layer.cross_attn_image):
        # The package puts this table on a GPU if there is one, but on a ZeroGPU Space it cannot be copied from there
        # with the layer. The package moves it to the device of the pixels when it uses it.
        rotary.freqs_cis = rotary.freqs_cis.cpu()
    return MemoryAttention(d_model=width, pos_enc_at_input=True, layer=layer, num_layers=config.memory_layers)


def _memory_encoder(config: Sam2Config) -> MemoryEncoder:
    width = config.embedding_width
    block = CXBlock(dim=width, kernel_size=7, padding=3, layer_scale_init_value=1e-6, use_dwconv=True)
    return MemoryEncoder(
        out_dim=config.memory_width,
        position_encoding=PositionEmbeddingSine(num_pos_feats=config.memory_width),
        mask_downsampler=MaskDownSampler(embed_dim=width, kernel_size=3, stride=2, padding=1),
        fuser=Fuser(block, num_layers=2),
        in_dim=width,
    )
