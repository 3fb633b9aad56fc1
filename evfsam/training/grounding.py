"""Heads that ask the multimodal encoder which image tokens a prompt covers; thrown away after training."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from evfsam.modeling.config import EncoderConfig
from evfsam.modeling.encoders.beit3 import FIRST_POSITION, Beit3
from evfsam.training.losses import dice_loss


class GroundingHeads(nn.Module):
    """Two predictions of which image tokens a prompt covers.

    The first one is made from each fused image token; it starts early fusion within minutes. The second one compares
    [CLS] with the image tokens before fusion. It makes [CLS] hold what the prompt names and where that is, because
    the decoder gets nothing else of the text.
    """

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.token_head = nn.Linear(config.width, 1)
        self.cls_query = nn.Linear(config.width, config.width)
        self.patch_key = nn.Linear(config.width, config.width)
        self.cls_bias = nn.Parameter(torch.zeros(1))

    def forward(self, beit3: Beit3, tokens, pixels, image_of_row, covered) -> dict[str, torch.Tensor]:
        """Losses of P prompts.

        Args:
            tokens: the encoder's (P, T, width).
            pixels: (B, 3, n, n), the images before they were read.
            image_of_row: int64 (P,).
            covered: float (P, t, t), 0..1, the share of each image token.
        """
        side = covered.shape[-1]
        by_token = self.token_head(tokens[:, 1 : 1 + side * side]).squeeze(-1).unflatten(1, (side, side))
        patches = beit3.vision_embed(pixels)[:, 1:] + beit3.encoder.embed_positions.A.weight[FIRST_POSITION + 1 :]
        keys = self.patch_key(patches)[image_of_row]
        by_cls = torch.einsum("pd,pnd->pn", self.cls_query(tokens[:, 0]), keys) * keys.shape[-1] ** -0.5
        by_cls = (by_cls + self.cls_bias).unflatten(1, (side, side))
        present = (covered.flatten(1).amax(1) > 0).float()
        losses = {}
        for name, logits in (("token", by_token), ("cls", by_cls)):
            bce = F.binary_cross_entropy_with_logits(logits, covered, 1 + 4 * covered)
            dice = (dice_loss(logits, covered) * present).sum() / present.sum().clamp(min=1)
            losses[name] = bce + 0.5 * dice
            best = logits.flatten(1).argmax(1, keepdim=True)
            hit = (covered.flatten(1).gather(1, best)[:, 0] > 0.1).float()
            losses[f"{name}_hit"] = (hit * present).sum() / present.sum().clamp(min=1)
        losses["loss"] = losses["token"] + losses["cls"]
        return losses
