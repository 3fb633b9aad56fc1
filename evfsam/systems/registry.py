"""The known systems, one row each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from evfsam.checkpoints.fetch import local_repository
from evfsam.checkpoints.registry import BUNDLED_FOLDER, CheckpointInfo
from evfsam.errors import CheckpointError
from evfsam.values import shown


@dataclass(frozen=True)
class SystemInfo(CheckpointInfo):
    """One system. A checkpoint's attributes hold for it as well.

    Attributes:
        repositories: what it is made of, "owner/name" on the Hub: the part that reads words, then the one that draws.
            Of a bundled one, the name of its folder.
        gated: the Hub asks for a log-in and accepted terms before it gives the weights.
        folder: where the repositories lie on this disk; None for the Hub's cache.
    """

    repositories: tuple[str, ...] = ()
    gated: bool = False
    folder: Path | None = None


_SAM2 = "facebook/sam2.1-hiera-tiny"
_WORDS = ("referring", "semantic")


def _system(
    name: str,
    repositories: tuple[str, ...],
    parameters: int,
    licence: str,
    description: str,
    capabilities: tuple[str, ...] = _WORDS,
    gated: bool = False,
) -> SystemInfo:
    return SystemInfo(
        name=name,
        source=repositories[0],
        on_hub=True,
        capabilities=capabilities,
        trained_on=("photographs",),
        licence=licence,
        parameters=parameters,
        description=description,
        repositories=repositories,
        gated=gated,
    )


# Parameters are rounded, as the cards on the Hub state them.
SYSTEMS: tuple[SystemInfo, ...] = (
    _system(
        "grounded-sam",
        ("IDEA-Research/grounding-dino-tiny", _SAM2),
        211_000_000,
        "Apache-2.0",
        "Grounding DINO finds boxes by words, SAM-2 draws each",
    ),
    _system(
        "owlv2-sam2",
        ("google/owlv2-base-patch16-ensemble", _SAM2),
        194_000_000,
        "Apache-2.0",
        "OWLv2 finds boxes by words, SAM-2 draws each",
    ),
    _system("clipseg", ("CIDAS/clipseg-rd64-refined",), 151_000_000, "Apache-2.0", "one soft mask from CLIP features"),
    _system(
        "florence-2", ("florence-community/Florence-2-base",), 231_000_000, "MIT", "a language model writes polygons"
    ),
    _system(
        "sam3",
        ("facebook/sam3",),
        860_000_000,
        "SAM License",
        "all things of a concept, each with its mask; words of place do nothing",
        (*_WORDS, "video"),
        gated=True,
    ),
    # ReferSAM's authors published no weights. refersam-tiny@FOLDER reads others.
    SystemInfo(
        name="refersam-tiny",
        source=str(BUNDLED_FOLDER / "refersam-tiny"),
        on_hub=False,
        capabilities=("referring", "semantic", "parts"),
        trained_on=("drawn scenes",),
        licence="Apache-2.0",
        parameters=7_440_756,
        description="a tiny ReferSAM, where the text changes SAM's image features; bundled",
        repositories=("refersam-tiny",),
        folder=BUNDLED_FOLDER,
    ),
)


def list_systems() -> tuple[SystemInfo, ...]:
    """All known systems."""
    return SYSTEMS


def is_here(info: SystemInfo) -> bool:
    """Whether a system's files are on this disk. Uses no network."""
    if not info.on_hub:
        return Path(info.source).is_dir()
    return info.folder is not None or all(local_repository(name) for name in info.repositories)


def find_system(name: str) -> SystemInfo | None:
    """The row of "NAME" or "NAME@FOLDER", or None for a name that is no system's.

    FOLDER holds one folder per repository of the system, named as the repository without its owner; for a system of
    one repository it may be that repository's folder itself.

    Raises CheckpointError if there is no such folder.
    """
    known, at, folder = name.partition("@")
    row = next((row for row in SYSTEMS if row.name == known.strip()), None)
    if row is None or not at:
        return row
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise CheckpointError(f"There is no folder {shown(folder)} for {row.name}; name the folder of its weights.")
    return replace(row, folder=path)
