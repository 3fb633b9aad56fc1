"""How the app looks. Everything is served by the app itself: no fonts or scripts from elsewhere."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

STATIC = Path(__file__).parent / "static"
# On a phone Gradio hides a link of its footer and leaves the dot behind it. Its style sheets do not reach the footer.
HEAD = "<style>@media (max-width: 640px) { footer > div { display: none !important; } }</style>"
CSS_FILES = (STATIC / "app.css", STATIC / "viewer.css")


def script(name: str) -> str:
    """A script from ``static`` for the ``js_on_load`` of a ``gr.HTML``."""
    return (STATIC / f"{name}.js").read_text(encoding="utf-8")


def make_theme() -> gr.themes.Base:
    """Quiet greys and one accent, so that the masks are the only loud colours on the page."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.zinc,
        radius_size=gr.themes.sizes.radius_lg,
        font=("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"),
        font_mono=("ui-monospace", "SFMono-Regular", "Consolas", "monospace"),
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_300",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )
