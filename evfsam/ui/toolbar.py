"""The bars of the viewer as HTML: above the picture what edits masks, below it how they are looked at.

``static/viewer.js`` gives the buttons their meaning.
"""

from __future__ import annotations

import functools

_ICONS = {
    "undo": "M6 3 2.5 6.5 6 10M2.5 6.5H10a3.5 3.5 0 0 1 0 7H7",
    "redo": "M10 3l3.5 3.5L10 10M13.5 6.5H6a3.5 3.5 0 0 0 0 7h3",
    "clear": "M3 4.5h10M6.5 4.5V2.5h3v2M4.5 4.5l.5 9h6l.5-9",
    "add": "M8 3v10M3 8h10",
    "remove": "M3 8h10",
    "box": "M2.5 5.5v-3h3M10.5 2.5h3v3M13.5 10.5v3h-3M5.5 13.5h-3v-3M5.5 5.5h5v5h-5z",
    "move": "M8 1.5v13M1.5 8h13M6 3.5l2-2 2 2M6 12.5l2 2 2-2M3.5 6l-2 2 2 2M12.5 6l2 2-2 2",
    "out": "M4 8h8",
    "in": "M8 4v8M4 8h8",
    "full": "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
    "half": "M8 2.5a5.5 5.5 0 0 0 0 11zm0 0a5.5 5.5 0 0 1 0 11M10 4v8M12 5.5v5",
    "copy": "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
}
# (name, what it is called, what a click does with it)
_TOOLS = (
    ("add", "Belongs", "A click belongs to the thing; a drag draws a box"),
    ("remove", "Does not", "A click does not belong to the thing (Shift-click or right-click does the same)"),
    ("box", "Box", "Drag a box round the thing"),
    ("move", "Move", "Drag the picture when it is zoomed"),
)
_VIEWS = (
    ("overlay", "Overlay", "Masks over the picture"),
    ("outline", "Outline", "Edges of the masks only"),
    ("mask", "Mask", "Masks alone"),
    ("cutout", "Cut-out", "What the masks show of the picture"),
)


@functools.cache
def edit_bar(back: bool, forward: bool) -> str:
    """What a click means; undo, redo and clear. There is a step to undo if ``back``, one to redo if ``forward``."""
    tools = "".join(
        _button("tool", name, label, title, _pressed(name == "add"), text=True) for name, label, title in _TOOLS
    )
    edits = (
        _button("act", "undo", "Undo", "Undo (Ctrl+Z)", "" if back else "disabled")
        + _button("act", "redo", "Redo", "Redo (Ctrl+Y)", "" if forward else "disabled")
        + _button("act", "clear", "Remove all marks", "Remove all marks")
    )
    return (
        f'<div class="evf-bar"><span class="evf-group" role="group" aria-label="What a click means">{tools}</span>'
        f'<span class="evf-group">{edits}</span></div><p class="evf-hint"></p>'
    )


@functools.cache
def view_bar(masks: bool) -> str:
    """How to look at the picture; ways of showing masks only if there are ``masks``."""
    zoom = (
        '<span class="evf-group evf-end" role="group" aria-label="Zoom">'
        + _button("act", "out", "Zoom out", "Zoom out (Ctrl+wheel)")
        + '<button type="button" data-act="fit" title="Show the whole picture">100 %</button>'
        + _button("act", "in", "Zoom in", "Zoom in (Ctrl+wheel)")
        + _button("act", "full", "Full screen", "Full screen")
        + "</span>"
    )
    if not masks:
        return f'<div class="evf-bar">{zoom}</div>'
    views = "".join(
        f'<button type="button" data-view="{name}" title="{title}" {_pressed(name == "overlay")}>{label}</button>'
        for name, label, title in _VIEWS
    )
    return (
        f'<div class="evf-bar"><span class="evf-group" role="group" aria-label="View">{views}</span>'
        f'<label class="evf-opacity" title="Opacity of the masks">{_icon("half")}'
        '<input type="range" min="0" max="1" step="0.05" value="0.45" aria-label="Opacity of the masks"></label>'
        f"{zoom}" + _button("act", "copy", "Copy picture", "Copy this view as PNG", text=True) + "</div>"
    )


def _icon(name: str) -> str:
    return f'<svg viewBox="0 0 16 16" aria-hidden="true"><path d="{_ICONS[name]}"/></svg>'


def _pressed(pressed: bool) -> str:
    return f'aria-pressed="{str(pressed).lower()}"'


def _button(kind: str, name: str, label: str, title: str, state: str = "", text: bool = False) -> str:
    """A button with an icon, and its label beside it if ``text``; ``state``: further attributes."""
    named = f"<span>{label}</span>" if text else ""
    attributes = f'type="button" data-{kind}="{name}" title="{title}" aria-label="{label}" {state}'
    return f"<button {attributes}>{_icon(name)}{named}</button>"
