"""Evaluate a model on a data set: every sample is answered by the model and by the probes beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

from evfsam.data.sample import Dataset, Prompt, Sample, VideoSample
from evfsam.errors import InputError
from evfsam.evaluation.metrics import Counts, count_as_reference, count_pixels
from evfsam.evaluation.probes import CLIPS, IMAGES, MODEL, Probe
from evfsam.evaluation.records import Record, open_records, write_records
from evfsam.evaluation.report import Report
from evfsam.evaluation.video_metrics import FrameCounts, count_frames
from evfsam.evaluation.workers import parallel_map
from evfsam.predictor import Predictor
from evfsam.systems.base import System


def evaluate(
    predictor: Predictor | System,
    dataset: Dataset,
    probes: Sequence[Probe] = (),
    *,
    limit: int | None = None,
    workers: int = 1,
    records_file: Path | None = None,
    resume: bool = False,
    reference_quirks: bool = False,
    on_sample: Callable[[int], None] | None = None,
) -> Report:
    """Score a model on a data set.

    Args:
        predictor: the model.
        dataset: of images or clips, see :mod:`evfsam.data.registry`.
        probes: what answers beside the model, see :mod:`evfsam.evaluation.probes`.
        limit: how many samples, from the first on; None for all.
        workers: processes that share the samples (:func:`evfsam.evaluation.workers.parallel_map`).
        records_file: where to write one JSON line per prompt and answerer as soon as its sample is done.
        resume: go on where the records in ``records_file`` end.
        reference_quirks: text and pixels as in the authors' ``eval.py``: texts are stripped and put in lower case, and
            overlapping polygons of one annotation are added (:func:`~evfsam.evaluation.metrics.count_as_reference`).
        on_sample: called with the number of finished samples after each.

    Raises InputError if there is no sample, if a probe cannot be asked about this kind of data, or if the records are
    those of another run.
    """
    began = time.perf_counter()
    count = len(dataset) if limit is None else min(limit, len(dataset))
    if count < 1:
        raise InputError(
            f"{dataset.name} has {len(dataset)} samples and {limit or 0} are asked for: ask for at least 1."
        )
    _require_fit(dataset, probes)
    _require_checkpoint(predictor, probes)
    everyone = (MODEL, *probes)
    run = {
        "model": predictor.info.name,
        "data": dataset.name,
        "probes": [probe.name for probe in probes],
        "reference_quirks": reference_quirks,
    }
    kept, file = open_records(records_file, run, resume) if records_file else ([], None)
    records = [record for record in kept if record.index < count]
    done = {record.index for record in records}
    todo = [index for index in range(count) if index not in done]
    start = partial(_start, dataset, everyone, count, reference_quirks)
    report = (lambda n: on_sample(len(done) + n)) if on_sample else None
    with closing(file) if file else nullcontext():
        for found in parallel_map(start, predictor, todo, workers, report):
            records += found
            if file:
                write_records(file, run, found)
    runtime = {"device": str(predictor.runtime.device), "precision": predictor.runtime.precision}
    facts = {**run, **runtime, "samples": count, "seconds": round(time.perf_counter() - began, 1)}
    return Report(facts, records, {probe.name: probe.compared_with for probe in probes})


def _require_fit(dataset: Dataset, probes: Sequence[Probe]) -> None:
    """Raises InputError for a probe of clips on images, or the other way round."""
    if probes:
        kind = CLIPS if isinstance(dataset[0], VideoSample) else IMAGES
        for probe in probes:
            if probe.on != kind:
                raise InputError(f"The probe {probe.name} is for {probe.on}; {dataset.name} has {kind}. Leave it out.")


def _require_checkpoint(predictor: Predictor | System, probes: Sequence[Probe]) -> None:
    """Raises InputError for a probe that takes EVF-SAM apart, asked of another system."""
    if isinstance(predictor, System):
        for probe in probes:
            if not probe.any_system:
                raise InputError(f"The probe {probe.name} is for EVF-SAM's checkpoints; leave it out.")


def _start(
    dataset: Dataset, probes: Sequence[Probe], count: int, reference_quirks: bool, predictor: Predictor
) -> Callable[[int], list[Record]]:
    answerers = {probe.name: probe.make(predictor) for probe in probes}

    @lru_cache(maxsize=2)  # this sample and the one before it
    def read(index: int) -> Sample | VideoSample:
        sample = dataset[index]
        return in_lower_case(sample) if reference_quirks else sample

    def answer(index: int) -> list[Record]:
        sample, records = read(index), []
        if not sample.prompts:
            return records
        for name, answerer in answerers.items():
            masks = answerer(sample, lambda: read((index - 1) % count))
            for number, (prompt, mask) in enumerate(zip(sample.prompts, masks, strict=True)):
                if mask is not None:
                    counts = _counts(mask, prompt, reference_quirks)
                    records.append(Record(index, sample.name, number, prompt.text, prompt.kind, name, counts))
        return records

    return answer


def _counts(mask, prompt: Prompt, reference_quirks: bool) -> Counts | FrameCounts:
    if prompt.mask.ndim == 3:
        return count_frames(mask, prompt.mask, prompt.ignore)
    if reference_quirks:
        return count_as_reference(mask, prompt.mask, prompt.overlap)
    return count_pixels(mask, prompt.mask, prompt.ignore)


def in_lower_case(sample: Sample | VideoSample) -> Sample | VideoSample:
    """The sample with its texts as the authors' ``eval.py`` asks them."""
    return replace(sample, prompts=tuple(replace(p, text=p.text.strip().lower()) for p in sample.prompts))
