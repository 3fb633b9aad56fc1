"""The top of the page: the choice of model, and what all tabs share."""

from __future__ import annotations

from html import escape

import gradio as gr
from gradio.components import Component

from evfsam.checkpoints.fetch import local_folder
from evfsam.checkpoints.layout import size_text
from evfsam.checkpoints.registry import CheckpointInfo
from evfsam.errors import EvfSamError
from evfsam.ui.followed import Clip
from evfsam.ui.offer import Offer
from evfsam.ui.pictures import looks_drawn
from evfsam.ui.service import ModelService

TITLE = '<div class="evf-head"><h1>EVF-SAM</h1><p>Say what you see, get its mask.</p></div>'


class Head:
    """The model menu and the line below it.

    A picture unlike anything that the chosen checkpoint has seen is answered by another one. The menu shows that,
    the line says it, and its button takes it back.

    Attributes:
        model: the menu.
        own: the checkpoint that the user chose, while another one stands in for it; else None.
        offer: the way to a published checkpoint.
        inputs, outputs: of :meth:`route`.
    """

    def __init__(self, service: ModelService):
        self.service = service
        self.own = gr.State()
        with gr.Row(elem_id="evf-top"):
            gr.HTML(TITLE, elem_classes=["evf-flush"])
            self.model = gr.Dropdown(
                model_choices(service),
                value=service.default_model,
                label="Model",
                info=facts(service.info(service.default_model)),
                scale=0,
                min_width=520,
                elem_id="model",
            )
            self.offer = Offer(service.checkpoints, service.default_model)
        with gr.Row(visible=False, elem_id="evf-note") as self._row:
            self._line = gr.HTML(elem_classes=["evf-flush"])
            self._back = gr.Button("Take back", size="sm", scale=0, min_width=220, elem_id="model-back")
        self.inputs: list[Component] = [self.model, self.own]
        self.outputs: list[Component] = [self.model, self.own, self._row, self._line, self._back]
        self._back.click(self._take_back, self.own, self.outputs, queue=False, **self._free)
        self.model.input(self._on_choice, None, self.outputs[1:], queue=False, **self._free)
        self.model.change(self._on_model, self.model, self.model, queue=False, **self._free)

        self.offer.wire(self.model, self.own, self.outputs, self._got)

    _free = {"api_visibility": "private", "show_progress": "hidden"}

    def route(self, photograph: bool, model: str, own: str | None) -> list:
        """The values of :attr:`outputs` for a new picture."""
        chosen = self.service.info(own or model)
        if not photograph or not chosen.trained_on or "photographs" in chosen.trained_on:
            return [chosen.name, None, *self._told("")]
        better = self.service.checkpoints.for_photographs()
        seen = " and ".join(chosen.trained_on)
        if better is None:
            line = f"{chosen.name} has seen {seen} only, so it guesses on photographs{self._published()}."
            return [chosen.name, None, *self._told(line)]
        line = f"{chosen.name} has seen {seen} only, so {better.name} answers here."
        return [better.name, chosen.name, *self._told(line, f"Use {chosen.name}")]

    def route_image(self, image, model: str, own: str | None) -> list:
        """As :meth:`route`, for an image that nobody has told anything about: uint8 (H, W, 3)."""
        return self.route(not looks_drawn(image), model, own)

    def route_clip(self, clip: Clip, model: str, own: str | None) -> list:
        """As :meth:`route_image`, for the first frame of a clip. A checkpoint that cannot follow is not chosen."""
        try:
            routed = self.route_image(clip.open().frame(0), model, own)
        except EvfSamError:  # the tab says it when it shows the clip
            return [gr.skip()] * len(self.outputs)
        follows = "video" in self.service.info(routed[0]).capabilities
        return routed if follows else [gr.skip()] * len(self.outputs)

    def _published(self) -> str:
        info = self.service.checkpoints.to_get(self.service.default_model)
        return f": {info.name} knows them, the button above gets it" if info else ""

    @staticmethod
    def _told(line: str, button: str = "") -> list:
        shown = f'<p class="evf-notice">{escape(line)}</p>' if line else ""
        return [gr.update(visible=bool(line)), shown, gr.update(value=button or "", visible=bool(button))]

    def told(self, html: str) -> list:
        """The values of ``outputs[2:]`` that show some HTML and no button."""
        return [gr.update(visible=bool(html)), html, gr.update(visible=False)]

    def _got(self, name: str) -> list:
        """The values of :attr:`outputs` once a checkpoint has come that answers from now on."""
        return [gr.update(choices=model_choices(self.service), value=name), None, *self._told("")]

    def _take_back(self, own: str | None) -> list:
        return [own or gr.skip(), None, *self._told("")]

    def _on_choice(self) -> list:
        return [None, *self._told("")]

    def _on_model(self, model: str) -> dict:
        return gr.update(info=facts(self.service.info(model)))


def model_choices(service: ModelService) -> list[tuple[str, str]]:
    """(label, name) of every checkpoint on offer; the label says what it is for and how large it is."""
    return [(" · ".join((name, purpose(info), size_of(info))), name) for name, info in service.models.items()]


def purpose(info: CheckpointInfo) -> str:
    """What a checkpoint is for, in a few words."""
    seen = " and ".join(info.trained_on) or "unknown pictures"
    return seen if info.vocabulary or not info.trained_on else f"{seen}, any words"


def size_of(info: CheckpointInfo) -> str:
    """The size of a checkpoint's files, and whether they are here."""
    # The published ones are float32.
    size = info.file_bytes if info.file_bytes is not None else info.memory_bytes()
    where = "here" if local_folder(info) else "not here"
    return where if size is None else f"{size_text(size)}, {where}"


def facts(info: CheckpointInfo) -> str:
    """One line about a checkpoint: what it can do, how many words it knows, and where it is."""
    able = {"referring": "phrases", "semantic": "categories", "parts": "parts", "video": "clips"}
    can = ", ".join(able[name] for name in info.capabilities if name in able)
    words = f"knows {len(info.vocabulary)} words" if info.vocabulary else "reads any words"
    where = "on this disk" if local_folder(info) else "not on this disk"
    return f"Made for {purpose(info)}; answers {can}; {words}; {where}."
