"""What can be measured beside the model, by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import partial

from evfsam.data.sample import Dataset
from evfsam.errors import InputError
from evfsam.evaluation import answerers
from evfsam.evaluation.answerers import Make
from evfsam.evaluation.clicks import clicked
from evfsam.evaluation.constant_mask import ConstantMasks, fit_constant_masks
from evfsam.evaluation.robustness import SPOILED, other_words, spoiled_image, without
from evfsam.evaluation.wordings import WORDINGS
from evfsam.refine.refinement import Refinement

IMAGES, CLIPS = "images", "clips"


@dataclass(frozen=True)
class Probe:
    """One more answerer.

    Attributes:
        name: of the answerer in reports.
        make: predictor -> answerer. A function of a module or a ``functools.partial`` of one, so that other processes
            can make it too.
        about: one line for a list of probes.
        compared_with: the answerer that its change is counted from.
        on: "images" or "clips", what it can be asked about.
        any_system: it asks texts alone, which systems beside EVF-SAM read as well.
    """

    name: str
    make: Make
    about: str
    compared_with: str = "model"
    on: str = IMAGES
    any_system: bool = False


MODEL = Probe("model", answerers.model, "the model as users get it", compared_with="")
CONSTANT_MASK = "constant_mask"
REFINEMENTS = [f for f in fields(Refinement) if f.name != "reject_below"]  # that one is "no_rejection"
_ROWS = (
    Probe("without_refinements", answerers.without_refinements, "the model's answers as the paper has them"),
    *(Probe(f"without_{f.name}", partial(without, name=f.name), "one refinement less") for f in REFINEMENTS),
    Probe("no_rejection", answerers.no_rejection, "no prompt is taken for absent"),
    Probe(
        "swapped_image",
        answerers.swapped_image,
        "the multimodal encoder sees another image: is the fusion real?",
        "no_rejection",
    ),
    Probe("oracle_prompt", answerers.oracle, "the segmenter gets the true box and a true point, no text"),
    Probe("oracle_box", partial(answerers.oracle, point=False), "the segmenter gets the true box, no text"),
    Probe("oracle_point", partial(answerers.oracle, box=False), "the segmenter gets a true point, no text"),
    Probe("memory_only", answerers.memory_only, "tracking by the memory alone, as published", on=CLIPS),
    Probe("tracked_box", answerers.tracked_box, "tracking from the true box by the memory alone", on=CLIPS),
    Probe(
        "frame_by_frame",
        answerers.frame_by_frame,
        "each frame by itself, nothing is tracked",
        on=CLIPS,
        any_system=True,
    ),
    *(
        Probe(name, partial(spoiled_image, name=name), spoil.__doc__.splitlines()[0], any_system=True)
        for name, spoil in SPOILED.items()
    ),
    *(
        Probe(name, partial(other_words, name=name), "the same text in other words", any_system=True)
        for name in WORDINGS
    ),
    *(Probe(f"clicks_{n}", partial(clicked, count=n), f"{n} clicks, no text") for n in (1, 3, 5)),
    Probe("text_click", partial(clicked, count=1, text=True), "the text and a click into the object"),
    *(
        Probe(
            f"text_corrections_{n}",
            partial(clicked, count=n, text=True, corrects=True),
            f"the text, then {n} clicks into the largest error",
        )
        for n in (1, 3)
    ),
)
PROBES = {probe.name: probe for probe in _ROWS}
SETS = {
    "refinements": ("without_refinements", *(f"without_{f.name}" for f in REFINEMENTS), "no_rejection"),
    "robustness": (*SPOILED, *WORDINGS),
    "clicks": tuple(name for name in PROBES if name.startswith(("clicks_", "text_"))),
}


def constant_mask(fitted_on: Dataset) -> Probe:
    """The best constant masks, fitted on data that is not evaluated."""
    make = partial(_constant, fit_constant_masks(fitted_on))
    return Probe(CONSTANT_MASK, make, "the best mask without any model", any_system=True)


def _constant(masks: ConstantMasks, predictor) -> ConstantMasks:
    return masks


def expand(names: Iterable[str]) -> list[str]:
    """Names of probes and of sets of probes -> names of probes, in order, each once.

    Raises InputError that lists the known names.
    """
    found = []
    for name in names:
        if name not in SETS and name not in PROBES and name != CONSTANT_MASK:
            known = ", ".join([*SETS, CONSTANT_MASK, *PROBES])
            raise InputError(f"There is no probe '{name}'. Known ones: {known}.")
        found += SETS.get(name, (name,))
    return list(dict.fromkeys(found))
