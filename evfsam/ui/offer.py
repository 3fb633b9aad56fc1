"""The way to a published checkpoint: one button that downloads it and asks the question again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from html import escape

import gradio as gr
from gradio.components import Component

from evfsam.checkpoints.download import Download, Progress
from evfsam.checkpoints.layout import size_text
from evfsam.checkpoints.registry import CheckpointInfo
from evfsam.errors import EvfSamError
from evfsam.ui.checkpoints import Checkpoints
from evfsam.ui.turns import Client, ClientGoneError

LOOK_S = 0.4  # between two looks at a download
_FREE = {"api_visibility": "private", "show_progress": "hidden"}
_MANY = {"concurrency_limit": None, **_FREE}  # of those who wait for a download nobody waits for another
CANCEL_LOOKS = 40  # for a page before a reload counts as another visitor until its connection is known to be gone
PROPOSE_LOOKS = 100  # at a page that waits for the app to propose a checkpoint
# Ask again in the tab that is shown, if it shows an answer. Only a link holds clicks; so then it is followed.
ASK_AGAIN = """(name) => {
  const link = name && [...document.querySelectorAll("a.evf-link")].find((found) => found.offsetParent);
  if (!link) return;
  const address = new URL(link.href);
  address.searchParams.set("model", name);
  if (address.searchParams.get("clicks")) location.assign(address);
  else setTimeout(() => document.getElementById(`${address.searchParams.get("tab")}-ask`)?.click(), 300);
}"""


class Offer:
    """A line and a button: what a published checkpoint needs, then how far its download is, then nothing.

    A proposal stands out until the visitor says "Not now". Their browser remembers that; the quiet offer stays.

    Attributes:
        got: the name of the checkpoint that a download has just brought; else "".
        outputs: what its handlers show and hide.
    """

    def __init__(self, checkpoints: Checkpoints, chosen: str):
        self.checkpoints = checkpoints
        offered = checkpoints.to_get(chosen)
        with gr.Column(visible=offered is not None, scale=0, min_width=330, elem_id="evf-offer") as self._column:
            self._line = gr.HTML(self._needs(offered), elem_classes=["evf-flush"])
            self._get = gr.Button(_label(offered), size="md", elem_id="offer-get")
            self._later = gr.Button("Not now", size="md", visible=False, elem_id="offer-later")
            self._cancel = gr.Button("Cancel", variant="stop", size="md", visible=False, elem_id="offer-cancel")
        # The name of the checkpoint whose proposal was declined. With a key of its own it outlives the app.
        self._declined = gr.BrowserState("", storage_key="evfsam-declined", secret="evfsam")
        # A script reads it, which no gr.State allows. The style sheet hides it: Gradio shows it even if it is "hidden".
        self.got = gr.Textbox(elem_classes=["evf-unseen"], container=False)
        self.outputs: list[Component] = [self._column, self._line, self._get, self._later, self._cancel]
        self._built = self._offered(chosen)

    def wire(self, model: gr.Dropdown, own: gr.State, switch: list[Component], switched: Callable) -> None:
        """Let the button work.

        Args:
            model, own: of the head.
            switch, switched: components, and a function of a checkpoint's name that gives their values once that
                checkpoint is here and answers from now on.
        """
        unchanged = [gr.skip()] * len(switch)

        async def on_get(model, own, declined, request: gr.Request):
            async for values, got in self._download(own or model, declined, request.session_hash):
                yield *values, got, *(switched(got) if got else unchanged)

        async def on_cancel(request: gr.Request):
            downloads, who = self.checkpoints.downloads, request.session_hash
            for look in range(CANCEL_LOOKS):
                if downloads is None or (look and downloads.wanted(who)) or downloads.cancel(who):
                    return
                await asyncio.sleep(LOOK_S)

        def on_model(model, own, declined):
            return self._offered(own or model, declined)

        def on_later(model, own):
            info = self.checkpoints.proposed
            declined = info.name if info else ""
            return *self._offered(own or model, declined), declined

        asked = [model, own, self._declined]
        got = self._get.click(on_get, asked, [*self.outputs, self.got, *switch], **_MANY)
        got.success(None, self.got, None, js=ASK_AGAIN, **_FREE)
        self._cancel.click(on_cancel, None, None, queue=False, **_FREE)
        model.change(on_model, asked, self.outputs, queue=False, **_FREE)
        self._later.click(on_later, asked[:2], [*self.outputs, self._declined], queue=False, **_FREE)

    def show_on(self, page: gr.Blocks, model: gr.Dropdown, own: gr.State) -> None:
        """Show a newly opened page what is offered now, or how far its download is."""

        async def on_load(model, own, declined):
            async for values in self._look(own or model, declined):
                yield values

        page.load(on_load, [model, own, self._declined], self.outputs, **_MANY)

    async def _download(self, chosen: str, declined: str, who: str) -> AsyncIterator[tuple[list, str]]:
        """Download what is offered beside a chosen checkpoint; the values of :attr:`outputs` and :attr:`got`."""
        info = self.checkpoints.to_get(chosen)
        if info is None:
            yield self._offered(chosen, declined), ""
            return
        download, client = None, Client()
        try:
            download = self.checkpoints.get(info.name, who)
            while download.running and download.wanted(who):
                yield self._running(download), ""
                await asyncio.sleep(LOOK_S)
                client.check()
            yield self._ended(info, download, declined), "" if download.running or download.stopped else info.name
        except ClientGoneError:  # the download goes on
            if download:
                download.leave(who)
            raise
        except EvfSamError as error:
            yield self._told(info, str(error), "Try again"), ""

    async def _look(self, chosen: str, declined: str) -> AsyncIterator[list]:
        """What is offered, or how far its download is, for a page that was just opened; as :meth:`_download`."""
        info, client = self.checkpoints.to_get(chosen), Client()
        download = info and self.checkpoints.downloads and self.checkpoints.downloads.running(info.name)
        while download and download.running:
            yield self._running(download)
            await asyncio.sleep(LOOK_S)
            client.check()
        try:
            offered = self._ended(info, download, declined) if info and download else self._offered(chosen, declined)
        except EvfSamError as error:
            offered = self._told(info, str(error), "Try again")
        # A visitor may have pressed the button before this ran: what that told must stay.
        yield [gr.skip()] * len(self.outputs) if offered == self._built else offered
        for _ in range(PROPOSE_LOOKS if self.checkpoints.runtime.device.type != "cpu" else 0):
            if self.checkpoints.proposed:  # the app asks the Hub only after its start
                yield self._offered(chosen, declined)
                break
            await asyncio.sleep(LOOK_S)
            client.check()

    def _ended(self, info: CheckpointInfo, download: Download, declined: str) -> list:
        """What to show once nobody waits for a download. Raises its error."""
        if download.error:
            raise download.error
        if not (download.running or download.stopped):
            return self._offered(info.name, declined)
        here = size_text(download.progress().here)
        return self._told(info, f"Stopped. The {here} that have arrived are kept.", "Go on")

    def _offered(self, chosen: str, declined: str = "") -> list:
        info, hidden = self.checkpoints.to_get(chosen), gr.update(visible=False)
        if info is None:
            return [hidden, "", gr.skip(), hidden, hidden]
        proposes = info == self.checkpoints.proposed and info.name != declined
        button = gr.update(value=_label(info), visible=True, variant="primary" if proposes else "secondary")
        return [gr.update(visible=True), self._needs(info, proposes), button, gr.update(visible=proposes), hidden]

    def _running(self, download: Download) -> list:
        line = progress_html(download.info, download.progress())
        hidden, visible = gr.update(visible=False), gr.update(visible=True)
        return [visible, line, hidden, hidden, visible]

    def _told(self, info: CheckpointInfo, sentence: str, button: str) -> list:
        line = f'<p class="evf-offer" role="alert">{escape(sentence)}</p>'
        again, hidden = gr.update(value=f"{button}: {info.name}", visible=True), gr.update(visible=False)
        return [gr.update(visible=True), line, again, hidden, hidden]

    def _needs(self, info: CheckpointInfo | None, proposes: bool = False) -> str:
        """What a published checkpoint is for and what it needs, as HTML."""
        if info is None:
            return ""
        memory = "memory" if self.checkpoints.runtime.device.type == "cpu" else "GPU memory"
        needs = f"needs {_files(info)} of disk, {size_text(self.checkpoints.memory_needed(info))} of {memory}"
        if proposes:
            return f'<p class="evf-offer"><strong>This machine can run it:</strong> any words; {needs}</p>'
        return f'<p class="evf-offer"><strong>Any words, any picture:</strong> {needs}</p>'


def progress_html(info: CheckpointInfo, progress: Progress) -> str:
    """How far a download is, as HTML."""
    if not progress.whole:
        told, bar = "asking the Hub …", "<progress></progress>"
    else:
        told = f"{size_text(progress.here)} of {size_text(progress.whole)}"
        if progress.bytes_per_second is not None:
            told += f" · {progress.bytes_per_second / 1e6:.3g} MB/s"
        if progress.seconds_left is not None:
            told += f" · {about(progress.seconds_left)} left"
        bar = f'<progress max="{progress.whole}" value="{progress.here}"></progress>'
    return f'<p class="evf-offer"><label><strong>{escape(info.name)}</strong> {told}{bar}</label></p>'


def about(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 60:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def _files(info: CheckpointInfo) -> str:
    """The size of a published checkpoint's files: float32."""
    whole = info.memory_bytes()
    return "an unknown amount" if whole is None else size_text(whole)


def _label(info: CheckpointInfo | None) -> str:
    return f"Get {info.name} ({_files(info)})" if info else ""
