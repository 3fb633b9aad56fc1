"""Tiny random models of the real classes, saved as the Hub would give them."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    AddedToken,
    BartTokenizer,
    BertConfig,
    BertTokenizer,
    CLIPImageProcessor,
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    CLIPTokenizer,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    Owlv2Processor,
    Sam2Config,
    Sam2ImageProcessor,
    Sam2Model,
    Sam2Processor,
    Sam2VideoVideoProcessor,
    Sam3ImageProcessor,
    Sam3VideoConfig,
    Sam3VideoModel,
    Sam3VideoProcessor,
    SwinConfig,
    ViTImageProcessor,
)

from evfsam.checkpoints.refersam import build_refersam, save_refersam
from evfsam.modeling.config import SamConfig
from evfsam.modeling.refersam.config import ReferSamConfig, TextConfig

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def clip_tokenizer(length: int = 16) -> CLIPTokenizer:
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=length)


CLIP_TEXT = {
    "vocab_size": 54,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
    "bos_token_id": 52,
    "eos_token_id": 53,
    "pad_token_id": 53,
}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def save_sam2(folder: Path) -> None:
    hiera = {
        "hidden_size": 8,
        "num_attention_heads": 1,
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 4],
        "window_size_per_stage": [8, 4, 8, 8],
        "global_attention_blocks": [3],
        "image_size": [128, 128],
        "model_type": "sam2_hiera_det_model",
    }
    vision = {
        "backbone_config": hiera,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 32,
        "num_feature_levels": 3,
        "model_type": "sam2_vision_model",
    }
    prompts = {"hidden_size": 32, "image_size": 128, "patch_size": 16}
    decoder = {"hidden_size": 32, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
               "iou_head_hidden_dim": 32}  # fmt: skip
    config = Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    Sam2Model(config).save_pretrained(folder)
    size = {"height": 128, "width": 128}
    Sam2Processor(Sam2ImageProcessor(size=size, mask_size={"height": 32, "width": 32})).save_pretrained(folder)


def save_grounding_dino(folder: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "the", "cat", "dog", "left"]
    backbone = SwinConfig(
        image_size=128, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    text = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64,
    )  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=backbone, text_config=text, d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=2, decoder_attention_heads=2, num_queries=6,
        max_text_len=32, use_pretrained_backbone=False,
    )  # fmt: skip
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    images = GroundingDinoImageProcessor(size={"height": 128, "width": 128})
    GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)


def save_owlv2(folder: Path) -> None:
    config = Owlv2Config(
        text_config=CLIP_TEXT, vision_config={**VISION, "image_size": 64, "patch_size": 16}, projection_dim=32
    )
    Owlv2ForObjectDetection(config).save_pretrained(folder)
    images = Owlv2ImageProcessor(size={"height": 64, "width": 64})
    Owlv2Processor(images, clip_tokenizer()).save_pretrained(folder)


def save_clipseg(folder: Path) -> None:
    vision = {**VISION, "image_size": 64, "patch_size": 16}
    config = CLIPSegConfig(
        text_config=CLIP_TEXT, vision_config=vision, projection_dim=32, reduce_dim=16, extract_layers=[0, 1],
        decoder_num_attention_heads=2, decoder_intermediate_size=32, conditional_layer=0,
    )  # fmt: skip
    CLIPSegForImageSegmentation(config).save_pretrained(folder)
    images = ViTImageProcessor(size={"height": 64, "width": 64})
    CLIPSegProcessor(images, clip_tokenizer()).save_pretrained(folder)


def save_sam3(folder: Path) -> None:
    """The video model, which Sam3Model reads as well, as in the repository on the Hub.

    transformers fixes the memory's width to 64, and the tracker splits object pointers into pieces of that width: it
    wants more than one, so other widths are 128.
    """
    width = 128
    small = {"hidden_size": width, "num_attention_heads": 2, "intermediate_size": 32}
    backbone = {
        **VISION, "image_size": 56, "patch_size": 14, "window_size": 2, "global_attn_indexes": [1],
        "pretrain_image_size": 56, "model_type": "sam3_vit_model",
    }  # fmt: skip
    vision = {
        "backbone_config": backbone, "fpn_hidden_size": width, "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "model_type": "sam3_vision_model",
    }  # fmt: skip
    detector = {
        "vision_config": vision, "model_type": "sam3",
        "text_config": {**CLIP_TEXT, "max_position_embeddings": 32, "projection_dim": 32},
        "geometry_encoder_config": {**small, "num_layers": 1},
        "detr_encoder_config": {**small, "num_layers": 1},
        "detr_decoder_config": {**small, "num_layers": 1, "num_queries": 2},
        "mask_decoder_config": {"hidden_size": width, "num_attention_heads": 2},
    }  # fmt: skip
    tracker = {
        "vision_config": vision, "image_size": 56, "model_type": "sam3_tracker_video", "num_maskmem": 3,
        "max_object_pointers_in_encoder": 4,
        "prompt_encoder_config": {"hidden_size": width, "image_size": 56, "patch_size": 14},
        "mask_decoder_config": {**small, "mlp_dim": 32, "num_hidden_layers": 1, "iou_head_hidden_dim": 32},
        "memory_attention_hidden_size": width, "memory_attention_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": 32, "memory_attention_rope_feat_sizes": [4, 4],
        "memory_encoder_hidden_size": width, "mask_downsampler_embed_dim": width, "memory_fuser_embed_dim": width,
        "memory_fuser_intermediate_dim": 32, "memory_fuser_num_layers": 1,
    }  # fmt: skip
    # Random weights are sure of nothing, so every detection counts, and is a new object until there are six.
    config = Sam3VideoConfig(
        detector_config=detector, tracker_config=tracker, low_res_mask_size=16, score_threshold_detection=0.0,
        new_det_thresh=0.0, det_nms_thresh=0.0, assoc_iou_thresh=1.0, max_num_objects=6, hotstart_delay=4,
        hotstart_unmatch_thresh=4, hotstart_dup_thresh=4,
    )  # fmt: skip
    model = Sam3VideoModel(config)
    torch.nn.init.constant_(model.tracker_model.mask_decoder.pred_obj_score_head.proj_out.bias, 10.0)
    model.save_pretrained(folder)
    images = Sam3ImageProcessor(size={"height": 56, "width": 56}, mask_size={"height": 16, "width": 16})
    colours = {"image_mean": images.image_mean, "image_std": images.image_std}
    videos = Sam2VideoVideoProcessor(size={"height": 56, "width": 56}, **colours)
    Sam3VideoProcessor(images, videos, clip_tokenizer(32)).save_pretrained(folder)


def save_florence2(folder: Path) -> None:
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<image>", "<poly>", "</poly>", "<sep>"]
    words += [f"<loc_{i}>" for i in range(1000)]
    vocabulary = {word: i for i, word in enumerate([*words, *map(chr, range(33, 127)), "Ġ"])}
    tokenizer = BartTokenizer(vocab=vocabulary, merges=[], extra_special_tokens={"image_token": "<image>"})
    tokenizer.add_tokens([AddedToken(word, special=False, normalized=False) for word in words[5:]])
    vision = {
        "depths": [1, 1, 1, 1], "embed_dim": [8, 8, 16, 16], "num_heads": [1, 1, 2, 2], "num_groups": [1, 1, 2, 2],
        "window_size": 2, "projection_dim": 32, "model_type": "florence_vision",
    }  # fmt: skip
    text = {
        "vocab_size": len(vocabulary), "d_model": 32, "encoder_layers": 1, "decoder_layers": 1,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
        "max_position_embeddings": 128, "model_type": "bart", "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    }  # fmt: skip
    config = Florence2Config(text_config=text, vision_config=vision, image_token_id=vocabulary["<image>"])
    Florence2ForConditionalGeneration(config).save_pretrained(folder)
    images = CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False)
    images.image_seq_length = 5
    Florence2Processor(images, tokenizer, post_processor_config={"polygons": {}}).save_pretrained(folder)


TOKENIZER = Path(__file__).parents[2] / "assets" / "checkpoints" / "evf-sam-tiny"
TINY_REFERSAM = ReferSamConfig(
    segmenter=SamConfig(
        image_size=64,
        width=24,
        depth=2,
        heads=2,
        global_attention_blocks=(1,),
        window=3,
        embedding_width=32,
        decoder_feed_forward=32,
    ),
    text=TextConfig("bert", 264, 32, 1, 2, 32, 64, 1),
    stem_width=4,
    inner_width=24,
    heads=2,
    feed_forward_ratio=1.0,
    groups=((0, 0), (1, 1)),
    extra_layers=1,
)


def save_tiny_refersam(folder: Path) -> None:
    torch.manual_seed(0)
    save_refersam(folder, build_refersam(TINY_REFERSAM), TOKENIZER)


SAVE = {
    "sam3": save_sam3,
    "Florence-2-base": save_florence2,
    "sam2.1-hiera-tiny": save_sam2,
    "grounding-dino-tiny": save_grounding_dino,
    "owlv2-base-patch16-ensemble": save_owlv2,
    "clipseg-rd64-refined": save_clipseg,
    "refersam-tiny": save_tiny_refersam,
}


def save_all(root: Path) -> Path:
    """All repositories in one folder."""
    torch.manual_seed(0)
    for name, save in SAVE.items():
        save(root / name)
    return root
