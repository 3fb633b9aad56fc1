"""CLIP as an encoder of prompts (EVF-SAM paper, tables 1 and 3): its text embedding, alone or beside the image's.

Built from transformers' own classes. Texts and images become what CLIP itself compares: the last text token and the
image's [CLS], each through its projection, not normalised. The paper does not say which vectors it took.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

from evfsam.modeling.encoders.base import PromptEncoder, per_text
from evfsam.modeling.encoders.config import ClipConfig
from evfsam.modeling.encoders.pretrained import read_pretrained

_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's images in 0..1


class ClipEncoder(PromptEncoder):
    """A text transformer, and for the fusion "late" a vision transformer."""

    def __init__(self, config: ClipConfig):
        super().__init__()
        self.text = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=config.vocabulary,
                hidden_size=config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.feed_forward,
                max_position_embeddings=config.text_positions,
                bos_token_id=0,  # transformers checks them against the vocabulary; the tokenizer has its own
                eos_token_id=0,
                projection_dim=config.projection,
                hidden_act=config.activation,
            )
        )
        self.image: nn.Module | None = None
        if config.fusion == "late":
            self.image = CLIPVisionModelWithProjection(
                CLIPVisionConfig(
                    hidden_size=config.image_width,
                    num_hidden_layers=config.image_layers,
                    num_attention_heads=config.image_heads,
                    intermediate_size=config.image_feed_forward,
                    image_size=config.image_size,
                    patch_size=config.patch_size,
                    projection_dim=config.projection,
                    hidden_act=config.activation,
                )
            )

    def forward(self, pixels, token_ids, padding_mask=None, image_of_row=None) -> torch.Tensor:
        """(P, 1, prompt_width); arguments as in :meth:`PromptEncoder.forward`."""
        read = torch.ones_like(token_ids) if padding_mask is None else (~padding_mask).long()
        tokens = self.text(token_ids, attention_mask=read).last_hidden_state
        # Its last token ends a text, and alone has seen all of it. transformers looks for it by its id instead.
        last = tokens[torch.arange(len(tokens), device=tokens.device), read.sum(1) - 1]
        embeddings = [self.text.text_projection(last)]
        if self.image is not None:
            mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (_MEAN, _STD))
            images = self.image(((pixels + 1) / 2 - mean) / std).image_embeds
            embeddings.append(per_text(images, len(tokens), image_of_row))
        return torch.cat(embeddings, dim=-1).unsqueeze(1)

    def pretrained(self, folder: Path) -> dict[str, torch.Tensor]:
        """The state of this module from a folder of a published CLIP, see :func:`read_pretrained`."""
        parts = {"text": CLIPTextModelWithProjection, "image": CLIPVisionModelWithProjection}
        state: dict[str, torch.Tensor] = {}
        for name, module_class in parts.items():
            if getattr(self, name) is not None:
                state |= {f"{name}.{key}": tensor for key, tensor in read_pretrained(module_class, folder).items()}
        return state
