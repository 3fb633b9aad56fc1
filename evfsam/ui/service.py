"""What the tabs share: the checkpoints in memory, the model's turns, and the answer that a session looks at."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import numpy as np

from evfsam.batch.remote import RemotePredictor
from evfsam.checkpoints.fetch import local_folder
from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.pool import ModelPool
from evfsam.checkpoints.registry import CheckpointInfo
from evfsam.errors import CheckpointError, InputError
from evfsam.media.images import open_image
from evfsam.predictor import Predictor
from evfsam.runtime import Runtime, choose_runtime, weight_budget_bytes
from evfsam.systems.base import System
from evfsam.systems.registry import SystemInfo, find_system, is_here, list_systems
from evfsam.things import read
from evfsam.ui import asking, video_job
from evfsam.ui.asking import NO_WORDS, Question, Read
from evfsam.ui.checkpoints import Checkpoints
from evfsam.ui.comparison import Candidate, Side
from evfsam.ui.followed import Clip, KeptObject
from evfsam.ui.kept import Answer, KeptMask
from evfsam.ui.settings import Settings
from evfsam.ui.turns import Client, Line, Waiter
from evfsam.ui.video_job import Found, Job, Outcome, Step
from evfsam.ui.zero import ON_ZERO_GPU, on_gpu
from evfsam.video.tracker import VideoTracker

LOG = logging.getLogger(__name__)

WEIGHT_BYTES = 12 * 10**9  # of all models held, at most: two of the largest in float32, four in half precision
LOOK_SECONDS, SCAN_SECONDS = 20, 60
ANSWER_SECONDS = 20  # booked on ZeroGPU: a SAM ViT-H image and a dozen prompts, with room for a cold start

NO_PICTURE = "Choose a picture first: upload or paste one, or take an example."


class ModelService:
    """The checkpoints that this app offers, those of them in memory, and the work that needs the model.

    One for the whole process; safe to share between sessions. Only one thread uses the model at a time. A question
    about an image keeps its turn until it is answered, with all that wait with questions about the same image. A clip
    gives its turn back after every frame. Work stops before its next step once nobody waits for it.

    Attributes:
        checkpoints: what is on offer, and what of it is here.
        models: every checkpoint on offer, by name.
        info: the row of an offered checkpoint, as :meth:`Checkpoints.info`.
    """

    def __init__(self, settings: Settings):
        """Raises InputError for a device or precision, CheckpointError for a checkpoint, EvfSamError for a server."""
        self.limits = settings.limits
        self.runtime = choose_runtime(settings.device, settings.precision)
        self.systems = _offered_systems(settings.models)
        named = [name for name in settings.models if not find_system(name)]
        self.checkpoints = Checkpoints(named, self.runtime, settings.download)
        self.models, self.info = self.checkpoints.models, self.checkpoints.info
        self._replicas = RemotePredictor(settings.server) if settings.server else None
        self._served = self._replicas and self._replicas.info.name  # the checkpoint that the replicas have
        self.default_model = self._served or next(iter(self.models))
        self._predictors: ModelPool[Predictor | System] = ModelPool(_weight_budget(self.runtime))
        self._loading, self._model = Line(), Line()
        self._stopped: set[str] = set()  # keys of jobs
        # On ZeroGPU each of these is a forked process of its own.
        self._asked = on_gpu(self._ask, ANSWER_SECONDS)
        self._measured = on_gpu(self._measure, ANSWER_SECONDS)
        self._attended = on_gpu(self._attend, ANSWER_SECONDS)
        self._looked = on_gpu(self._look, LOOK_SECONDS)
        self._scanned = on_gpu(self._scan, SCAN_SECONDS)
        self._tracked = on_gpu(self._track, video_job.booked_seconds)
        if ON_ZERO_GPU:  # weights must be placed before the first fork
            for name in list(self.models)[: max(1, len(settings.models))]:
                try:
                    self.predictor(name)
                except CheckpointError as error:  # whoever asks for it is told; the app offers the others
                    LOG.warning("%s", error)

    def compared_info(self, name: str) -> CheckpointInfo:
        """The row of what can be compared: a checkpoint, or another system. Raises CheckpointError for other names."""
        return self.systems[name] if isinstance(name, str) and name in self.systems else self.info(name)

    def warm(self) -> None:
        """Bring the checkpoint to start with into memory, so that the first answer does not wait for it."""
        info = self.info(self.default_model)
        try:
            if local_folder(info) is None:
                self.checkpoints.get(info.name, "operator").wait()
            if not ON_ZERO_GPU and info.name != self._served:
                self.predictor(info.name).segment(np.zeros((64, 64, 3), np.uint8), ["sky"])
        except Exception as error:  # whoever asks for it is told; the app offers the others
            LOG.warning("%s", error)
        self.checkpoints.propose()

    @staticmethod
    def has_picture(picture_path: str | None) -> None:
        """Raises InputError if no picture was brought."""
        if not picture_path:
            raise InputError(NO_PICTURE)

    def open(self, picture_path: str | None, prompts: int = 1) -> np.ndarray:
        """An image file as uint8 (H, W, 3).

        Raises InputError if there is none, it cannot be used, or so many prompts on it are more than the limits allow.
        """
        self.has_picture(picture_path)
        self.limits.check_prompts(prompts)
        image = open_image(picture_path, self.limits.pixels)
        self.limits.check_prompts(prompts, image.shape[:2])
        return image

    def predictor(self, name: str, precision: str = "auto") -> Predictor:
        """The predictor of an offered checkpoint, loaded if need be; the least used ones make room."""
        info = self.info(name)
        runtime = self.runtime if precision == "auto" else choose_runtime(self.runtime.device.type, precision)

        def load() -> Predictor:
            if not ON_ZERO_GPU and local_folder(info) is None:
                raise CheckpointError(self.checkpoints.why_missing(info))
            source = name if info.on_hub else info.source
            return Predictor(load_checkpoint(source, runtime.device, runtime.dtype, runtime.quantized_bits), runtime)

        expected_bytes = (info.parameters or 0) * runtime.dtype.itemsize
        return self._predictors.get((name, runtime.precision), load, expected_bytes)

    def system(self, name: str, precision: str = "auto") -> System:
        """Another system that can be compared, loaded if need be."""
        from evfsam.systems.load import load_system  # brings transformers, which would delay the page

        info = self.systems[name]
        runtime = self.runtime if precision == "auto" else choose_runtime(self.runtime.device.type, precision)
        expected_bytes = info.memory_bytes() or 0
        return self._predictors.get((name, runtime.precision), lambda: load_system(info, runtime), expected_bytes)

    @contextmanager
    def turn(self, model: str, precision: str = "auto") -> Iterator[Client]:
        """Hold the model, loaded beforehand; call ``check`` of the client that comes back before each further step.

        Raises ClientGoneError if nobody waits any more, CheckpointError for a checkpoint that cannot be had.
        """
        client = self._load(model, precision)
        with self._model.turn(client, short=True):
            yield client

    def _load(self, model: str, precision: str = "auto") -> Client:
        """Load a checkpoint without keeping others from the model, for the client that comes back.

        ZeroGPU's processes load it themselves. Raises as :meth:`turn`.
        """
        self.info(model)
        client = Client()
        if not ON_ZERO_GPU:
            with self._loading.turn(client):
                self.predictor(model, precision)
        return client

    def answer(self, model: str, picture_path: str | None, question: Question) -> Answer:
        """Ask a checkpoint about an image file, in one turn with all who wait with questions about the same image.

        Raises EvfSamError for what cannot be used.
        """
        info, count = self.info(model), len(question.prompts)
        if not picture_path:
            raise InputError(NO_PICTURE)
        self.limits.check_prompts(count)
        asked = question, [read(prompt, info) if prompt.strip() else NO_WORDS for prompt in question.prompts]
        settle = partial(
            asking.settle, picture_path=picture_path, limits=self.limits, answer=partial(self._asked, model)
        )
        if model == self._served:  # the replicas form the batches
            waiter = Waiter(Client(), None, asked, count)
            settle([waiter])
            found = waiter.answer.result()
        else:
            client, key = self._load(model), None
            if not ON_ZERO_GPU:
                with suppress(OSError, ValueError):  # gone or empty: open_image will say so
                    key = model, hashlib.blake2b(np.memmap(picture_path, np.uint8, "r")).digest()
            found = self._model.together(Waiter(client, key, asked, count), settle)
        return Answer(
            picture_path,
            found.size_hw,
            model,
            self.runtime.device.type,
            self.runtime.precision,
            found.masks,
            found.encode_seconds,
            found.decode_seconds,
            question.clicks,
            count,
            found.labels,
        )

    def look(self, model: str, picture_path: str) -> Answer:
        """An image file before anything was asked of it: an answer of no masks. Raises InputError as :meth:`open`."""
        where = self.runtime.device.type, self.runtime.precision
        return Answer(picture_path, self.open(picture_path).shape[:2], model, *where, (), 0.0, 0.0)

    def measure(self, candidate: Candidate, image: np.ndarray) -> Side:
        """One side of a comparison."""
        if candidate.model not in self.systems:
            with self.turn(candidate.model, candidate.precision):
                return self._measured(candidate, image)
        client = Client()
        with self._loading.turn(client):
            self.system(candidate.model, candidate.precision)
        with self._model.turn(client):
            return self._measured(candidate, image)

    def attention(self, model: str, picture_path: str, phrase: str) -> np.ndarray:
        """Where the encoder looked for a phrase: float32 (n, n)."""
        with self.turn(model):
            return self._attended(model, self.open(picture_path), phrase)

    def first_frame(self, job: Job) -> dict[int, KeptObject]:
        """Object id -> what a job finds on its first frame."""
        self.limits.check_clip(0, len(job.names))
        with self.turn(job.question.model):
            return self._looked(job)

    def scan(self, model: str, clip: Clip, phrase: str, every: int) -> Iterator[tuple[int, bool]]:
        """(frame index, found) of each frame that was looked at; the search ends with the first hit."""
        yield from self._frame_by_frame(model, self._scanned(model, clip, phrase, every))

    def track(self, job: Job, most_bytes: int | None = None) -> Iterator[Step | Outcome]:
        """Follow objects; the Outcome comes last. ``most_bytes`` of masks: None for half of what a session keeps."""
        job.check(self.limits)
        found = self._frame_by_frame(job.question.model, self._tracked(job))
        most = self.limits.kept_bytes // 2 if most_bytes is None else most_bytes
        try:
            yield from video_job.run(job, found, lambda: job.key in self._stopped, most)
        finally:
            self._stopped.discard(job.key)

    def stop(self, job: Job) -> None:
        """End a job after the frame at work; what was done is kept."""
        self._stopped.add(job.key)

    def _frame_by_frame(self, model: str, work: Iterator) -> Iterator:
        """Work on a clip, which gives the model back after every frame."""
        yield from self._model.one_by_one(work, self._load(model))

    def _ask(self, model: str, image: np.ndarray, questions: Sequence[Read], gone: set[int]) -> Iterator[tuple]:
        """As :func:`evfsam.ui.asking.answers`."""
        predictor = self._replicas if model == self._served else self.predictor(model)
        yield from asking.answers(predictor, image, questions, self.limits, gone)

    def _measure(self, candidate: Candidate, image: np.ndarray) -> Side:
        predictor: Predictor | System
        if candidate.model in self.systems:
            predictor = self.system(candidate.model, candidate.precision)
        else:
            loaded = self.predictor(candidate.model, candidate.precision)
            # A predictor that remembers no image, so that sides asked before take no less time.
            predictor = Predictor(loaded.checkpoint, loaded.runtime)
        start = time.perf_counter()
        encoded = predictor.encode(image)
        encoded_at = time.perf_counter()
        (found,) = predictor.segment(encoded, [read(candidate.prompt, predictor.info).text])
        answered_at = time.perf_counter()
        weights = sum(p.numel() * p.element_size() for p in predictor.model.parameters())
        kept = KeptMask.of(found, (0.5,))
        return Side(candidate, kept, encoded_at - start, answered_at - encoded_at, weights)

    def _attend(self, model: str, image: np.ndarray, phrase: str) -> np.ndarray:
        predictor = self.predictor(model)
        return predictor.cls_attention(image, read(phrase, predictor.info).text)

    def _look(self, job: Job) -> dict[int, KeptObject]:
        return video_job.look(VideoTracker(self.predictor(job.question.model)), job)

    def _scan(self, model: str, clip: Clip, phrase: str, every: int) -> Iterator[tuple[int, bool]]:
        for frame in VideoTracker(self.predictor(model)).scan(clip.open(), phrase, every):
            yield frame.index, frame.objects[0].visible

    def _track(self, job: Job) -> Iterator[Found]:
        yield from video_job.work(VideoTracker(self.predictor(job.question.model)), job)


def _weight_budget(runtime: Runtime) -> int:
    # On ZeroGPU there is no device to ask before the first task.
    return WEIGHT_BYTES if ON_ZERO_GPU else min(WEIGHT_BYTES, weight_budget_bytes(runtime.device))


def _offered_systems(names: Sequence[str]) -> dict[str, SystemInfo]:
    """The systems to compare with: those that the operator names, and those that are on this disk.

    A visitor cannot make the app download one.
    """
    named = [info for name in names if (info := find_system(name))]
    return {info.name: info for info in [*(row for row in list_systems() if is_here(row)), *named]}
