"""What the tabs share: the checkpoints in memory, and the answer a session is looking at."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.pool import ModelPool
from evfsam.checkpoints.registry import CheckpointInfo, default_model, find, list_models
from evfsam.errors import CheckpointError, InputError
from evfsam.media.images import open_image
from evfsam.predictor import Predictor
from evfsam.runtime import Runtime, choose_runtime, weight_budget_bytes
from evfsam.types import Clicks, Segmentation, TrackedFrame, VideoPrompt
from evfsam.ui import video_job
from evfsam.ui.comparison import Candidate, Side
from evfsam.ui.settings import Settings
from evfsam.ui.video_job import Clip, Job, Outcome, Step
from evfsam.ui.zero import ON_ZERO_GPU, on_gpu
from evfsam.video.tracker import VideoTracker

LOG = logging.getLogger(__name__)

WEIGHT_BYTES = 12 * 10**9  # of all models held, at most: two of the largest in float32, four in half precision
PREVIEW_SECONDS, SCAN_SECONDS = 20, 60
FRAMES_PER_SECOND = 8  # that a published SAM-2 follows one object at least, files written
ANSWER_SECONDS = 20  # booked on ZeroGPU: a SAM ViT-H picture and a dozen phrases, with room for a cold start

MAX_PIXELS = 24_000_000  # of a picture: its logits are kept for the session, 96 MB a phrase at that size


@dataclass(frozen=True)
class Timed:
    """Segmentations and what they took, in seconds; a picture seen before takes next to nothing to encode."""

    segmentations: tuple[Segmentation, ...]
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class Answer:
    """What a session is looking at: a picture, what was asked of it and what was found.

    ``picture_path`` is where the picture was read from; ``clicks`` holds, for each segmentation, the points
    and box that refined it, or None; ``device`` and ``precision`` say where it ran.
    """

    image: np.ndarray
    picture_path: str
    model: str
    device: str
    precision: str
    timed: Timed
    clicks: tuple[Clicks | None, ...] = field(default=())

    @property
    def picture_name(self) -> str:
        return Path(self.picture_path).name

    @property
    def segmentations(self) -> tuple[Segmentation, ...]:
        return self.timed.segmentations

    @property
    def phrases(self) -> list[str]:
        return [segmentation.prompt for segmentation in self.segmentations]

    def at(self, threshold: float) -> list[Segmentation]:
        """The segmentations with their masks cut at another probability than one half."""
        shift = np.float32(np.log(threshold / (1 - threshold)))
        if not shift:
            return list(self.segmentations)
        return [replace(s, mask_logits=s.mask_logits - shift) for s in self.segmentations]


class ModelService:
    """The checkpoints that this app offers, those of them in memory, and the work that needs a GPU.

    One for the whole process; safe to share between sessions.
    """

    def __init__(self, settings: Settings):
        """Raises InputError for a device or precision, CheckpointError for a checkpoint that is not there."""
        self.runtime = choose_runtime(settings.device, settings.precision)
        self.models = _offered(settings.models)
        self.default_model = next(iter(self.models))
        self._predictors: ModelPool[Predictor] = ModelPool(_weight_budget(self.runtime))
        self.stopped: set[str] = set()  # jobs that somebody called off
        # On ZeroGPU each of these is a forked process of its own.
        self.segment = on_gpu(self._segment, ANSWER_SECONDS)
        self.measure = on_gpu(self._measure, ANSWER_SECONDS)
        self.attention = on_gpu(self._attention, ANSWER_SECONDS)
        self.preview = on_gpu(self._preview, PREVIEW_SECONDS)
        self.scan = on_gpu(self._scan, SCAN_SECONDS)
        self.track = on_gpu(self._track, _tracking_seconds)
        if ON_ZERO_GPU:  # weights must be placed before the first fork
            for name in list(self.models)[: max(1, len(settings.models))]:
                self._try_to_load(name)

    def info(self, name: str) -> CheckpointInfo:
        """The row of an offered checkpoint. Raises CheckpointError for any other name."""
        try:
            return self.models[name]
        except KeyError:
            known = ", ".join(self.models)
            raise CheckpointError(f"There is no checkpoint {name!r} here; choose one of {known}.") from None

    @staticmethod
    def has_picture(picture_path: str | None) -> None:
        """Raises InputError if no picture was brought."""
        if not picture_path:
            raise InputError("Choose a picture first: upload or paste one, or take an example.")

    def _try_to_load(self, name: str) -> None:
        """A checkpoint that cannot be had is told to who asks for it; the app goes on with the others."""
        try:
            self.predictor(name)
        except CheckpointError as error:
            LOG.warning("%s", error)

    @staticmethod
    def open(picture_path: str | None) -> np.ndarray:
        """A picture file as uint8 (H, W, 3). Raises InputError if there is none or it cannot be used."""
        ModelService.has_picture(picture_path)
        return open_image(picture_path, MAX_PIXELS)

    def predictor(self, name: str, precision: str = "auto") -> Predictor:
        """The predictor of an offered checkpoint, loaded if need be; the least used ones make room."""
        info = self.info(name)
        runtime = self.runtime if precision == "auto" else choose_runtime(self.runtime.device.type, precision)

        def load() -> Predictor:
            source = name if info.on_hub else info.source
            return Predictor(load_checkpoint(source, runtime.device, runtime.dtype, runtime.quantized_bits), runtime)

        expected = info.memory_bytes(runtime.dtype.itemsize) or 0
        return self._predictors.get((name, runtime.precision), load, expected)

    def _segment(
        self,
        model: str,
        image: np.ndarray,
        phrases: Sequence[str],
        clicks: Sequence[Clicks | None] | None = None,
        precision: str = "auto",
    ) -> Timed:
        return _ask(self.predictor(model, precision), image, phrases, clicks)

    def _measure(self, candidate: Candidate, image: np.ndarray) -> Side:
        loaded = self.predictor(candidate.model, candidate.precision)
        # A predictor that remembers no picture, so that sides asked before take no less time.
        timed = _ask(Predictor(loaded.checkpoint, loaded.runtime), image, [candidate.phrase], None)
        weights = sum(p.numel() * p.element_size() for p in loaded.model.parameters())
        return Side(candidate, timed.segmentations[0], timed.encode_seconds, timed.decode_seconds, weights)

    def _attention(self, model: str, image: np.ndarray, phrase: str) -> np.ndarray:
        return self.predictor(model).cls_attention(image, phrase)

    def _preview(self, model: str, image: np.ndarray, prompts: Sequence[VideoPrompt]) -> TrackedFrame:
        return VideoTracker(self.predictor(model)).preview(image, prompts)

    def _scan(self, model: str, clip: Clip, phrase: str, every: int) -> Iterator[tuple[int, bool]]:
        """(frame index, found) of each frame that was looked at; the search ends with the first hit."""
        for frame in VideoTracker(self.predictor(model)).scan(clip.open(), phrase, every):
            yield frame.index, frame.objects[0].visible

    def _track(self, job: Job) -> Iterator[Step | Outcome]:
        yield from video_job.run(VideoTracker(self.predictor(job.model)), job, self.stopped)

    def answer(
        self,
        model: str,
        picture_path: str | None,
        phrases: Sequence[str],
        clicks: Sequence[Clicks | None] | None = None,
    ) -> Answer:
        """Ask a checkpoint for phrases, and clicks that refine them, on a picture file.

        Raises EvfSamError for what cannot be used.
        """
        self.info(model)
        image = self.open(picture_path)
        timed = self.segment(model, image, phrases, clicks)
        return Answer(
            image,
            picture_path,
            model,
            self.runtime.device.type,
            self.runtime.precision,
            timed,
            tuple(clicks or [None] * len(phrases)),
        )


def _weight_budget(runtime: Runtime) -> int:
    # On ZeroGPU there is no device to ask before the first task.
    return WEIGHT_BYTES if ON_ZERO_GPU else min(WEIGHT_BYTES, weight_budget_bytes(runtime.device))


def _tracking_seconds(job: Job) -> int:
    """What to book for a clip: booked too short it is cut off, too long it waits for nothing."""
    return 10 + len(job.clip.open()) * max(1, len(job.names)) // FRAMES_PER_SECOND


def _ask(
    predictor: Predictor, image: np.ndarray, phrases: Sequence[str], clicks: Sequence[Clicks | None] | None
) -> Timed:
    start = time.perf_counter()
    encoded = predictor.encode(image)
    encoded_at = time.perf_counter()
    found = predictor.segment(encoded, phrases, clicks)
    return Timed(tuple(found), encoded_at - start, time.perf_counter() - encoded_at)


def _offered(names: Sequence[str]) -> dict[str, CheckpointInfo]:
    """The checkpoints by the name under which they are offered, the one to start with first."""
    rows = [find(name) for name in names]
    rows += [default_model()] if not rows else []
    return {row.name: row for row in (*rows, *list_models())}
