"""The whole page: a head with the choice of model, and a tab for each kind of question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from html import escape

import gradio as gr
from gradio.components import Component

from evfsam import values
from evfsam.errors import InputError
from evfsam.ui import api, examples
from evfsam.ui.blocks import CheckedBlocks
from evfsam.ui.errors import REQUEST_ERRORS, with_user_errors
from evfsam.ui.files import claim_folder
from evfsam.ui.guard import guarded
from evfsam.ui.head import Head
from evfsam.ui.links import linked_picture
from evfsam.ui.prompts import with_quotes
from evfsam.ui.service import ModelService
from evfsam.ui.settings import Settings
from evfsam.ui.tabs import common, compare, parts, referring, semantic, video
from evfsam.ui.theme import CSS_FILES, HEAD, make_theme, script

# Gradio imports matplotlib before the first answer, for figures. No tab draws any.
gr.utils.MatplotlibBackendMananger = nullcontext  # type: ignore[misc,assignment]

SESSIONS = 100  # whose last answers are kept, each at most ``Limits.kept_bytes``
TABS = (("Refer", referring), ("Semantic", semantic), ("Parts", parts), ("Video", video), ("Compare", compare))
# A link fills a tab's inputs; then this asks for the tab as the user would, once it is drawn.
ASK_LINKED = """() => {
  window.evfOpened = true;
  const query = new URLSearchParams(location.search);
  const asks = ["ask", "clicks"].some((name) => query.get(name));
  if (!query.get("picture") || !asks || document.querySelector(".evf-broken")) return;
  let tries = 50;
  const press = () => {
    const button = document.getElementById(`${query.get("tab")}-ask`);
    if (button) setTimeout(() => button.click(), 300);
    else if (tries-- > 0) setTimeout(press, 100);
  };
  press();
}"""
# Gradio names its "select all" box by a title alone, which a screen reader may not read out. Its player leaves out
# "playsinline", without which an iPhone plays nothing by itself, and all else in full screen.
MEND = """() => new MutationObserver(() => {
  for (const box of document.querySelectorAll("input[title]:not([aria-label])")) box.ariaLabel = box.title;
  for (const video of document.querySelectorAll("video:not([playsinline])")) video.playsInline = true;
}).observe(document.body, { childList: true, subtree: true })"""
# The address bar names the tab that is shown, with its answer if it has one.
FOLLOW_TAB = """() => {
  if (!window.evfOpened) return;  // Gradio opens the first tab by itself before it opens the one that a link names
  const named = new URLSearchParams(location.search).get("tab");
  if (named === "TAB" || (!named && "TAB" === "refer")) return;  // a page that opens with its first tab stays as it is
  const link = document.getElementById("TAB-ask")?.closest(".tabitem")?.querySelector("a.evf-link");
  history.replaceState(history.state, "", link ? link.href : "?tab=TAB");
}"""
# A tab shows the last picture of all tabs. The browser keeps it. A request for it could be answered after a newer one,
# and the older picture would stay.
SHARE_PICTURE = """(own) => {
  (window.evfOwn ??= {}).TAB = own;
  const shared = window.evfPicture;
  return shared === undefined || shared?.path === own?.path ? [] : [shared];
}"""
WITH_OWN = "(picture, _, model) => [picture, window.evfOwn.TAB, model]"


def build_app(service: ModelService) -> gr.Blocks:
    """The page, not yet launched. Raises InputError if there is no folder for uploads."""
    claim_folder()  # before any component asks Gradio where uploads lie
    with CheckedBlocks(title="EVF-SAM", analytics_enabled=False) as app:
        head = Head(service)
        head.offer.show_on(app, head.model, head.own)
        linked = []
        with gr.Tabs(elem_id="tabs") as tabs:
            for title, tab in TABS:
                with gr.Tab(title, id=tab.TAB) as box:
                    linked.append(tab.layout(service, head))
                _share_picture(service, head, box, linked[-1])
        gr.HTML(f'<p class="evf-status">{service.limits.sentence()}</p>', elem_classes=["evf-flush"])
        _fill_from_links(app, service, tabs, head, linked)
        api.layout(service)
    return app


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
            head=HEAD,
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


def _share_picture(service: ModelService, head: Head, box: gr.Tab, tab: common.Linked) -> None:
    """A picture that is brought in one tab is there in all of them, and starts clean in each."""
    box.select(None, js=FOLLOW_TAB.replace("TAB", tab.tab), **common.FREE)
    if tab.picture is None:
        return
    outputs = [tab.picture, *tab.fresh_outputs]

    def on_brought(path, model, own):
        return *head.route_image(service.open(path), model, own), *tab.fresh(model, path)

    def on_removed(model):
        return None, *tab.fresh(model, None)

    def on_tab(picture, own, model):
        return [gr.skip()] * len(tab.fresh_outputs) if picture == own else tab.fresh(model, picture)

    outside = {"queue": False, **common.FREE}
    brought = tab.picture.upload(  # through the queue: only there an error is shown
        with_user_errors(on_brought), [tab.picture, *head.inputs], [*head.outputs, *tab.fresh_outputs], **common.FREE
    )
    brought.failure(on_removed, head.model, outputs, **outside)
    tab.picture.clear(on_removed, head.model, outputs, **outside)
    box.select(None, tab.picture, tab.picture, js=SHARE_PICTURE.replace("TAB", tab.tab), **common.FREE)
    shown = box.select(
        with_user_errors(on_tab),
        [tab.picture, tab.picture, head.model],
        list(tab.fresh_outputs),
        js=WITH_OWN.replace("TAB", tab.tab),
        trigger_mode="always_last",
        **outside,
    )
    shown.success(*tab.watched, **outside)


def _fill_from_links(
    app: gr.Blocks, service: ModelService, tabs: gr.Tabs, head: Head, linked: Sequence[common.Linked]
) -> None:
    def on_load(request: gr.Request):
        query = dict(request.query_params)
        if not query.get("tab"):
            return {tabs: gr.skip()}
        model = query["model"] if query.get("model") in service.models else service.default_model
        opens = query["tab"] in [tab.tab for tab in linked]
        filled: dict[Component, object] = {head.model: model}
        if opens:
            filled[tabs] = gr.Tabs(selected=query["tab"])
        for tab in linked:
            if tab.tab != query["tab"] or query.keys() == {"tab"}:
                continue
            path = linked_picture(query)
            if path and tab.fresh and not query.get("ask"):
                filled |= dict(zip(tab.fresh_outputs, tab.fresh(model, path), strict=True))
            filled |= dict(zip(tab.inputs, tab.values(query), strict=True))
        return filled | dict(zip(head.outputs[2:], head.told(broken_html(service, query, opens)), strict=True))

    outputs = [tabs, *head.outputs, *(c for tab in linked for c in (*tab.inputs, *tab.fresh_outputs))]
    filled = app.load(on_load, None, list(dict.fromkeys(outputs)), queue=False, **common.FREE)
    filled.success(None, js=ASK_LINKED, api_visibility="private")
    app.load(None, js=MEND, api_visibility="private")
    app.load(None, js=script("several"), api_visibility="private")


def broken_html(service: ModelService, query: Mapping[str, str], opens: bool) -> str:
    """What a link names that is not here, a sentence each, as HTML."""
    model, broken = query.get("model"), []
    if not opens:
        broken.append(f"This link names a tab that is not here: {values.shown(query['tab'])}.")
    if model and model not in service.models:
        broken.append(f"This link names {values.shown(model)}, which is not here: {service.default_model} answers.")
    lost = bool(query.get("picture")) and linked_picture(query) is None
    if lost:
        broken.append("The picture of this link is not here any more: upload it again.")
    told = "evf-notice evf-broken" if lost or not opens else "evf-notice"
    return "".join(f'<p class="{told}">{escape(with_quotes(sentence))}</p>' for sentence in broken)
