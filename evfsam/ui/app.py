"""The whole page: a head with the choice of model, and a tab for each kind of question."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from evfsam.errors import InputError
from evfsam.ui import api, examples
from evfsam.ui.blocks import CheckedBlocks
from evfsam.ui.errors import REQUEST_ERRORS
from evfsam.ui.files import claim_folder
from evfsam.ui.guard import guarded
from evfsam.ui.service import ModelService
from evfsam.ui.settings import Settings
from evfsam.ui.tabs import common, compare, parts, referring, semantic, video
from evfsam.ui.theme import CSS_FILES, make_theme

HEAD = '<div class="evf-head"><h1>EVF-SAM</h1><p>Say what you see, get its mask.</p></div>'
SESSIONS = 100  # whose last answers are kept, each at most ``Limits.kept_bytes``
TABS = (("Refer", referring), ("Semantic", semantic), ("Parts", parts), ("Video", video), ("Compare", compare))
# A link fills a tab's inputs; then this asks for the tab as the user would, once it is drawn.
ASK_LINKED = """() => {
  const tab = new URLSearchParams(location.search).get("tab");
  let tries = 50;
  const press = () => {
    const button = document.getElementById(`${tab}-ask`);
    if (button) setTimeout(() => button.click(), 300);
    else if (tries-- > 0) setTimeout(press, 100);
  };
  if (tab) press();
}"""


def build_app(service: ModelService) -> gr.Blocks:
    """The page, not yet launched. Raises InputError if there is no folder for uploads."""
    claim_folder()  # before any component asks Gradio where uploads lie
    with CheckedBlocks(title="EVF-SAM", analytics_enabled=False) as app:
        with gr.Row(elem_id="evf-top"):
            gr.HTML(HEAD, elem_classes=["evf-flush"])
            model = gr.Dropdown(
                model_choices(service),
                value=service.default_model,
                label="Model",
                container=False,
                scale=0,
                min_width=280,
                elem_id="model",
            )
        linked = []
        with gr.Tabs(elem_id="tabs") as tabs:
            for title, tab in TABS:
                with gr.Tab(title, id=tab.TAB):
                    linked.append(tab.layout(service, model))
        gr.HTML(f'<p class="evf-status">{service.limits.sentence()}</p>', elem_classes=["evf-flush"])
        _fill_from_links(app, service, tabs, model, linked)
        api.layout(service)
    return app


def model_choices(service: ModelService) -> list[tuple[str, str]]:
    """(label, name) of every checkpoint on offer; the label says what has to be downloaded first."""
    return [(f"{name} (download)" if info.on_hub else name, name) for name, info in service.models.items()]


def serve(app: gr.Blocks, settings: Settings, prevent_thread_lock: bool = False) -> None:
    """Serve the page until interrupted; with ``prevent_thread_lock`` beside what the caller does next.

    Raises InputError if the port has been taken in the meantime.
    """
    host = settings.host.strip("[]")
    # Without the queue nobody could cancel, and limits on waiting would not hold: every question goes through it.
    app.queue(max_size=settings.limits.queue, default_concurrency_limit=8, api_open=False)
    try:
        app.launch(
            server_name=f"[{host}]" if ":" in host else host,
            server_port=settings.port,
            share=settings.share,
            mcp_server=settings.mcp or None,
            prevent_thread_lock=True,
            quiet=True,
            theme=make_theme(),
            css_paths=list(CSS_FILES),
            footer_links=["api", "settings"],
            max_file_size=settings.limits.upload_bytes,
            state_session_capacity=SESSIONS,
            run_history=False,  # what people upload is not kept in their browser either
            allowed_paths=[str(examples.FOLDER)],
            app_kwargs={"lifespan": guarded(settings, claim_folder()), "exception_handlers": REQUEST_ERRORS},
        )
    except OSError:
        raise InputError("The port is taken by another program: choose another with --port.") from None
    print(f"Ready: open {app.local_url} in a browser. Ctrl+C stops the app.", flush=True)
    if not prevent_thread_lock:
        app.block_thread()


def _fill_from_links(
    app: gr.Blocks, service: ModelService, tabs: gr.Tabs, model: gr.Dropdown, linked: Sequence[common.Linked]
) -> None:
    def on_load(request: gr.Request):
        query = dict(request.query_params)
        known = query.get("model") in service.models
        filled = [gr.Tabs(selected=query["tab"]), query["model"] if known else gr.skip()]
        for tab in linked:
            filled += tab.values(query) if tab.tab == query["tab"] else [gr.skip()] * len(tab.inputs)
        return filled

    def on_any_load(request: gr.Request):
        if request.query_params.get("tab") in [tab.tab for tab in linked]:
            return on_load(request)
        return [gr.skip()] * (2 + sum(len(tab.inputs) for tab in linked))

    inputs = [component for tab in linked for component in tab.inputs]
    filled = app.load(on_any_load, None, [tabs, model, *inputs], queue=False, **common.FREE)
    filled.success(None, js=ASK_LINKED, api_visibility="private")
