"""Several pictures in one go: the same question about each, a gallery of overlays and one zip of all files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import gradio as gr
from gradio.components import Component
from PIL import Image

from evfsam.errors import EvfSamError, InputError
from evfsam.media.annotations import COCO, YOLO, Annotations
from evfsam.media.bundle import drawn
from evfsam.media.export import png, unique_stems
from evfsam.ui import downloads
from evfsam.ui.errors import with_user_errors
from evfsam.ui.kept import DEFAULT, Answer
from evfsam.ui.limits import Limits
from evfsam.ui.prompts import with_quotes
from evfsam.ui.tabs import common
from evfsam.ui.turns import ClientGoneError
from evfsam.ui.viewer import VIEW_PIXELS

# A question of its own beside others: the model takes turns, one picture at a time.
ON_SEVERAL = {"concurrency_id": "several", "concurrency_limit": 1, "api_visibility": "private"}


@dataclass(frozen=True)
class Progress:
    """What there is so far.

    Attributes:
        shown: (file of a small overlay, caption) of each picture that was answered.
        failed: a sentence for each one that was not.
        count: of all pictures.
        archive: the zip, once all are done.
    """

    count: int
    shown: list[tuple[str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    archive: str | None = None


def answers(
    limits: Limits,
    paths: Sequence[str],
    ask: Callable[[str], Answer],
    threshold: float = DEFAULT,
    format: str = COCO,
    things_drawn: bool = True,
) -> Iterator[Progress]:
    """Ask about each picture in turn. One that fails is one sentence, and the others go on.

    The zip holds masks, cut-outs and an overlay of each picture, and the annotations of all. Raises InputError for no
    picture or too many, ClientGoneError once nobody waits.
    """
    if not paths:
        raise InputError("Choose the pictures first: drop them here, or click to browse.")
    limits.check_pictures(paths)
    made, annotations = Progress(len(paths)), Annotations()
    with downloads.fresh_folder() as folder:
        files: list[str] = []
        for path, stem in zip(paths, unique_stems(paths, "picture"), strict=True):
            name = Path(path).name
            try:
                answer = ask(path)
                image, found = answer.image, downloads.bare(answer.at(threshold))
                things = answer.things_at(threshold)
                annotated = annotations.image(name, image.shape[:2], stem)
                pieces = drawn(image, found, annotated, things, things_drawn=things_drawn)
                for file, content in downloads.waited_for(pieces):
                    files.append(downloads.write(folder, file, content))
                if format == YOLO:
                    files.append(downloads.write(folder, f"images/{stem}.png", png(image)))
            except ClientGoneError:
                raise
            except EvfSamError as error:
                made.failed.append(f"{name}: {error}")
            else:
                small = downloads.write(folder, f"shown/{stem}.webp", _small(content))
                made.shown.append((small, _caption(name, annotations)))
            yield made
        if not made.shown:
            raise InputError(made.failed[0])
        for file, content in annotations.files(format, "annotations"):
            files.append(downloads.write(folder, file, content))
        archive, _ = downloads.with_zip(files, "pictures")
        yield Progress(made.count, made.shown, made.failed, archive)


def _small(overlay: bytes) -> bytes:
    image, buffer = Image.open(io.BytesIO(overlay)), io.BytesIO()
    image.thumbnail((VIEW_PIXELS, VIEW_PIXELS))
    image.save(buffer, "webp", quality=85)
    return buffer.getvalue()


def _caption(name: str, annotations: Annotations) -> str:
    count = len(annotations.images[-1].rows)
    return f"{name} · {count or 'no'} {'mask' if count == 1 else 'masks'}"


def told(progress: Progress) -> str:
    """How far it is, and what failed, as HTML."""
    done = len(progress.shown) + len(progress.failed)
    failed = "".join(f'<p class="evf-notice">{escape(with_quotes(line))}</p>' for line in progress.failed)
    return f'<p class="evf-status">{done} of {progress.count} pictures done.</p>{failed}'


class Several:
    """The components: :meth:`question` goes below a tab's own, :meth:`gallery` below its answer."""

    def __init__(self, tab: str):
        self.tab = tab

    def question(self) -> None:
        """Where the pictures are brought."""
        with gr.Accordion("Several pictures in one go", open=False, elem_id=f"{self.tab}-several"):
            self.pictures = gr.Files(
                label="Pictures",
                file_types=["image"],
                height=160,
                elem_id=f"{self.tab}-pictures",
                elem_classes=["evf-files"],
            )
            self.format = gr.Radio(common.FORMAT_NAMES, value=COCO, label="Annotations in the zip")
            self.button = gr.Button("Ask all pictures", elem_id=f"{self.tab}-ask-all")

    def gallery(self) -> None:
        """Where their answers are shown."""
        with gr.Column(visible=False) as self.panel:
            self.shown = gr.Gallery(
                label="Several pictures",
                columns=3,
                height="auto",
                object_fit="contain",
                interactive=False,
                buttons=["fullscreen"],
                elem_id=f"{self.tab}-gallery",
            )
            self.line = common.line()
            self.cancel = gr.Button("Stop", variant="stop", size="sm", elem_id=f"{self.tab}-stop")
            self.archive = gr.DownloadButton("All files as one zip", visible=False, elem_id=f"{self.tab}-all-zip")

    def ask_on(self, limits: Limits, ask: Callable[..., Callable[[str], Answer]], inputs: Sequence[Component]) -> None:
        """Wire the button.

        Args:
            ask: from the values of ``inputs``, the question as a function of a picture's path, and the options of
                :func:`answers`. Raises EvfSamError for a question that cannot be asked of any picture.
        """

        def on_ask(paths, format, *values):
            question, options = ask(*values)
            for progress in answers(limits, paths or [], question, format=format, **options):
                archive, running = progress.archive, progress.archive is None
                zipped = gr.update(value=archive, visible=not running)
                yield gr.update(visible=True), progress.shown, told(progress), gr.update(visible=running), zipped

        outputs = [self.panel, self.shown, self.line, self.cancel, self.archive]
        asked = self.button.click(
            with_user_errors(on_ask),
            [self.pictures, self.format, *inputs],
            outputs,
            scroll_to_output=True,
            **ON_SEVERAL,
        )
        self.cancel.click(
            lambda: gr.update(visible=False), None, self.cancel, cancels=[asked], queue=False, **common.FREE
        )
