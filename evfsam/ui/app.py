"""The whole page: a head with the choice of model, and a tab for each kind of question."""

from __future__ import annotations

import gradio as gr

from evfsam.ui.settings import Settings
from evfsam.ui.state import Workbench
from evfsam.ui.tabs import referring
from evfsam.ui.theme import CSS_FILES, make_theme

HEAD = '<div class="evf-head"><h1>EVF-SAM</h1><p>Say what you see, get its mask.</p></div>'
DAY = 86_400  # seconds: uploads and results are deleted when they are a day old


def build_app(bench: Workbench) -> gr.Blocks:
    """The page, not yet launched."""
    with gr.Blocks(title="EVF-SAM", analytics_enabled=False, delete_cache=(DAY // 24, DAY)) as app:
        with gr.Row(elem_id="evf-top"):
            gr.HTML(HEAD)
            model = gr.Dropdown(model_choices(bench), value=bench.default_model, label="Model", elem_id="model", scale=0, min_width=320)
        with gr.Tabs():
            with gr.Tab("Refer", id="refer"):
                referring.layout(bench, model)
    return app


def model_choices(bench: Workbench) -> list[tuple[str, str]]:
    """(label, name) of every checkpoint on offer; the label says what has to be downloaded first."""
    return [(f"{info.name} (download)" if info.on_hub else info.name, name) for name, info in bench.models.items()]


def launch(app: gr.Blocks, settings: Settings) -> None:
    """Serve the page until interrupted."""
    app.queue(max_size=20, default_concurrency_limit=8)
    app.launch(
        server_name=settings.host,
        server_port=settings.port,
        share=settings.share or None,
        mcp_server=settings.mcp or None,
        theme=make_theme(),
        css_paths=list(CSS_FILES),
        footer_links=["api", "settings"],
        max_file_size="200mb",
    )
