"""What training keeps on disk, in memory-mapped arrays: rendered scenes and clips, photographs, image features.

Rendered scenes and photographs are data sets like any other: an index gives a :class:`Sample`.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm, trange

from evfsam.data.ccp import photo_sample, read_pack
from evfsam.data.coco.clips import moving_clip
from evfsam.data.coco.photographs import read_photographs
from evfsam.data.sample import Dataset, Prompt, Sample
from evfsam.data.scenes import Scene, expressions, make_clip, make_scene, render, require_training_seeds
from evfsam.modeling.evf_sam import EvfSam
from evfsam.processing.inputs import segmenter_pixels

OUTSIDE = 255  # in a part map: beyond the image's edge
CLIP_FRAMES, CLIP_STRIDE = 16, 3  # kept of 48: a step between kept frames is three of the clip's
SEEDS_A_TASK = 25
FEATURE_BATCH = 16


@dataclass(frozen=True)
class CachedScenes:
    """N rendered scenes or composed photographs.

    ``sample.facts`` holds "part_map", uint8 (H, W), the part that each pixel shows, and "things", for each thing and
    piece of stuff the numbers of its parts.

    Attributes:
        name: of the data set.
        images: uint8 (N, S, S, 3), RGB; an image that is no square lies in the upper left corner.
        part_maps: uint8 (N, S, S), 255 beyond the image's edge.
        prompts: for each scene, (text, kind, numbers of the parts that it names).
        things: for each scene, the part numbers of each of its things and pieces of stuff.
        sizes_hw: of each image.
    """

    name: str
    images: np.ndarray
    part_maps: np.ndarray
    prompts: Sequence[Sequence[tuple[str, str, Sequence[int]]]]
    things: Sequence[Sequence[tuple[int, ...]]]
    sizes_hw: Sequence[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        height, width = self.sizes_hw[index]
        part_map = self.part_maps[index][:height, :width]
        prompts = tuple(Prompt(text, mask_of(part_map, ids), kind) for text, kind, ids in self.prompts[index])
        facts = {"part_map": part_map, "things": self.things[index]}
        return Sample(f"{self.name}/{index}", self.images[index][:height, :width], prompts, facts)

    def texts(self) -> Iterator[str]:
        """All prompts, without reading an image."""
        return (text for prompts in self.prompts for text, _, _ in prompts)


def mask_of(part_map: np.ndarray, part_ids: Sequence[int]) -> np.ndarray:
    """bool (H, W): where a uint8 part map shows one of these parts."""
    chosen = np.zeros(256, np.uint8)
    chosen[list(part_ids)] = 1
    return cv2.LUT(np.ascontiguousarray(part_map), chosen).view(bool)


def open_scenes(
    folder: Path,
    first_seed: int,
    count: int,
    size: int,
    workers: int,
    aspects: tuple[float, ...] = (1.0,),
    moving: bool = False,
) -> CachedScenes:
    """The scenes in ``folder``, rendered first if they are not there or are of other seeds or size.

    Args:
        size: the longer side of the images, in pixels.
        aspects: widths over heights, taken in turn by seed.
        moving: a frame of the seed's clip instead of its scene. Things are smaller there, hide each other and are
            cut by the image's edge.

    Raises InputError for seeds that are kept for validation and test.
    """
    facts = ({} if aspects == (1.0,) else {"aspects": list(aspects)}) | ({"moving": True} if moving else {})
    sizes = [_size_hw(seed, size, aspects) for seed in range(first_seed, first_seed + count)]
    return _open(folder, first_seed, sizes, size, partial(_render_scenes, aspects, moving), workers, facts)


def open_photographs(folder: Path, pack: Path, count: int, size: int, workers: int) -> CachedScenes:
    """``count`` square samples composed of the photographs in ``pack``, made first if they are not there.

    Raises InputError if there is no pack.
    """
    facts = {"photographs": str(pack.resolve())}
    return _open(folder, 0, [(size, size)] * count, size, partial(_compose_photographs, pack), workers, facts)


def _open(folder: Path, first_seed: int, sizes_hw, size: int, render_chunk, workers: int, facts: dict) -> CachedScenes:
    shapes = {"images": (size, size, 3), "part_maps": (size, size)}
    arrays, rows = _render_arrays(folder, first_seed, len(sizes_hw), size, shapes, render_chunk, workers, facts)
    prompts, things = [row["prompts"] for row in rows], [row["things"] for row in rows]
    return CachedScenes(folder.name, arrays["images"], arrays["part_maps"], prompts, things, sizes_hw)


def _size_hw(seed: int, size: int, aspects: tuple[float, ...]) -> tuple[int, int]:
    aspect = aspects[seed % len(aspects)]
    return (round(size / aspect), size) if aspect >= 1 else (size, round(size * aspect))


def _scene(seed: int, aspect: float, moving: bool) -> Scene:
    if not moving:
        return make_scene(seed, aspect)
    clip = make_clip(seed, aspect=aspect)
    return clip.frame(seed % clip.frames)


def _render_scenes(aspects: tuple[float, ...], moving: bool, task: tuple[range, int]):
    seeds, size = task
    images, maps, rows = [], [], []
    for seed in seeds:
        height, width = size_hw = _size_hw(seed, size, aspects)
        scene = _scene(seed, width / height, moving)
        rendering = render(scene, size_hw)
        if len(scene.parts) > OUTSIDE:
            raise ValueError(f"scene {seed} has {len(scene.parts)} parts; the cache keeps 8 bits")
        padding = ((0, size - height), (0, size - width))
        images.append(np.pad(rendering.image, (*padding, (0, 0))))
        maps.append(np.pad(rendering.part_map.astype(np.uint8), padding, constant_values=OUTSIDE))
        bodies: dict[tuple, list[int]] = {}
        for part in scene.parts:
            bodies.setdefault((part.thing, part.kind), []).append(part.index)
        rows.append(_row(expressions(scene), bodies.values()))
    return {"images": np.stack(images), "part_maps": np.stack(maps)}, rows


_pack = lru_cache(maxsize=1)(read_pack)


def _compose_photographs(folder: Path, task: tuple[range, int]):
    seeds, size = task
    samples = [photo_sample(_pack(folder), seed, (size, size)) for seed in seeds]
    images = np.stack([sample.image for sample in samples])
    rows = [_row(sample.expressions, sample.people) for sample in samples]
    return {"images": images, "part_maps": np.stack([sample.part_map for sample in samples])}, rows


def _row(said, things) -> dict[str, list]:
    prompts = [[one.text, one.kind, list(map(int, one.part_ids))] for one in said]
    return {"prompts": prompts, "things": [list(map(int, ids)) for ids in things]}


@dataclass(frozen=True)
class CachedClips:
    """N rendered clips of T frames.

    Attributes:
        images: uint8 (N, T, S, S, 3), RGB.
        part_maps: uint8 (N, T, S, S).
        things: for each clip, the part numbers of each of its things.
    """

    images: np.ndarray
    part_maps: np.ndarray
    things: list[list[list[int]]]

    def __len__(self) -> int:
        return len(self.images)


def open_clips(folder: Path, first_seed: int, count: int, size: int, workers: int) -> CachedClips:
    """As :func:`open_scenes`, for clips."""
    shapes = {"images": (CLIP_FRAMES, size, size, 3), "part_maps": (CLIP_FRAMES, size, size)}
    arrays, things = _render_arrays(folder, first_seed, count, size, shapes, _render_clips, workers, {})
    return CachedClips(arrays["images"], arrays["part_maps"], things)


def open_moving_photographs(folder: Path, root: Path, count: int, size: int, workers: int) -> CachedClips:
    """``count`` clips made of the training photographs in ``root``, in COCO's format; made first if need be."""
    shapes = {"images": (CLIP_FRAMES, size, size, 3), "part_maps": (CLIP_FRAMES, size, size)}
    make, facts = partial(_move_photographs, root), {"photographs": str(root.resolve())}
    arrays, things = _render_arrays(folder, 0, count, size, shapes, make, workers, facts)
    return CachedClips(arrays["images"], arrays["part_maps"], things)


