"""How much GPU memory a training step needs, by arithmetic: nothing is trained and no weights are read.

    python -m benchmarks.training_memory evf-sam2 --images 1 --trains encoder projector decoder

Weights, gradients and AdamW's two moments are counted in float32, as mixed precision keeps them. Activations are what
autograd keeps of the multimodal encoder, the projector and the decoder under bfloat16 autocast, counted at the official
size without storage. The image encoder is frozen, so nothing of it is kept. What it needs for a moment, the allocator's
waste and CUDA itself come on top.
"""

from __future__ import annotations

import argparse

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from evfsam.checkpoints.registry import find
from evfsam.modeling.build import build_model
from evfsam.modeling.config import EvfConfig
from evfsam.modeling.evf_sam import EvfSam
from evfsam.training.parts import PARTS, part_of
from evfsam.types import ImageFeatures

SIZES = {"sam": "huge", "sam2": "large"}
TEXT_TOKENS = 20


def kept_bytes(model: EvfSam, images: int, prompts: int) -> int:
    """Bytes that autograd keeps of one forward pass, each storage once, the weights themselves left out."""
    rows, width, grid = images * prompts, model.config.out_dim, model.config.pixels.image_size // 16
    levels = () if model.config.segmenter.kind == "sam" else ((width // 8, 4), (width // 4, 2))
    features = ImageFeatures(
        torch.zeros(rows, width, grid, grid),
        tuple(torch.zeros(rows, channels, grid * scale, grid * scale) for channels, scale in levels),
    )
    weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor

    size = model.config.pixels.encoder_image_size
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16):
        token_ids = torch.zeros(rows, TEXT_TOKENS, dtype=torch.int64)
        prompt_tokens = model.encode_prompt(torch.zeros(rows, 3, size, size), token_ids)
        masks = model.decode(features, prompt_tokens)
    total = sum(storage.nbytes() for storage in kept.values())
    del masks  # only now: until here everything that is kept is alive and counted once
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a published checkpoint's name")
    parser.add_argument("--images", type=int, default=1, help="at a time")
    parser.add_argument("--prompts", type=int, default=3, help="of each image")
    parser.add_argument("--trains", nargs="+", choices=PARTS, default=["encoder", "projector", "decoder"])
    args = parser.parse_args()
    kind = find(args.model).kind
    counts = dict.fromkeys(PARTS, 0)
    model = build_model(EvfConfig.official(kind, SIZES[kind], "large"), weights=False)
    with FakeTensorMode(allow_non_fake_inputs=True):  # shapes and dtypes, no storage
        model.to_empty(device="cpu")
        for name, parameter in model.named_parameters():
            part = part_of(f"model.{name}")
            parameter.requires_grad_(part in args.trains)
            counts[part] += parameter.numel()
        activations = kept_bytes(model, args.images, args.prompts)
    total, learning = sum(counts.values()), sum(counts[part] for part in args.trains)
    rows = {"weights": 4 * total, "gradients": 4 * learning, "AdamW": 8 * learning, "activations": activations}
    print(f"{args.model}: {total:,} parameters, of which {learning:,} learn ({', '.join(args.trains)})")
    for name, size in (*rows.items(), ("together", sum(rows.values()))):
        print(f"{name:12} {size / 1e9:6.2f} GB")


if __name__ == "__main__":
    main()
