"""Initial weights: prompts change the masks from the first step, and a new memory changes no features.

With the common small initialisation the prompt token starts as almost the same vector for every prompt. A trial at
useful learning rates then collapsed to masks that ignore the words. So text embeddings start with standard deviation 1,
and the projector's last layer with a gain of 4.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from evfsam.modeling.config import Beit3Config, EvfConfig, SamConfig
from evfsam.modeling.encoders.beit3 import FIRST_POSITION, Beit3
from evfsam.modeling.evf_sam import EvfSam
from evfsam.modeling.segmenters.sam2 import Sam2Segmenter
from evfsam.modeling.segmenters.sam2_memory import Sam2Memory

PROJECTOR_GAIN = 4.0
# Of an axis' rotary frequencies, the fastest eight tell neighbouring tokens apart; with this bias on them attention
# falls to a tenth about two tokens away.
NEAR_FREQUENCIES, NEAR_BIAS = 8, 2.5
# Where the two packages call the same tensor differently.
SAM2_IN_SAM = {
    "sam_prompt_encoder.": "prompt_encoder.",
    "sam_mask_decoder.": "mask_decoder.",
    ".mlp.layers.0.": ".mlp.lin1.",
    ".mlp.layers.1.": ".mlp.lin2.",
}


@torch.no_grad()
def initialise(model: EvfSam) -> None:
    """Fill BEIT-3 and the projector; the rest keeps its package's own initialisation. Uses torch's global seed."""
    if model.config.encoder.kind == "beit3":
        _initialise_beit3(model.mm_extractor.beit3)
    hidden, last = model.text_hidden_fcs[0][0], model.text_hidden_fcs[0][2]
    for layer, gain in ((hidden, math.sqrt(2)), (last, PROJECTOR_GAIN)):
        nn.init.xavier_uniform_(layer.weight, gain=gain)
        nn.init.zeros_(layer.bias)


def _initialise_beit3(beit3: Beit3) -> None:
    depth_scale = 1 / math.sqrt(2 * len(beit3.encoder.layers))
    for name, module in beit3.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
            if name.split(".")[-2] in ("out_proj", "fc2") or name.endswith("fc2"):
                module.weight.mul_(depth_scale)
    nn.init.normal_(beit3.text_embed.weight)
    nn.init.normal_(beit3.vision_embed.cls_token)
    for positions in (beit3.encoder.embed_positions.A, beit3.encoder.embed_positions.B):
        nn.init.normal_(positions.weight, std=0.5)


def resize_positions(state: dict[str, torch.Tensor], encoder: Beit3Config) -> dict[str, torch.Tensor]:
    """A model's state for an encoder of another image size.

    Args:
        state: holds one ``...embed_positions.A.weight``, (3 + n * n, width) of n x n image tokens.
        encoder: has N x N image tokens.

    Returns the state with (3 + N * N, width) in its place, interpolated (bicubic) over the image, and the same tensors
    otherwise; ``state`` itself if N is n.
    """
    name = next(name for name in state if name.endswith("embed_positions.A.weight"))
    kept, patches = state[name].split([FIRST_POSITION + 1, len(state[name]) - FIRST_POSITION - 1])
    before, after = math.isqrt(len(patches)), encoder.image_size // encoder.patch_size
    if before == after:
        return state
    grid = patches.T.unflatten(1, (before, before))[None]
    grid = nn.functional.interpolate(grid, (after, after), mode="bicubic", align_corners=False)[0]
    return {**state, name: torch.cat([kept, grid.flatten(1).T])}


def deepen(state: dict[str, torch.Tensor], encoder: Beit3Config) -> dict[str, torch.Tensor]:
    """A model's state for an encoder of more layers that computes the same.

    Layers just before the last are doubled. The second of a pair starts by adding nothing: the projections that end its
    two blocks are zero, the others are copies. StackBERT (Gong et al., ICML 2019) deepens by copies, and bert2BERT
    (arXiv 2110.07143) keeps the function.

    Args:
        state: holds ``...encoder.layers.0.`` to those of L layers.
        encoder: has L to 2 L - 1 layers.

    Returns the same tensors under new numbers, and the copies; ``state`` itself if there is nothing to add. Raises
    ValueError if the encoder has fewer layers than that, or more.
    """
    marker = "mm_extractor.beit3.encoder.layers."
    layers = [{} for _ in {name.removeprefix(marker).split(".")[0] for name in state if name.startswith(marker)}]
    others = {}
    for name, tensor in state.items():
        if name.startswith(marker):
            number, own = name.removeprefix(marker).split(".", 1)
            layers[int(number)][own] = tensor
        else:
            others[name] = tensor
    more = encoder.layers - len(layers)
    if not 0 <= more < len(layers):
        raise ValueError(f"cannot make {encoder.layers} layers out of {len(layers)}")
    if not more:
        return state
    deeper = []
    for number, layer in enumerate(layers):
        deeper.append(layer)
        if len(layers) - 1 - more <= number < len(layers) - 1:
            deeper.append({own: torch.zeros_like(t) if _ends_block(own) else t.clone() for own, t in layer.items()})
    return others | {f"{marker}{i}.{own}": t for i, layer in enumerate(deeper) for own, t in layer.items()}


def _ends_block(name: str) -> bool:
    return ".out_proj." in name or ".fc2." in name


def resize_vit(state: dict[str, torch.Tensor], segmenter: SamConfig) -> dict[str, torch.Tensor]:
    """A model's state for a SAM of another image size.

    Args:
        state: holds SAM's ViT for n x n tokens: ``image_encoder.pos_embed`` (1, n, n, width) and, of each block that
            looks at all of them, ``rel_pos_h`` and ``rel_pos_w`` (2 n - 1, width / heads).
        segmenter: has N x N tokens.

    Returns the state with these interpolated to N, bicubic and, as the package does it, linear; the same tensors
    otherwise, and ``state`` itself if N is n.
    """
    prefix = "visual_model.image_encoder."
    positions, side = state[f"{prefix}pos_embed"], segmenter.image_size // segmenter.patch_size
    if positions.shape[1] == side:
        return state
    grid = nn.functional.interpolate(positions.permute(0, 3, 1, 2), (side, side), mode="bicubic", align_corners=False)
    resized = {f"{prefix}pos_embed": grid.permute(0, 2, 3, 1)}
    for block in segmenter.global_attention_blocks:
        for axis in "hw":
            name = f"{prefix}blocks.{block}.attn.rel_pos_{axis}"
            if name in state:  # of a ViT with fewer blocks nothing is taken over in the end
                resized[name] = nn.functional.interpolate(state[name].T[None], 2 * side - 1, mode="linear")[0].T
    return state | resized


def fit_state(state: dict[str, torch.Tensor], config: EvfConfig) -> dict[str, torch.Tensor]:
    """A model's state for one whose encoder reads a finer copy or has more layers, or whose SAM reads a finer copy."""
    # EfficientSAM has no relative positions, and its own are of another shape.
    if "visual_model.image_encoder.blocks.0.attn.rel_pos_h" in state and config.segmenter.kind == "sam":
        state = resize_vit(state, config.segmenter)
    if config.encoder.kind != "beit3":
        return state
    return deepen(resize_positions(state, config.encoder), config.encoder)


