"""Scene -> pixels: the picture and, from the same supersampled label buffer, the map of visible parts."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from evfsam.data.scenes.dice import Dice
from evfsam.data.scenes.layout import to_frame
from evfsam.data.scenes.model import Body, Scene

SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
TEXTURE_STREAM = 1


@dataclass(frozen=True, eq=False)
class Rendering:
    """``picture_rgb`` (H, W, 3) uint8 and ``part_map`` (H, W) uint16, each pixel's row of ``Scene.parts``.

    A pixel belongs to the visible part that covers most of it, by the samples that also give it its colour.
    """

    picture_rgb: np.ndarray
    part_map: np.ndarray


def render(scene: Scene, size_hw: tuple[int, int]) -> Rendering:
    """Draws a scene at any size, in pixels.

    What is visible was arranged for ``scene.aspect``: at another shape of picture things move apart or together,
    so make the scene for the shape that will be drawn.
    """
    samples, patches = _draw(scene, size_hw)
    labels, mixed = _resolve(samples, patches.part, size_hw)
    return Rendering(_paint(scene, samples, mixed, patches, size_hw), labels)


def render_parts(scene: Scene, size_hw: tuple[int, int]) -> np.ndarray:
    """Only the part map, (H, W) uint16: the same as ``render(...).part_map``, for a fraction of the work."""
    samples, patches = _draw(scene, size_hw)
    return _resolve(samples, patches.part, size_hw)[0]


@dataclass(frozen=True, eq=False)
class _Patches:
    """Tables over all patches of a scene, in drawing order. Outlines and boxes are in pixels."""

    outlines: list[np.ndarray]
    part: np.ndarray  # (P,) uint16
    box: np.ndarray  # (P, 4) float32: centre x, y, half width, half height
    rgb: np.ndarray  # (P, 2, 3) float32: at the top and at the bottom of the box
    style: np.ndarray  # (P, 6) float32 in the order of Style's fields


def _samples_per_pixel(size_hw: tuple[int, int]) -> int:
    """Samples along each side of a pixel: more where pictures are small, fewer where they are large."""
    longest = max(size_hw)
    return 8 if longest <= 128 else 4 if longest <= 800 else 3 if longest <= 1400 else 2


def _to_pixels(body: Body, points: np.ndarray, scene: Scene, size_hw: tuple[int, int]) -> np.ndarray:
    height, width = size_hw
    camera = np.array(scene.camera_uv) * body.parallax
    return (to_frame(body, points, width / height) - camera) * (width, height)


def _patch_tables(scene: Scene, size_hw: tuple[int, int]) -> _Patches:
    starts = np.cumsum([0, *(len(body.parts) for body in scene.bodies())])
    order = list(range(len(scene.stuff)))
    order += [len(scene.stuff) + i for i in sorted(range(len(scene.things)), key=lambda i: scene.things[i].depth)]
    outlines, part, rgb, style = [], [], [], []
    for number in order:
        body = scene.bodies()[number]
        cuts = np.cumsum([len(patch.outline) for patch in body.patches])[:-1]
        points = _to_pixels(body, np.concatenate([patch.outline for patch in body.patches]), scene, size_hw)
        outlines += np.split(points, cuts)
        for patch in body.patches:
            part.append(starts[number] + patch.part)
            rgb.append((patch.rgb, patch.rgb if patch.rgb_below is None else patch.rgb_below))
            s = patch.style
            style.append((s.gradient, s.roundness, s.grain, s.streak, s.shadow, s.glow))
    low = np.array([o.min(0) for o in outlines])
    high = np.array([o.max(0) for o in outlines])
    box = np.concatenate([(low + high) / 2, np.maximum((high - low) / 2, 0.5)], 1)
    return _Patches(outlines, np.array(part, np.uint16), box.astype(np.float32), np.array(rgb, np.float32), np.array(style, np.float32))


def _draw(scene: Scene, size_hw: tuple[int, int]) -> tuple[np.ndarray, _Patches]:
    """(H * k, W * k) uint16 patch numbers, back to front."""
    k = _samples_per_pixel(size_hw)
    patches = _patch_tables(scene, size_hw)
    samples = np.zeros((size_hw[0] * k, size_hw[1] * k), np.uint16)
    for number, outline in enumerate(patches.outlines):
        fixed = np.rint((outline * k - 0.5) * (1 << SHIFT)).astype(np.int32)
        cv2.fillPoly(samples, [fixed], number, shift=SHIFT)
    return samples, patches


def _resolve(samples: np.ndarray, part_of_patch: np.ndarray, size_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The part map (H, W), and the (H, W) bool map of pixels whose samples see more than one patch."""
    height, width = size_hw
    k = samples.shape[0] // height
    centre = samples[k // 2 :: k, k // 2 :: k]
    mixed = np.zeros((height, width), bool)
    for i in range(k):
        for j in range(k):
            mixed |= samples[i::k, j::k] != centre
    part_map = part_of_patch[centre]
    rows, columns = np.nonzero(mixed)
    seen = part_of_patch[_block(samples, k, rows, columns)]
    best, winner = np.zeros(len(rows), np.int32), part_map[rows, columns]
    for candidate in seen.T:
        votes = (seen == candidate[:, None]).sum(1, dtype=np.int32)
        better = votes > best
        best[better], winner[better] = votes[better], candidate[better]
    part_map[rows, columns] = winner
    return part_map, mixed


def _block(samples: np.ndarray, k: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(n, k * k) samples of the named pixels."""
    blocks = samples.reshape(samples.shape[0] // k, k, samples.shape[1] // k, k)
    return blocks[rows, :, columns, :].reshape(len(rows), k * k)


@dataclass(frozen=True, eq=False)
class _Fields:
    """(H, W) float32 maps that styles refer to."""

    grain: np.ndarray
    streak: np.ndarray
    shadow: np.ndarray
    glow: np.ndarray


def _paint(scene: Scene, samples: np.ndarray, mixed: np.ndarray, patches: _Patches, size_hw: tuple[int, int]) -> np.ndarray:
    height, width = size_hw
    k = samples.shape[0] // height
    fields = _fields(scene, size_hw)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    flat = _shade(scene, patches, samples[k // 2 :: k, k // 2 :: k], xs, ys, fields)
    rows, columns = np.nonzero(mixed)
    at = _Fields(*(field[rows, columns][:, None] for field in (fields.grain, fields.streak, fields.shadow, fields.glow)))
    x, y = columns.astype(np.float32)[:, None], rows.astype(np.float32)[:, None]
    flat[rows, columns] = _shade(scene, patches, _block(samples, k, rows, columns), x, y, at).mean(1)
    return np.clip(flat + 0.5, 0, 255).astype(np.uint8)


def _shade(scene: Scene, patches: _Patches, ids: np.ndarray, x: np.ndarray, y: np.ndarray, fields: _Fields) -> np.ndarray:
    """Colours (..., 3) float32 in 0..255 of patches ``ids`` (...) at pixels x, y that broadcast to them."""
    box, style = patches.box[ids], patches.style[ids]
    u = np.clip((x - box[..., 0]) / box[..., 2], -1.2, 1.2)
    v = np.clip((y - box[..., 1]) / box[..., 3], -1.2, 1.2)
    light_u, light_v = scene.light.direction
    facing = u * light_u + v * light_v
    off_centre = (u - 0.4 * light_u) ** 2 + (v - 0.4 * light_v) ** 2
    light = 1.0 + style[..., 0] * facing + style[..., 1] * (0.35 - 0.6 * off_centre)
    light *= 1.0 + style[..., 2] * fields.grain + style[..., 3] * fields.streak
    top, bottom = patches.rgb[ids, 0], patches.rgb[ids, 1]
    colour = top + (bottom - top) * np.clip(0.5 + 0.5 * v, 0, 1)[..., None]
    colour *= light[..., None]
    colour += (np.array(scene.light.shadow_rgb, np.float32) - colour) * (style[..., 4] * fields.shadow)[..., None]
    colour += (np.array(scene.light.halo_rgb, np.float32) - colour) * (style[..., 5] * fields.glow)[..., None]
    return np.minimum(colour, 255.0)


def _fields(scene: Scene, size_hw: tuple[int, int]) -> _Fields:
    dice = Dice(scene.seed, TEXTURE_STREAM)
    fine = _texture(scene, dice.noise(160, 160), size_hw, (1.0, 1.0))
    coarse = _texture(scene, dice.noise(40, 40), size_hw, (1.0, 1.0))
    streak = _texture(scene, dice.noise(110, 22), size_hw, (1.0, 1.0))
    return _Fields(0.6 * fine + 0.55 * coarse, streak, _shadows(scene, size_hw), _halo(scene, size_hw))


def _texture(scene: Scene, noise: np.ndarray, size_hw: tuple[int, int], tiles: tuple[float, float]) -> np.ndarray:
    """A tile of noise stretched over the frame, moving with the camera and repeating beyond its edges."""
    height, width = size_hw
    rows, columns = noise.shape
    sx, sy = columns / width, rows / height
    ox, oy = scene.camera_uv[0] * columns, scene.camera_uv[1] * rows
    from_picture = np.array([[sx, 0, ox], [0, sy, oy]], np.float32)
    return cv2.warpAffine(noise, from_picture, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_WRAP)


def _halo(scene: Scene, size_hw: tuple[int, int]) -> np.ndarray:
    height, width = size_hw
    short = min(height, width)
    cx, cy = scene.light.sun_uv[0] * width, scene.light.sun_uv[1] * height
    dx2 = ((np.arange(width, dtype=np.float32) + 0.5 - cx) / (0.3 * short)) ** 2
    dy2 = ((np.arange(height, dtype=np.float32) + 0.5 - cy) / (0.3 * short)) ** 2
    return scene.light.halo / (1.0 + 1.6 * (dx2[None, :] + dy2[:, None]))


def _shadows(scene: Scene, size_hw: tuple[int, int]) -> np.ndarray:
    """Soft shadows that standing things cast away from the light, (H, W) float32 in [0, 0.5]."""
    height, width = size_hw
    buffer = np.zeros((height, width), np.uint8)
    lean = -1.1 * scene.light.direction[0]
    for body in scene.things:
        if not body.support:
            continue
        points = _to_pixels(body, np.concatenate([patch.outline for patch in body.patches]), scene, size_hw)
        cuts = np.cumsum([len(patch.outline) for patch in body.patches])[:-1]
        foot = _to_pixels(body, np.zeros((1, 2)), scene, size_hw)[0, 1]
        rise = foot - points[:, 1]
        cast = np.stack([points[:, 0] + lean * rise, foot - 0.28 * rise], 1)
        for outline in np.split(cast, cuts):
            cv2.fillPoly(buffer, [np.rint((outline - 0.5) * (1 << SHIFT)).astype(np.int32)], 150, cv2.LINE_AA, SHIFT)
    sigma = 0.010 * min(height, width)
    return cv2.GaussianBlur(buffer, (0, 0), sigma).astype(np.float32) * (0.55 / 255.0)
