"""BEIT-3 (arXiv 2208.10442): one transformer that reads an image and a text together from its first layer.

Each projection, norm and feed-forward exists twice ("multiway"): ``A`` for image tokens, ``B`` for text tokens.
Attention runs over both. Module names equal those of the published checkpoints (torchscale), so weights load by name.
torchscale itself is not used: it pins releases of timm and fairscale that no longer install.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from evfsam.modeling.config import Beit3Config
from evfsam.modeling.pixels import PixelConv2d
from evfsam.modeling.trunks.efficientnet_lite import WIDTHS as TRUNK_WIDTHS
from evfsam.types import PixelSpec

LAYER_NORM_EPS = 1e-5  # torchscale's EncoderConfig
FIRST_POSITION = 2  # positions 0 and 1 are unused, as in fairseq; the published weights contain them


class Multiway(nn.Module):
    """Two modules of one shape: ``A`` for the first ``split`` tokens, the image; ``B`` for the others, the text."""

    def __init__(self, make_module):
        super().__init__()
        self.A = make_module()
        self.B = make_module()

    def forward(self, tokens: torch.Tensor, split: int) -> torch.Tensor:
        """Tokens (B, T, width), of which the first ``split`` are the image's."""
        if split == 0:
            return self.B(tokens)
        if split == tokens.shape[1]:
            return self.A(tokens)
        return torch.cat([self.A(tokens[:, :split]), self.B(tokens[:, split:])], dim=1)


class SelfAttention(nn.Module):
    """Attention over all tokens, with torch's fused kernel."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.k_proj = Multiway(lambda: nn.Linear(width, width))
        self.v_proj = Multiway(lambda: nn.Linear(width, width))
        self.q_proj = Multiway(lambda: nn.Linear(width, width))
        self.out_proj = Multiway(lambda: nn.Linear(width, width))
        self.inner_attn_ln = Multiway(lambda: nn.LayerNorm(width, eps=LAYER_NORM_EPS))

    def _heads(self, projection: Multiway, tokens: torch.Tensor, split: int) -> torch.Tensor:
        return projection(tokens, split).unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, tokens: torch.Tensor, split: int, attendable: torch.Tensor | None) -> torch.Tensor:
        """Tokens (B, T, width) -> (B, T, width).

        ``attendable``: bool (B, 1, 1, T), False where a key is padding; None if there is no padding.
        """
        q, k, v = (self._heads(p, tokens, split) for p in (self.q_proj, self.k_proj, self.v_proj))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=attendable)
        attended = attended.transpose(1, 2).flatten(2)
        return self.out_proj(self.inner_attn_ln(attended, split), split)

    def weights(self, tokens: torch.Tensor, split: int, attendable: torch.Tensor | None) -> torch.Tensor:
        """The attention weights, float32 (B, heads, T, T), which the fused kernel does not return."""
        q, k = (self._heads(p, tokens, split) for p in (self.q_proj, self.k_proj))
        logits = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        if attendable is not None:
            logits = logits.masked_fill(~attendable, float("-inf"))
        return logits.float().softmax(-1)


class FeedForward(nn.Module):
    """Two linear layers with GELU, and a norm between them."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.ffn_layernorm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.ffn_layernorm(F.gelu(self.fc1(tokens))))


class Layer(nn.Module):
    """A transformer layer that normalises before attention and before the feed-forward."""

    def __init__(self, config: Beit3Config):
        super().__init__()
        norm = lambda: nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)  # noqa: E731
        self.self_attn = SelfAttention(config.width, config.heads)
        self.self_attn_layer_norm = Multiway(norm)
        self.ffn = Multiway(lambda: FeedForward(config.width, config.feed_forward))
        self.final_layer_norm = Multiway(norm)

    def forward(self, tokens: torch.Tensor, split: int, attendable: torch.Tensor | None) -> torch.Tensor:
        tokens = tokens + self.self_attn(self.self_attn_layer_norm(tokens, split), split, attendable)
        return tokens + self.ffn(self.final_layer_norm(tokens, split), split)


class VisionEmbedding(nn.Module):
    """The [CLS] token and patches. The mask token was for pre-training only, but published files contain it."""

    def __init__(self, config: Beit3Config):
        super().__init__()
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.proj = PixelConv2d(3, config.width, config.patch_size, stride=config.patch_size)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        patches = self.proj(pixels).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(pixels), -1, -1), patches], dim=1)


