"""Links that keep the state: which tab, which checkpoint, which picture, what was asked.

An example is named by its file name. An uploaded picture is found again until it is deleted: when it is a day
old, or when the app ends. A link can name no other file.
"""

from __future__ import annotations

import filecmp
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from gradio.utils import get_upload_folder

from evfsam.errors import InputError
from evfsam.ui.examples import FOLDER as EXAMPLES
from evfsam.ui.examples import read_examples
from evfsam.ui.files import uploaded_file

EXAMPLE = "example"


def link_to(tab: str, picture_path: str | None, model: str, **asked: str) -> str:
    """A relative link that opens ``tab`` with the same picture, checkpoint and questions; without a picture, bare."""
    if not picture_path:
        return "?" + urlencode({"tab": tab})
    path = Path(picture_path)
    twin = EXAMPLES / path.name
    is_example = twin.is_file() and path.is_file() and filecmp.cmp(path, twin, shallow=False)
    picture = f"{EXAMPLE if is_example else path.parent.name}/{path.name}"
    given = {name: value for name, value in asked.items() if value}
    return "?" + urlencode({"tab": tab, "model": model, "picture": picture, **given})


def linked_picture(query: Mapping[str, str]) -> str | None:
    """The path of the picture that a link names; None if it names none or the file is gone."""
    folder, _, name = query.get("picture", "").partition("/")
    if folder == EXAMPLE:
        return next((str(e.file) for e in read_examples() if e.file.name == name), None)
    if not folder.isalnum():  # Gradio and this app name folders by hexadecimal digits
        return None
    try:
        return str(uploaded_file(Path(get_upload_folder(), folder, name)))
    except (InputError, ValueError):
        return None
