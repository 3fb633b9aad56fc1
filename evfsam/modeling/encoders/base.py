"""What every encoder of prompts answers to."""

from __future__ import annotations

import torch
from torch import nn

from evfsam.errors import InputError


class PromptEncoder(nn.Module):
    """Reads P texts, and images with them. ``forward`` makes tokens, ``pool`` makes a prompt of them."""

    def forward(self, pixels, token_ids, padding_mask=None, image_of_row=None) -> torch.Tensor:
        """Read texts and images.

        Args:
            pixels: (B or 1, 3, image_size, image_size) in -1..1; one image may serve all texts.
            token_ids: int64 (P, L).
            padding_mask: bool (P, L), True where padded; None if there is no padding.
            image_of_row: int64 (P,), which image each text is about; None if it is the one in its place.

        Returns (P, T, width) for :meth:`pool`.
        """
        raise NotImplementedError

    def pool(self, tokens: torch.Tensor) -> torch.Tensor:
        """The tokens of :meth:`forward` -> what the projector reads, (P, 1, prompt_width)."""
        return tokens

    def prompt(self, pixels, token_ids, padding_mask=None) -> torch.Tensor:
        """What the projector reads, (P, 1, prompt_width). Arguments as in :meth:`forward`."""
        return self.pool(self(pixels, token_ids, padding_mask))

    def cls_attention(self, pixels: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
        """Where [CLS] looks in the image, see :meth:`EvfSam.cls_attention`. Raises InputError where that is unknown."""
        raise InputError("The attention of [CLS] can be shown for BEIT-3 alone: choose a checkpoint with that encoder.")


def per_text(images: torch.Tensor, texts: int, image_of_row: torch.Tensor | None) -> torch.Tensor:
    """What was read of B images, (B or P, ...), for each of P texts, (P, ...); arguments as of the encoder."""
    return images.expand(texts, *[-1] * (images.dim() - 1)) if image_of_row is None else images[image_of_row]