class TrunkEmbedding(nn.Module):
    """The [CLS] token, and image tokens from the maps of a convolutional trunk at strides 16 and 32.

    The trunk belongs to the segmenter (:meth:`share`): its weights exist once, in memory and in the file.
    """

    def __init__(self, config: Beit3Config):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.fine = nn.Conv2d(TRUNK_WIDTHS[2], config.width, 2, stride=2)
        self.coarse = nn.Conv2d(TRUNK_WIDTHS[3], config.width, 1)
        self.norm = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)

    def share(self, trunk: nn.Module) -> None:
        """Use this trunk. A tuple holds it, so that torch does not register it as a submodule here as well."""
        self._trunk = (trunk,)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels (B, 3, image_size, image_size) in -1..1 -> tokens (B, 1 + n, width)."""
        mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (PixelSpec.mean, PixelSpec.std))
        return self.embed_levels(self._trunk[0](((pixels + 1) * 127.5 - mean) / std))

    def embed_levels(self, levels: list[torch.Tensor]) -> torch.Tensor:
        """The four maps of the trunk -> tokens (B, 1 + n, width)."""
        patches = self.fine(levels[2]) + self.coarse(levels[3])
        patches = self.norm(patches.flatten(2).transpose(1, 2))
        return torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)


class Positions(nn.Module):
    """Learned positions: ``A`` of image tokens, ``B`` of text tokens."""

    def __init__(self, image_positions: int, text_positions: int, width: int):
        super().__init__()
        self.A = nn.Embedding(image_positions, width)
        self.B = nn.Embedding(text_positions, width)


class Encoder(nn.Module):
    """Positions, layers and the last norm."""

    def __init__(self, config: Beit3Config):
        super().__init__()
        image_tokens = (config.image_size // config.patch_size) ** 2 + 1
        self.embed_positions = Positions(image_tokens + FIRST_POSITION, config.text_positions, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.layer_norm = Multiway(lambda: nn.LayerNorm(config.width, eps=LAYER_NORM_EPS))


class Beit3(nn.Module):
    """The transformer itself; see the module's docstring."""

    def __init__(self, config: Beit3Config):
        super().__init__()
        self.text_embed = nn.Embedding(config.vocabulary, config.width)
        self.vision_embed = (VisionEmbedding if config.stem == "patches" else TrunkEmbedding)(config)
        self.encoder = Encoder(config)

    def _embed(self, pixels, token_ids, padding_mask, image_of_row=None):
        """Tokens (B, T, width), the number of image tokens among them, and ``attendable``."""
        positions = self.encoder.embed_positions
        parts, split = [], 0
        if pixels is not None:
            image = self.vision_embed(pixels)
            if image_of_row is not None:
                image = image[image_of_row]
            elif token_ids is not None and len(image) != len(token_ids):
                image = image.expand(len(token_ids), -1, -1)
            split = image.shape[1]
            parts.append(image + positions.A.weight[FIRST_POSITION : FIRST_POSITION + split])
        if token_ids is not None:
            text = self.text_embed(token_ids)
            text = text + positions.B.weight[FIRST_POSITION : FIRST_POSITION + text.shape[1]]
            if padding_mask is not None:
                text = text.masked_fill(padding_mask.unsqueeze(-1), 0)
            parts.append(text)
        attendable = None
        if padding_mask is not None:
            attendable = F.pad(~padding_mask, (split, 0), value=True)[:, None, None, :]
        return torch.cat(parts, dim=1), split, attendable

    def forward(
        self,
        pixels: torch.Tensor | None = None,
        token_ids: torch.Tensor | None = None,
        padding_mask: torch.Tensor | None = None,
        image_of_row: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Read images and texts together.

        EVF-SAM always gives both. The parity tests also give one alone, as the reference implementation allows.

        Args:
            pixels: (B or 1, 3, image_size, image_size) in -1..1; one image may serve all texts. None for texts alone.
            token_ids: int64 (B, L), L at most ``text_positions - 2``. None for images alone.
            padding_mask: bool (B, L), True where ``token_ids`` is padding.
            image_of_row: int64 (B,), which of several images each text is about; None if it is the one in its place.

        Returns (B, T, width), normalised: [CLS], the image tokens row by row, then the text tokens.
        """
        tokens, split, attendable = self._embed(pixels, token_ids, padding_mask, image_of_row)
        for layer in self.encoder.layers:
            tokens = layer(tokens, split, attendable)
        return self.encoder.layer_norm(tokens, split)

    def cls_attention(
        self, pixels: torch.Tensor, token_ids: torch.Tensor, padding_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Attention of [CLS] to the image in the last layer (EVF-SAM paper, figure 5).

        Arguments as in :meth:`forward`. Returns float32 (B, n, n) for n x n patches, summed over heads.
        """
        tokens, split, attendable = self._embed(pixels, token_ids, padding_mask)
        for layer in self.encoder.layers[:-1]:
            tokens = layer(tokens, split, attendable)
        last = self.encoder.layers[-1]
        assert isinstance(last, Layer)  # a ModuleList does not tell
        weights = last.self_attn.weights(last.self_attn_layer_norm(tokens, split), split, attendable)
        side = round((split - 1) ** 0.5)
        return weights[:, :, 0, 1:split].sum(1).unflatten(-1, (side, side))


class Beit3Encoder(nn.Module):
    """Holds :class:`Beit3` under the name ``beit3``, as the published checkpoints do."""

    def __init__(self, config: Beit3Config):
        super().__init__()
        self.beit3 = Beit3(config)

    def forward(self, pixels, token_ids, padding_mask=None, image_of_row=None) -> torch.Tensor:
        """As :meth:`Beit3.forward`."""
        return self.beit3(pixels, token_ids, padding_mask, image_of_row)