_photographs = lru_cache(maxsize=1)(partial(read_photographs, held_out=False))


def _move_photographs(root: Path, task: tuple[range, int]):
    seeds, size = task
    images, maps, rows = zip(*(moving_clip(_photographs(root), seed, CLIP_FRAMES, size) for seed in seeds), strict=True)
    return {"images": np.stack(images), "part_maps": np.stack(maps)}, list(rows)


def _render_clips(task: tuple[range, int]):
    seeds, size = task
    images, maps, rows = [], [], []
    for seed in seeds:
        clip = make_clip(seed, CLIP_FRAMES * CLIP_STRIDE)
        drawn = [render(clip.frame(t * CLIP_STRIDE), (size, size)) for t in range(CLIP_FRAMES)]
        images.append(np.stack([frame.image for frame in drawn]))
        maps.append(np.stack([frame.part_map.astype(np.uint8) for frame in drawn]))
        things: dict[int, list[int]] = {}
        for part in clip.scene.parts:
            if part.thing is not None:
                things.setdefault(part.thing, []).append(part.index)
        rows.append(list(things.values()))
    return {"images": np.stack(images), "part_maps": np.stack(maps)}, rows


@dataclass(frozen=True)
class CachedFeatures:
    """The frozen image encoder's features of N images, float16 (N, C, h, w) each: the embedding, then finer levels."""

    levels: tuple[np.ndarray, ...]

    def read(self, indices: np.ndarray) -> list[torch.Tensor]:
        """Features of these images, (B, C, h, w) for each level."""
        return [torch.from_numpy(level[indices]) for level in self.levels]


