"""The rendered world: a seed gives a scene. A scene gives an image, exact masks of visible parts, and expressions.

    scene = make_scene(seed)
    drawn = render(scene, (256, 256))
    for expression in expressions(scene):
        mask = np.isin(drawn.part_map, expression.part_ids)

A clip is a scene in motion, with the same part numbers on every frame:

    clip = make_clip(seed)
    images = [render(clip.frame(t), (256, 256)).image for t in range(clip.frames)]

Needs numpy and OpenCV only. The same seed always gives the same scene, image and expressions.
"""

from evfsam.data.scenes.clips import Clip, ClipExpression, clip_expressions, make_clip
from evfsam.data.scenes.language import (
    ABSENT,
    COLOUR,
    KINDS_OF_EXPRESSION,
    NAME,
    PARTS,
    PLACE,
    REFERRING,
    RELATION,
    SIZE,
    STUFF,
    THINGS,
    Expression,
    expressions,
)
from evfsam.data.scenes.layout import make_scene
from evfsam.data.scenes.measure import canonical_size_hw
from evfsam.data.scenes.model import Body, Part, Scene
from evfsam.data.scenes.render import Rendering, render, render_parts
from evfsam.data.scenes.splits import SEEDS, TEST, TRAIN, VALIDATION, require_training_seeds
from evfsam.data.scenes.words import categories, colours, part_names, stuff_names, vocabulary

__all__ = [
    "ABSENT",
    "COLOUR",
    "KINDS_OF_EXPRESSION",
    "NAME",
    "PARTS",
    "PLACE",
    "REFERRING",
    "RELATION",
    "SEEDS",
    "SIZE",
    "STUFF",
    "TEST",
    "THINGS",
    "TRAIN",
    "VALIDATION",
    "Body",
    "Clip",
    "ClipExpression",
    "Expression",
    "Part",
    "Rendering",
    "Scene",
    "canonical_size_hw",
    "categories",
    "clip_expressions",
    "colours",
    "expressions",
    "make_clip",
    "make_scene",
    "part_names",
    "render",
    "render_parts",
    "require_training_seeds",
    "stuff_names",
    "vocabulary",
]
