"""The refinements of a checkpoint, as one frozen dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from evfsam.values import shown


@dataclass(frozen=True)
class Refinement:
    """Steps beyond the paper that change a checkpoint's masks. The default changes nothing.

    Attributes:
        reject_below: a text prompt with a lower presence, 0..1, is rejected: its mask is empty. None rejects nothing.
            Only for checkpoints that were trained on absent prompts.
        point_refinement: decode a referring prompt a second time, with a point inside the first mask.
        guided_filter: align outlines with the image's edges (He, Sun, Tang, arXiv 1505.00996).
        zoom: decode the small mask of one thing a second time, from the part of the image around it. Not for
            "[semantic] " without points and box, nor for frames of clips. The score stays that of the first mask.
        text_threshold: a text alone masks the pixels whose probability, 0..1, is higher. The paper's is 0.5.
    """

    reject_below: float | None = None
    point_refinement: bool = False
    guided_filter: bool = False
    zoom: bool = False
    text_threshold: float = 0.5

    def __post_init__(self):
        """Raises ValueError for a value of a wrong type or out of range."""
        for name in ("point_refinement", "guided_filter", "zoom"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: {shown(getattr(self, name))}; write true or false")
        if self.reject_below is not None and not (_is_number(self.reject_below) and 0 <= self.reject_below <= 1):
            raise ValueError(f"reject_below: {shown(self.reject_below)}; write a number from 0 to 1")
        if not (_is_number(self.text_threshold) and 0 < self.text_threshold < 1):
            raise ValueError(f"text_threshold: {shown(self.text_threshold)}; write a number between 0 and 1")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Refinement:
        """The refinement of a parsed ``config.json``: its entry "refinement", or the older flat entries.

        Raises ValueError for unknown entries and wrong values.
        """
        if "refinement" not in config:
            return _from_older_entries(cls, config)
        values = config["refinement"]
        if not isinstance(values, Mapping):
            raise ValueError(f"refinement: {shown(values)}; write an object")
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"refinement: {shown(unknown[0])}; write only {', '.join(known)}")
        return cls(**values)

    def to_config(self) -> dict[str, Any]:
        """The inverse of :meth:`from_config`, for the entry "refinement"."""
        return asdict(self)

    def rejects(self, presence: float | None) -> bool:
        """Whether a text prompt of this presence, 0..1, is rejected."""
        return self.reject_below is not None and presence is not None and presence < self.reject_below


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# Checkpoints older than the entry "refinement" have these entries instead.
_OLDER_NAMES = {
    "reject_below": "presence_threshold",
    "point_refinement": "self_prompts",
    "guided_filter": "follows_edges",
}


def _from_older_entries(refinement: type[Refinement], config: Mapping[str, Any]) -> Refinement:
    values = {name: config[older] for name, older in _OLDER_NAMES.items() if config.get(older) is not None}
    try:
        return refinement(**values)
    except ValueError as error:
        name, _, words = str(error).partition(":")
        raise ValueError(f"{_OLDER_NAMES[name]}:{words}") from None
