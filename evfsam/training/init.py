"""Initial weights with which words matter from the first step.

With the common small initialisation the prompt token starts as almost the same vector for every phrase; a trial
at useful learning rates then collapsed to masks that ignore the words. So text embeddings start with standard
deviation 1 and the projector's last layer with a gain of 4 (a test in tests/training compares the words' share of
the mask logits' variance with the common initialisation's).
"""

from __future__ import annotations

import math

import torch
from torch import nn

from evfsam.modeling.evf_sam import EvfSam

PROJECTOR_GAIN = 4.0


@torch.no_grad()
def initialise(model: EvfSam) -> None:
    """Fill encoder and projector; the segmenter keeps its package's own initialisation. Uses torch's global seed."""
    beit3 = model.mm_extractor.beit3
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
    hidden, last = model.text_hidden_fcs[0][0], model.text_hidden_fcs[0][2]
    for layer, gain in ((hidden, math.sqrt(2)), (last, PROJECTOR_GAIN)):
        nn.init.xavier_uniform_(layer.weight, gain=gain)
        nn.init.zeros_(layer.bias)