@torch.no_grad()
def open_features(folder: Path, model: EvfSam, data: Dataset, weights_id: str) -> CachedFeatures:
    """Features of all images of ``data``; computed unless ``folder`` holds those of the weights ``weights_id``."""
    facts_file, facts = folder / "features.json", {"weights": weights_id, "scenes": len(data)}
    if not _holds(facts_file, facts):
        arrays = None
        for start in trange(0, len(data), FEATURE_BATCH, desc="features"):
            rows = range(start, min(start + FEATURE_BATCH, len(data)))
            pixels = [segmenter_pixels(data[i].image, model.config.pixels)[0] for i in rows]
            features = model.encode_image(torch.cat(pixels).to(model.device))
            levels = (features.image_embeddings, *features.high_res_features)
            arrays = arrays or [
                np.lib.format.open_memmap(folder / f"level_{i}.npy", "w+", np.float16, (len(data), *level.shape[1:]))
                for i, level in enumerate(levels)
            ]
            for array, level in zip(arrays, levels, strict=True):
                array[start : start + len(rows)] = level.half().cpu().numpy()
        facts_file.write_text(json.dumps(facts))
    return CachedFeatures(tuple(np.load(file, mmap_mode="r") for file in sorted(folder.glob("level_*.npy"))))


def _holds(facts_file: Path, facts: dict) -> bool:
    """Whether a folder was finished with these facts; if not, it is made ready to be filled."""
    if facts_file.exists() and json.loads(facts_file.read_text()) == facts:
        return True
    facts_file.parent.mkdir(parents=True, exist_ok=True)
    facts_file.unlink(missing_ok=True)
    return False


def _render_arrays(
    folder: Path,
    first_seed: int,
    count: int,
    size: int,
    shapes: dict[str, tuple[int, ...]],
    render_chunk: Callable,
    workers: int,
    more_facts: dict,
) -> tuple[dict[str, np.ndarray], list]:
    """Memory maps by name, and one JSON value for each seed; rendered first unless ``folder`` holds them.

    Args:
        shapes: shape of one seed's uint8 array, by name.
        render_chunk: (seeds, size) -> (arrays (len(seeds), *shape) by name, one JSON value for each seed); a module's
            function or a partial of one, so that other processes find it.
        workers: 1 renders in this process.
        more_facts: JSON values of what else the arrays depend on.
    """
    require_training_seeds(first_seed, count)
    facts_file = folder / "cache.json"
    facts = {"first_seed": first_seed, "count": count, "size": size, **more_facts}
    if not _holds(facts_file, facts):
        _render(folder, range(first_seed, first_seed + count), size, shapes, render_chunk, workers)
        facts_file.write_text(json.dumps(facts))  # last: its presence says that the rest is whole
    with (folder / "rows.jsonl").open() as lines:
        rows = [json.loads(line) for line in lines]
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in shapes}, rows


def _render(folder: Path, seeds: range, size: int, shapes, render_chunk, workers: int) -> None:
    arrays = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (len(seeds), *shape))
        for name, shape in shapes.items()
    }
    chunks = [range(start, min(start + SEEDS_A_TASK, len(seeds))) for start in range(0, len(seeds), SEEDS_A_TASK)]
    tasks = [(seeds[chunk.start : chunk.stop], size) for chunk in chunks]
    with ExitStack() as stack:
        rows = stack.enter_context((folder / "rows.jsonl").open("w"))
        run_all = map
        if workers > 1:
            spawn = multiprocessing.get_context("spawn")  # forking after torch has threads may hang
            run_all = stack.enter_context(ProcessPoolExecutor(workers, mp_context=spawn)).map
        done = zip(chunks, run_all(render_chunk, tasks), strict=True)
        for chunk, (rendered, chunk_rows) in tqdm(done, f"render {folder.name}", len(chunks), unit="chunk"):
            for name, array in arrays.items():
                array[chunk.start : chunk.stop] = rendered[name]
            rows.writelines(json.dumps(row) + "\n" for row in chunk_rows)
