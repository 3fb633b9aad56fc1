"""Tensor names of published files <-> names of our modules, each difference under a name of its own."""

from __future__ import annotations

from collections.abc import Iterable

_FUSER = ".memory_encoder.fuser.layers."

# What SAM-2 keeps for its memory beside the two modules; of no use without them.
_MEMORY_MODULES = ("visual_model.memory_encoder.", "visual_model.memory_attention.")
_MEMORY_EXTRAS = (
    "visual_model.maskmem_tpos_enc",
    "visual_model.no_mem_pos_enc",
    "visual_model.no_obj_ptr",
    "visual_model.mask_downsample.",
    "visual_model.obj_ptr_proj.",
)


def from_published(name: str) -> str:
    """The published name of a tensor -> ours.

    They differ in one place: the layer scale of the memory encoder's fuser is ``weight`` in EVF-SAM's files and
    ``gamma`` in the sam2 package. Either is accepted.
    """
    head, _, leaf = name.rpartition(".")
    if leaf == "weight" and _FUSER in name and head.rpartition(".")[2].isdigit():
        return f"{head}.gamma"
    return name


def to_published(name: str) -> str:
    """The inverse of :func:`from_published`."""
    if _FUSER in name and name.endswith(".gamma"):
        return name.removesuffix("gamma") + "weight"
    return name


def has_memory(names: Iterable[str]) -> bool:
    """Whether a SAM-2 checkpoint brings the memory modules that video needs."""
    return any(name.startswith(_MEMORY_MODULES) for name in names)


def serves_memory_only(name: str) -> bool:
    """Whether a tensor is of no use to a model without memory modules."""
    return name.startswith(_MEMORY_EXTRAS)


def segmenter_kind(names: Iterable[str]) -> str:
    """Which segmenter a published file holds; its ``config.json`` does not say it."""
    names = list(names)
    if any(name.startswith("visual_model.image_encoder.trunk.") for name in names):
        return "sam2"
    if any(name.endswith(".attn.rel_pos_h") for name in names):
        return "sam"
    return "efficient_sam"
