"""A predictor whose model runs on the replicas of :mod:`evfsam.batch.serve`."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import httpx

from evfsam.batch.wire import read_masks, write_question
from evfsam.checkpoints.registry import find
from evfsam.errors import EvfSamError, InputError
from evfsam.media.export import png
from evfsam.media.images import ImageSource, open_image
from evfsam.predictor import Predictor
from evfsam.processing.inputs import prepare
from evfsam.refine.refiner import make_refiner
from evfsam.runtime import choose_runtime
from evfsam.types import EncodedImage, MaskLogits, PixelSpec, SpatialPrompt

PATIENCE_S = 300.0


class RemotePredictor(Predictor):
    """Asks replicas for mask logits and does everything else here, as a :class:`~evfsam.predictor.Predictor` does.

    It answers prompts, points and boxes on images. It has no model: clips and attention need one. Threads may share it;
    their requests run at once.
    """

    def __init__(self, url: str):
        """``url``: the address of the replicas. Never take it from a visitor. Raises EvfSamError if none answers."""
        self.url = url.rstrip("/")
        self._http = httpx.Client(timeout=PATIENCE_S)
        told = self._ask("GET", "/")
        try:
            name, pixels = told["model"], told["pixels"]
            self._pixels = PixelSpec(**{**pixels, "mean": tuple(pixels["mean"]), "std": tuple(pixels["std"])})
        except (TypeError, KeyError):
            raise EvfSamError(f"No EVF-SAM replicas answer at {self.url}: start them there first.") from None
        self.info, self.runtime, self._kept = find(name), choose_runtime("cpu"), OrderedDict()
        self.refiner = make_refiner(self.info.name, self.info.refinement, self.info.vocabulary)

    def encode(self, image: ImageSource, whole: bool = True) -> EncodedImage:
        """An image as it is sent: ``features`` are the bytes of a PNG. ``whole`` as in :class:`Predictor`."""
        image = open_image(image)
        geometry = prepare(image, self._pixels).geometry
        guide = self.refiner.guide(image, geometry) if self.refiner else None
        near = image if whole and self.refiner and self.refiner.refinement.zoom else None
        return EncodedImage(png(image), None, geometry, guide, near)

    def decode(
        self, encoded: EncodedImage, prompts: Sequence[str], spatial: Sequence[SpatialPrompt | None]
    ) -> tuple[MaskLogits, list[tuple[str, ...]]]:
        """As :meth:`evfsam.predictor.Predictor.decode`. Raises EvfSamError if no replica answers."""
        whole = encoded.image is not None or not (self.refiner and self.refiner.refinement.zoom)
        answer = self._ask("POST", "/decode", write_question(encoded.features, prompts, spatial, whole))
        return read_masks(answer, len(prompts))

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        reason: object = ""
        try:
            answer = self._http.request(method, self.url + path, content=body)
            reason = f"{answer.status_code}, {answer.text[:200]}"
            told = answer.json()
        except (httpx.HTTPError, ValueError) as error:  # ValueError: no JSON, as from a replica that is starting
            # Visitors of the page read this sentence. The address is for the log alone.
            logging.getLogger(__name__).warning("The replicas at %s did not answer: %s", self.url, reason or error)
            raise EvfSamError("The replicas did not answer: wait until they have started, then ask again.") from None
        if answer.status_code != 200:
            sentence = told.get("error") if isinstance(told, dict) else None
            raise InputError(sentence or f"The replicas answered {answer.status_code}: look at their log.")
        return told
