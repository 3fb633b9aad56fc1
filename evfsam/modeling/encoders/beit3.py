"""BEIT-3 (arXiv 2208.10442): one transformer that reads an image and a text together from its first layer.

Each projection, norm and feed-forward exists twice ("multiway"): ``A`` for image tokens, ``B`` for text tokens.
Attention runs over both in the first ``Beit3Config.joint_layers`` layers: all of them in EVF-SAM. In the layers after
these, image tokens attend to image tokens alone, and text tokens to text tokens. The paper's table 3 calls that row
"fusion in layers 1 to 12" of 24, and says no more about it.

Module names equal those of the published checkpoints (torchscale), so weights load by name. torchscale itself is not
used: it pins releases of timm and fairscale that no longer install.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from evfsam.errors import InputError
from evfsam.modeling.encoders.base import PromptEncoder
from evfsam.modeling.encoders.config import Beit3Config
from evfsam.modeling.linear import feed_forward, linear
from evfsam.modeling.pixels import PixelConv2d
from evfsam.modeling.trunks.efficientnet_lite import WIDTHS as TRUNK_WIDTHS
from evfsam.types import PixelSpec

LAYER_NORM_EPS = 1e-5  # torchscale's EncoderConfig
FIRST_POSITION = 2  # positions 0 and 1 are unused, as in fairseq; the published weights contain them

# Tokens of the image, "A", and of the text, "B", each (B, T, width). One image may serve all texts: it has B = 1 until
# a text has reached it, so the first layer projects it once.
Parts = dict[str, torch.Tensor]


def join(parts: Parts) -> torch.Tensor:
    """All tokens, (B, T, width), those of the image first."""
    rows = max(map(len, parts.values()))
    return torch.cat([tokens.expand(rows, -1, -1) for tokens in parts.values()], dim=1)


class Multiway(nn.Module):
    """Two modules of one shape: ``A`` for image tokens, ``B`` for text tokens."""

    def __init__(self, make_module):
        super().__init__()
        self.A = make_module()
        self.B = make_module()

    def forward(self, parts: Parts) -> Parts:
        """Each part through its own module."""
        return {way: self.get_submodule(way)(tokens) for way, tokens in parts.items()}


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

    def _heads(self, projection: Multiway, parts: Parts) -> torch.Tensor:
        projected = {way: linear(projection.get_submodule(way), tokens) for way, tokens in parts.items()}
        return join(projected).unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, parts: Parts, residual: Parts, attendable: torch.Tensor | None) -> Parts:
        """``residual`` plus the attention of its tokens to those of ``parts``.

        Args:
            parts: all tokens, normalised.
            residual: the tokens that ask, before the norm: all, or the first ones of the image.
            attendable: bool (B, 1, 1, T), False where a key is padding; None if there is no padding.
        """
        k, v = self._heads(self.k_proj, parts), self._heads(self.v_proj, parts)
        attended = {}
        for way, tokens in residual.items():
            q = self._heads(self.q_proj, {way: parts[way][:, : tokens.shape[1]]}).expand(len(k), -1, -1, -1)
            attended[way] = F.scaled_dot_product_attention(q, k, v, attn_mask=attendable).transpose(1, 2).flatten(2)
        attended = self.inner_attn_ln(attended)
        return {
            way: linear(self.out_proj.get_submodule(way), tokens, add=residual[way].expand_as(tokens))
            for way, tokens in attended.items()
        }

    def weights(self, parts: Parts, attendable: torch.Tensor | None) -> torch.Tensor:
        """The attention weights, float32 (B, heads, T, T), which the fused kernel does not return."""
        q, k = self._heads(self.q_proj, parts), self._heads(self.k_proj, parts)
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

    def forward(self, tokens: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        return feed_forward(self.fc1, self.fc2, tokens, self.ffn_layernorm, residual)


class Layer(nn.Module):
    """A transformer layer that normalises before attention and before the feed-forward."""

    def __init__(self, config: Beit3Config):
        super().__init__()
        norm = lambda: nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)  # noqa: E731
        self.self_attn = SelfAttention(config.width, config.heads)
        self.self_attn_layer_norm = Multiway(norm)
        self.ffn = Multiway(lambda: FeedForward(config.width, config.feed_forward))
        self.final_layer_norm = Multiway(norm)

    def forward(self, parts: Parts, attendable: torch.Tensor | None, only_cls: bool = False) -> Parts:
        """``only_cls``: returns [CLS] alone; it still attends to all tokens."""
        residual = {"A": parts["A"][:, :1]} if only_cls else parts
        residual = self.self_attn(self.self_attn_layer_norm(parts), residual, attendable)
        normalised = self.final_layer_norm(residual)
        return {way: self.ffn.get_submodule(way)(normalised[way], residual[way]) for way in residual}


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
        self.config = config
        self.text_embed = nn.Embedding(config.vocabulary, config.width)
        self.vision_embed = (VisionEmbedding if config.stem == "patches" else TrunkEmbedding)(config)
        self.encoder = Encoder(config)

    def _embed(self, pixels, token_ids, padding_mask, image_of_row=None) -> tuple[Parts, torch.Tensor | None]:
        """The tokens of image and text, and ``attendable``; for the fusion "text" those of the text alone."""
        positions = self.encoder.embed_positions
        parts: Parts = {}
        if pixels is not None and self.config.fusion != "text":
            image = self.vision_embed(pixels)
            image = image if image_of_row is None else image[image_of_row]
            parts["A"] = image + positions.A.weight[FIRST_POSITION : FIRST_POSITION + image.shape[1]]
        if token_ids is not None:
            text = self.text_embed(token_ids)
            text = text + positions.B.weight[FIRST_POSITION : FIRST_POSITION + text.shape[1]]
            parts["B"] = text if padding_mask is None else text.masked_fill(padding_mask.unsqueeze(-1), 0)
        if padding_mask is None:
            return parts, None
        before = parts["A"].shape[1] if "A" in parts else 0
        return parts, F.pad(~padding_mask, (before, 0), value=True)[:, None, None, :]

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

        Returns (B, T, width), normalised: [CLS], the image tokens row by row, then the text tokens. For the fusion
        "text" the image's are not there.
        """
        parts, attendable = self._embed(pixels, token_ids, padding_mask, image_of_row)
        for number in range(self.config.layers):
            parts = self._layer(number, parts, attendable)
        return join(self.encoder.layer_norm(parts))

    def cls(
        self, pixels: torch.Tensor, token_ids: torch.Tensor, padding_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The first token of :meth:`forward`, (B, 1, width). The last layer computes no other."""
        parts, attendable = self._embed(pixels, token_ids, padding_mask)
        last = self.config.layers - 1
        for number in range(last):
            parts = self._layer(number, parts, attendable)
        return self.encoder.layer_norm(self._layer(last, parts, attendable, only_cls=True))["A"]

    def _layer(self, number: int, parts: Parts, attendable: torch.Tensor | None, only_cls: bool = False) -> Parts:
        """One layer, over image and text together or over each alone."""
        layer = self.encoder.layers[number]
        if number < self.config.joint_layers:
            return layer(parts, attendable, only_cls)
        if only_cls:
            return layer({"A": parts["A"]}, None, only_cls)
        own = {"A": None, "B": None if attendable is None else attendable[..., -parts["B"].shape[1] :]}
        return {way: layer({way: tokens}, own[way])[way] for way, tokens in parts.items()}

    def cls_attention(
        self, pixels: torch.Tensor, token_ids: torch.Tensor, padding_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Attention of [CLS] to the image in the last layer (EVF-SAM paper, figure 5).

        Arguments as in :meth:`forward`. Returns float32 (B, n, n) for n x n patches, summed over heads.
        """
        if self.config.fusion == "text":
            raise InputError("This checkpoint's encoder reads no image: choose one whose encoder reads both.")
        parts, attendable = self._embed(pixels, token_ids, padding_mask)
        for number in range(self.config.layers - 1):
            parts = self._layer(number, parts, attendable)
        if self.config.joint_layers < self.config.layers:
            parts, attendable = {"A": parts["A"]}, None
        last = self.encoder.layers[-1]
        assert isinstance(last, Layer)  # a ModuleList does not tell
        weights = last.self_attn.weights(last.self_attn_layer_norm(parts), attendable)
        split = parts["A"].shape[1]
        side = round((split - 1) ** 0.5)
        return weights[:, :, 0, 1:split].sum(1).unflatten(-1, (side, side))


class Beit3Encoder(PromptEncoder):
    """Holds :class:`Beit3` under the name ``beit3``, as the published checkpoints do."""

    def __init__(self, config: Beit3Config):
        super().__init__()
        self.beit3 = Beit3(config)

    def forward(self, pixels, token_ids, padding_mask=None, image_of_row=None) -> torch.Tensor:
        """As :meth:`Beit3.forward`."""
        return self.beit3(pixels, token_ids, padding_mask, image_of_row)

    def pool(self, tokens: torch.Tensor) -> torch.Tensor:
        """(P, T, width) -> (P, 1, prompt_width), as ``Beit3Config.prompt`` says."""
        config = self.beit3.config
        text = 0 if config.fusion == "text" else 1 + (config.image_size // config.patch_size) ** 2
        if config.prompt == "image_mean":
            return tokens[:, 1:text].mean(1, keepdim=True)
        of_image, of_text = tokens[:, :1], tokens[:, text : text + 1]
        if config.prompt == "both_cls":
            return torch.cat([of_image, of_text], dim=-1)
        return of_image if config.prompt == "image_cls" else of_text

    def prompt(self, pixels, token_ids, padding_mask=None) -> torch.Tensor:
        """As :meth:`PromptEncoder.prompt`; other tokens than [CLS] are not computed where it suffices."""
        if self.beit3.config.prompt == "image_cls":
            return self.beit3.cls(pixels, token_ids, padding_mask)
        return super().prompt(pixels, token_ids, padding_mask)

    def cls_attention(self, pixels, token_ids) -> torch.Tensor:
        """As :meth:`Beit3.cls_attention`."""
        return self.beit3.cls_attention(pixels, token_ids)
