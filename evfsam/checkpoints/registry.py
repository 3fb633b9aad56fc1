"""The known checkpoints and what each can do, as rows of a dataclass.

The published ones are listed below. The bundled ones are the folders in ``assets/checkpoints``; their ``config.json``
describes them, so that a newly trained one needs no change here.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evfsam.checkpoints.layout import CONFIG_FILE, label, read_config, weight_files
from evfsam.errors import CheckpointError
from evfsam.modeling.config import EvfConfig
from evfsam.modeling.rules import ListOf, Rule, Text, Whole, check
from evfsam.refine.refinement import Refinement
from evfsam.resources import ASSETS
from evfsam.types import PixelSpec
from evfsam.values import shown

LOG = logging.getLogger(__name__)
BUNDLED_FOLDER = ASSETS / "checkpoints"
# The first one that is there is the default; others follow by name.
_BUNDLED_ORDER = ("evf-sam2-tiny", "evf-sam-tiny", "evf-sam2-tiny-coco", "evf-sam2-tiny-photo")
_OTHER_SYSTEMS = ("refersam",)  # types of models that evfsam.systems lists
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
# The facts that a config.json may tell about its checkpoint, beside the model itself. None is as good as missing.
_FACTS: dict[str, Rule] = {
    "capabilities": ListOf(Text(40), 0, 20),
    "vocabulary": ListOf(Text(100), 0, 20_000),
    "trained_on": ListOf(Text(40), 0, 10),
    "licence": Text(200),
    "description": Text(1_000),
    "parameters": Whole(1, 10**12),
}


@dataclass(frozen=True)
class CheckpointInfo:
    """One checkpoint.

    Attributes:
        name: the name that a user types.
        source: "owner/name" on the Hugging Face Hub, or a folder.
        on_hub: which of the two ``source`` is.
        revision: branch, tag or commit on the Hub; None for the default branch.
        kind: the segmenter: "sam", "sam2", "efficient_sam"; None if that is known only after a download.
        capabilities: of "referring" (one object by a phrase), "semantic" (the "[semantic] " prefix), "parts"
            (of a thing or a body), "video".
        vocabulary: the words it was trained on; empty for open language.
        trained_on: kinds of images, such as "drawn scenes" and "photographs"; empty if that is not known.
        licence: SPDX identifier, or "unknown".
        parameters: their number, None if not known.
        file_bytes: size of the weight files on this disk, None if they are not here.
        pixels: how images are prepared, None if not known.
        description: one line for a list.
        refinement: what its answers go through beyond the paper; the published ones' is the identity.
    """

    name: str
    source: str = field(repr=False)
    on_hub: bool
    kind: str | None = None
    capabilities: tuple[str, ...] = ("referring",)
    vocabulary: tuple[str, ...] = field(default=(), repr=False)
    trained_on: tuple[str, ...] = ()
    licence: str = "unknown"
    parameters: int | None = None
    file_bytes: int | None = field(default=None, repr=False)
    pixels: PixelSpec | None = field(default=None, repr=False)
    description: str = ""
    refinement: Refinement = field(default=Refinement(), repr=False)
    revision: str | None = field(default=None, repr=False)

    def memory_bytes(self) -> int | None:
        """Memory for the weights alone, in float32; None if their number is not known."""
        return None if self.parameters is None else 4 * self.parameters


def _published(name: str, kind: str, scale: str, parameters: int, capabilities: tuple[str, ...], description: str):
    return CheckpointInfo(
        name=name,
        source=f"YxZhang/{name}",
        on_hub=True,
        kind=kind,
        capabilities=capabilities,
        trained_on=("photographs",),
        licence="Apache-2.0",  # the official repository's
        parameters=parameters,
        pixels=EvfConfig.official(kind, scale, "large").pixels,
        description=description,
    )


_REFERRING, _MULTITASK = ("referring",), ("referring", "semantic", "parts")
PUBLISHED: tuple[CheckpointInfo, ...] = (
    _published(
        "evf-sam2-multitask",
        "sam2",
        "large",
        898_444_594,
        (*_MULTITASK, "video"),
        "SAM-2 Hiera-L + BEIT-3-L, also parts and classes",
    ),
    _published("evf-sam2", "sam2", "large", 898_444_594, (*_REFERRING, "video"), "SAM-2 Hiera-L + BEIT-3-L"),
    _published(
        "evf-sam-multitask", "sam", "huge", 1_315_105_072, _MULTITASK, "SAM ViT-H + BEIT-3-L, also parts and classes"
    ),
    _published("evf-sam", "sam", "huge", 1_315_105_072, _REFERRING, "SAM ViT-H + BEIT-3-L"),
)


def bundled_models() -> tuple[CheckpointInfo, ...]:
    """The checkpoints that came with the project, the default first."""
    found = {path.parent.name: path.parent for path in sorted(BUNDLED_FOLDER.glob("*/config.json"))}
    names = [name for name in _BUNDLED_ORDER if name in found]
    names += [name for name in found if name not in names]
    rows = []
    for name in names:
        try:
            if read_config(found[name]).get("model_type") not in _OTHER_SYSTEMS:
                rows.append(describe_folder(found[name]))
        except CheckpointError as error:  # the others can still be used
            LOG.warning("%s", error)
    return tuple(rows)


def list_models() -> tuple[CheckpointInfo, ...]:
    """All named checkpoints: bundled, then published."""
    return (*bundled_models(), *PUBLISHED)


def default_model() -> CheckpointInfo:
    """The checkpoint that is used when nobody names one. Raises CheckpointError if none is bundled."""
    bundled = bundled_models()
    if not bundled:
        raise CheckpointError(f"No checkpoint is bundled in assets/checkpoints; name one: {_known_names()}.")
    return bundled[0]


def find(name: str | Path) -> CheckpointInfo:
    """The row for a name, a folder or a Hub repository that a user typed.

    Args:
        name: a name from :func:`list_models`, the folder of a checkpoint, or "owner/name" on the Hub; in this
            order, so that a folder called like a checkpoint is written "./name". What is on the Hub may be
            followed by "@" and a branch, tag or commit.

    Raises CheckpointError for anything else; the message lists the known names.
    """
    text = str(name).strip()
    if listed := _listed(text):
        return listed
    # os.path says no to names that no disk can have, where pathlib raises.
    path = os.path.expanduser(text)
    bundled = os.path.join(BUNDLED_FOLDER, text) if _NAME.fullmatch(text) else ""  # broken, or it were listed
    for folder in (path, bundled):
        if os.path.isdir(folder):
            return describe_folder(Path(folder))
    if os.path.isfile(path):
        raise CheckpointError(f"{_typed(text)} is a file; name the folder that holds config.json and the weights.")
    source, _, revision = text.partition("@")
    if revision and (listed := _listed(source)) and listed.on_hub:
        return replace(listed, name=text, revision=revision)
    if _HUB_ID.fullmatch(source):
        return CheckpointInfo(
            name=text, source=source, on_hub=True, revision=revision or None, description="a repository on the Hub"
        )
    close = difflib.get_close_matches(text[:100].lower(), [info.name for info in list_models()], n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise CheckpointError(f"There is no checkpoint {_typed(text)}.{hint} Known ones: {_known_names()}; or a folder.")


def _typed(text: str) -> str:
    """A name as it was typed, but of an absolute path the end alone: the app passes those itself."""
    return shown(os.path.basename(os.path.normpath(text)) if os.path.isabs(text) else text)


def _listed(text: str) -> CheckpointInfo | None:
    return next((info for info in list_models() if text in (info.name, info.source)), None)


def describe_folder(folder: Path) -> CheckpointInfo:
    """The row of a checkpoint in a folder, from its ``config.json``.

    A copy of a published checkpoint in a folder of its name keeps the capabilities of that checkpoint.
    Raises CheckpointError if the file is missing, describes no model we know, or holds a value that breaks its rule.
    """
    name = folder.resolve().name
    twin = next((info for info in PUBLISHED if info.name == name), None)
    row = twin or CheckpointInfo(name=name, source="", on_hub=False, description="a checkpoint in a folder")
    model = model_config(folder, twin.kind if twin else None)
    facts = _facts(folder)
    if "capabilities" not in facts and model.segmenter.kind == "sam2" and "video" not in row.capabilities:
        facts["capabilities"] = (*row.capabilities, "video")
    return replace(
        row,
        source=str(folder),
        on_hub=False,
        kind=model.segmenter.kind,
        pixels=model.pixels,
        file_bytes=_file_bytes(folder),
        **facts,
    )


def model_config(folder: Path, kind: str | None = None) -> EvfConfig:
    """The model that a folder's ``config.json`` describes; ``kind`` as in :meth:`EvfConfig.from_dict`.

    Raises CheckpointError that names the key, its value and what to write instead.
    """
    with _naming_config(folder):
        return EvfConfig.from_dict(read_config(folder), kind)


def _facts(folder: Path) -> dict[str, Any]:
    """What ``config.json`` tells about its checkpoint beside the model. Raises CheckpointError."""
    config = read_config(folder)
    values = {key: value for key, value in config.items() if key in _FACTS and value is not None}
    with _naming_config(folder):
        for key, value in values.items():
            check(key, value, _FACTS[key])
        refinement = Refinement.from_config(config)
    facts = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return {**facts, "refinement": refinement}


@contextmanager
def _naming_config(folder: Path) -> Iterator[None]:
    """A rule that is broken inside becomes a CheckpointError that names the file."""
    try:
        yield
    except ValueError as error:
        raise CheckpointError(f"{label(folder)}/{CONFIG_FILE} has {error}.") from None


def semantic_warning(info: CheckpointInfo) -> str | None:
    """What to tell a user who wrote the "[semantic] " prefix; None if this checkpoint was trained for it."""
    return _not_trained_for(info, "semantic", 'the "[semantic] " prefix, so its answer may be wrong')


def video_warning(info: CheckpointInfo) -> str | None:
    """What to tell a user who brought a video; None if this checkpoint tracks."""
    return _not_trained_for(info, "video", "video")


def _not_trained_for(info: CheckpointInfo, capability: str, what: str) -> str | None:
    if capability in info.capabilities:
        return None
    able = [row for row in list_models() if capability in row.capabilities and row.name != info.name]
    # The nearest relative: for the same language, open or of a few words; then of the same segmenter.
    able.sort(key=lambda row: (bool(row.vocabulary) != bool(info.vocabulary), row.kind != info.kind))
    advice = f"; use {able[0].name}" if able else ""
    return f"{info.name} was not made for {what}{advice}."


def _file_bytes(folder: Path) -> int | None:
    try:
        return sum(path.stat().st_size for path in weight_files(folder))
    except CheckpointError:
        return None


def _known_names() -> str:
    return ", ".join(info.name for info in list_models())