def continue_from(model: EvfSam, source: EvfSam) -> None:
    """Take over another model's encoder and projector, and those modules of its segmenter that are of the same build.

    A SAM may continue a SAM-2: their prompt encoders and mask decoders differ only in presence and finer features.
    Changes ``model`` in place. Raises RuntimeError if encoder or projector are of another size.
    """
    state, own = fit_state(source.state_dict(), model.config), model.state_dict()
    if model.config.segmenter.kind == "sam" and source.config.segmenter.kind == "sam2":
        state = {_in_sam(name): tensor for name, tensor in state.items()}
    # A module is taken as a whole or not at all.
    other = {_module(name) for name in own if name not in state or state[name].shape != own[name].shape}
    taken = {name: t for name, t in state.items() if not name.startswith("visual_model.") or _module(name) not in other}
    model.load_state_dict(taken, strict=False)


def _module(name: str) -> str:
    """visual_model.mask_decoder.iou_token.weight -> visual_model.mask_decoder."""
    return ".".join(name.split(".")[:2])


def _in_sam(name: str) -> str:
    """What SAM calls a tensor of SAM-2's prompt encoder or mask decoder."""
    for theirs, ours in SAM2_IN_SAM.items():
        name = name.replace(theirs, ours)
    return name


@torch.no_grad()
def fit_normalisation(norm: nn.Module, inputs: torch.Tensor, wanted: torch.Tensor) -> None:
    """Set a layer normalisation's scale and offset so that ``inputs`` come out as near to ``wanted`` as they can.

    Args:
        norm: has ``weight`` and ``bias`` (C,).
        inputs, wanted: (N, C), before the normalisation and after it.
    """
    normalised = nn.functional.layer_norm(inputs, inputs.shape[-1:])
    centred = normalised - normalised.mean(0)
    weight = (centred * (wanted - wanted.mean(0))).sum(0) / centred.square().sum(0)
    norm.weight.copy_(weight)
    norm.bias.copy_(wanted.mean(0) - weight * normalised.mean(0))


@torch.no_grad()
def initialise_memory(segmenter: Sam2Segmenter, pixels: torch.Tensor) -> None:
    """Initialise the memory attention so that it first returns the image's own features.

    The package's initialisation replaces the features that the decoder was trained on by a normalised mixture. Here
    every block adds zero at first, and the last normalisation is fitted to give the image's features back. Each token
    starts by attending to the memory near its own place, because most things move little between frames.

    Args:
        segmenter: a trained image model with an untrained memory.
        pixels: (B, 3, image_size, image_size), some images to fit the normalisation on.
    """
    attention = segmenter.memory_attention
    for layer in attention.layers:
        for last in (layer.self_attn.out_proj, layer.cross_attn_image.out_proj, layer.linear2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        for projection in (layer.cross_attn_image.q_proj, layer.cross_attn_image.k_proj):
            nn.init.zeros_(projection.bias)
            # Rotary pairs (sam2's compute_axial_cis): x in the first half of the channels, y in the second, fast first.
            for axis in projection.bias.chunk(2):
                axis.unflatten(0, (-1, 2))[:NEAR_FREQUENCIES, 0] = NEAR_BIAS
    memory = Sam2Memory(segmenter)
    frame = memory.encode_frame(pixels)
    wanted = memory.without_memory(frame).image_embeddings.flatten(2).transpose(1, 2).flatten(0, 1)
    mixed = (frame.image.image_embeddings + 0.1 * frame.position).flatten(2).transpose(1, 2).flatten(0, 1)
    fit_normalisation(attention.norm, mixed, wanted)
