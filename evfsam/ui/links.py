"""Links that keep the state: which tab, which checkpoint, which picture, what was asked.

A picture that came with the project is named; an uploaded one is found again in Gradio's cache until it is
deleted there, a day later. Nothing outside these two folders can be named by a link.
"""

from __future__ import annotations

import filecmp
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from gradio.utils import get_upload_folder

from evfsam.ui.examples import FOLDER as EXAMPLES

EXAMPLE = "example"


def link_to(tab: str, picture_path: str, model: str, **asked: str) -> str:
    """A relative link that opens ``tab`` with the same picture, checkpoint and questions."""
    picture = _picture_name(Path(picture_path))
    said = {name: value for name, value in asked.items() if value}
    return "?" + urlencode({"tab": tab, "model": model, "picture": picture, **said})


def linked_picture(query: Mapping[str, str]) -> str | None:
    """The path of the picture that a link names; None if it names none or the file is gone."""
    folder, _, name = query.get("picture", "").partition("/")
    root = EXAMPLES if folder == EXAMPLE else Path(get_upload_folder()) / folder
    path = (root / name).resolve()
    inside = path.is_relative_to(root.resolve()) and root.resolve() != Path(get_upload_folder()).resolve()
    return str(path) if folder and name and ".." not in folder and inside and path.is_file() else None


def _picture_name(path: Path) -> str:
    twin = EXAMPLES / path.name
    if twin.is_file() and filecmp.cmp(path, twin, shallow=False):
        return f"{EXAMPLE}/{path.name}"
    return f"{path.parent.name}/{path.name}"
