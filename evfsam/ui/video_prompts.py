"""How a user's words and clicks change the prompts of a clip."""

from __future__ import annotations

from dataclasses import dataclass, replace

from evfsam import values
from evfsam.types import SpatialPrompt, VideoPrompt
from evfsam.ui.prompts import split_prompts
from evfsam.video.propagate import name_of

Prompts = tuple[VideoPrompt, ...]


@dataclass(frozen=True)
class ThingPrompt(VideoPrompt):
    """A click on one of the things that a phrase names.

    Attributes:
        phrase: as it was typed: "every dog".
        name: of this thing: "dog 1".
    """

    phrase: str = ""
    name: str = ""


def name_objects(text: str, frame_index: int) -> Prompts:
    """One object per phrase, all named on one frame. Raises InputError if there is none."""
    frame_index = values.number(frame_index, "frame", 0, whole=True)
    return tuple(VideoPrompt(i, text, frame_index) for i, text in enumerate(split_prompts(text), start=1))


def names_of(prompts: Prompts) -> dict[int, str]:
    """Object id -> its words, the latest that were given; "object 2" without any."""
    first = {p.object_id: p.name if isinstance(p, ThingPrompt) else name_of(p) for p in reversed(prompts)}
    return {i: first[i] for i in dict.fromkeys(p.object_id for p in prompts)} | words_of(prompts)


def words_of(prompts: Prompts) -> dict[int, str]:
    """Object id -> the words that find it, without the objects that have none."""
    return {p.object_id: p.text for p in prompts if p.text}


def phrases_of(prompts: Prompts) -> dict[int, str]:
    """Object id -> the phrase that brought it, as it was typed, without the objects that were only clicked."""
    named = ((p.object_id, p.phrase if isinstance(p, ThingPrompt) else p.text) for p in prompts)
    return {i: phrase for i, phrase in named if phrase}


def ask_again(prompts: Prompts, typed: str, frame_index: int) -> Prompts:
    """The prompts when these phrases are asked on a frame of a clip that was followed.

    Other words for an object correct it from this frame on, further phrases are further objects, and an object whose
    phrase is gone goes, too. Phrases that did not change are asked again, on this frame. Raises InputError for none.
    """
    texts, phrases = split_prompts(typed), phrases_of(prompts)
    added = [text for text in texts if text not in phrases.values()]
    gone = [i for i, text in phrases.items() if text not in texts]
    if not added and not gone:
        return _put(prompts, *(VideoPrompt(i, text, frame_index) for i, text in words_of(prompts).items()))
    if len(added) == len(gone):
        return _put(prompts, *(VideoPrompt(i, text, frame_index) for i, text in zip(gone, added, strict=True)))
    kept = tuple(p for p in prompts if p.object_id not in gone)
    free = 1 + max((p.object_id for p in prompts), default=0)
    return (*kept, *(VideoPrompt(free + i, text, frame_index) for i, text in enumerate(added)))


def clicks_at(prompts: Prompts, object_id: int, frame_index: int) -> SpatialPrompt | None:
    """The clicks on an object on a frame so far."""
    return next((p.spatial for p in prompts if p.object_id == object_id and p.frame_index == frame_index), None)


def with_clicks(
    prompts: Prompts, object_id: int, frame_index: int, clicks: SpatialPrompt | None, has_mask: bool
) -> Prompts:
    """The prompts with these clicks on one object on one frame, or without any.

    ``has_mask``: the object was followed there, so clicks correct its mask; elsewhere its words are asked as well.
    """
    here = next((p for p in prompts if p.object_id == object_id and p.frame_index == frame_index), None)
    text = "" if has_mask else words_of(prompts).get(object_id, "")
    now = replace(here, spatial=clicks) if here else VideoPrompt(object_id, text, frame_index, clicks)
    if clicks is None and not now.text:
        return tuple(p for p in prompts if p is not here)
    return _put(prompts, now)


def _put(prompts: Prompts, *changed: VideoPrompt) -> Prompts:
    """The prompts with these in place of those at the same places, or after all others."""
    places = {(p.object_id, p.frame_index): p for p in prompts} | {(p.object_id, p.frame_index): p for p in changed}
    return tuple(places.values())
