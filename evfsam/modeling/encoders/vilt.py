"""ViLT as an encoder of prompts (EVF-SAM paper, table 3): one transformer over words and patches.

Built from transformers' own class. [CLS] of the text becomes the prompt, as it is ViLT's summary of both; the fusion
"late" reads words and patches apart and adds the image's [CLS] to it. The pooler after it is left out.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import ViltConfig as TransformersConfig
from transformers import ViltModel

from evfsam.modeling.encoders.base import PromptEncoder, per_text
from evfsam.modeling.encoders.config import ViltConfig
from evfsam.modeling.encoders.pretrained import read_pretrained


class ViltEncoder(PromptEncoder):
    """Reads square images, as every encoder here; published ViLT keeps their shape."""

    def __init__(self, config: ViltConfig):
        super().__init__()
        self.config = config
        self.vilt = ViltModel(
            TransformersConfig(
                vocab_size=config.vocabulary,
                hidden_size=config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.feed_forward,
                max_position_embeddings=config.text_positions,
                image_size=config.image_size,
                patch_size=config.patch_size,
            ),
            add_pooling_layer=False,
        )

    def forward(self, pixels, token_ids, padding_mask=None, image_of_row=None) -> torch.Tensor:
        """(P, 1, prompt_width); arguments as in :meth:`PromptEncoder.forward`."""
        words = self.vilt.embeddings.text_embeddings(token_ids)
        read = torch.ones_like(token_ids) if padding_mask is None else (~padding_mask).long()
        if self.config.fusion == "text":
            return self._read(words, read, words[:, :0])[:, :1]
        images = self._image(pixels)
        if self.config.fusion == "late":
            of_images = self._read(images[:, :0], read.new_ones(len(images), 0), images)[:, :1]
            of_texts = self._read(words, read, words[:, :0])[:, :1]
            return torch.cat([of_texts, per_text(of_images, len(words), image_of_row)], dim=-1)
        return self._read(words, read, per_text(images, len(words), image_of_row))[:, :1]

    def _image(self, pixels: torch.Tensor) -> torch.Tensor:
        """[CLS] and patches with their positions, (B, 1 + n, width). transformers' own function shuffles patches."""
        embeddings = self.vilt.embeddings
        patches = embeddings.patch_embeddings(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat([embeddings.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        return tokens + embeddings.position_embeddings

    def _read(self, words: torch.Tensor, read: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """The transformer's tokens, of words first. Either may be of length 0."""
        types = self.vilt.embeddings.token_type_embeddings.weight
        tokens = torch.cat([words + types[0], images + types[1]], dim=1)
        attendable = torch.cat([read.bool(), read.new_ones(images.shape[:2]).bool()], dim=1)[:, None, None]
        mask = torch.zeros(attendable.shape, dtype=tokens.dtype, device=tokens.device)
        mask = mask.masked_fill(~attendable, torch.finfo(tokens.dtype).min)
        return self.vilt.layernorm(self.vilt.encoder(tokens, attention_mask=mask).last_hidden_state)

    def pretrained(self, folder: Path) -> dict[str, torch.Tensor]:
        """The state of this module from a folder of a published ViLT, see :func:`read_pretrained`."""
        state = read_pretrained(ViltModel, folder, add_pooling_layer=False)
        return {f"vilt.{key}": tensor for key, tensor in state.items()}
