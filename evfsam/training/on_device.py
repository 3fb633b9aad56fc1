"""Batches drawn where they are learned from: the scenes lie on the GPU, and a step is one CUDA graph.

The models are small, so a GPU waits for the processor, which picks scenes, sends them, and launches thousands of
kernels a step. Here a step has the same shapes every time and asks the processor for nothing, so that it can be
captured once and replayed. What it learns from is what :meth:`JointStage.batch` draws, but for three things: pictures
are in other light or worse, and phrases in other words, once and for all, not anew each time; so many things a picture
are clicked on, boxed and corrected, not so many on average; and where an answer is surest is found without OpenCV.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from evfsam.processing.inputs import encoder_pixels, segmenter_pixels
from evfsam.processing.text import PAD_ID, SEMANTIC_PREFIX
from evfsam.training.config import StageConfig
from evfsam.training.loop import LOG_EVERY, SAVE_EVERY, open_batches, report, schedule
from evfsam.training.phrases import PhraseReader, WordBatch
from evfsam.training.sampling import Pointing, generator, wholes_and_parts
from evfsam.training.stages import ASKED_AGAIN, JointBatch, JointStage
from evfsam.training.variety import vary_phrase, vary_picture
from evfsam.types import PixelSpec

PHRASES, TARGETS = 48, 96  # kept of a scene, at most; few have as many
LONGEST = 23  # tokens of a phrase: longer ones, about none, are left out
SCENES_A_CHUNK = 25
# (how many of a picture's targets, clicks each, by a box as well, corrections then): six in all. A part always gets a
# box, as in :func:`~evfsam.training.sampling.sample_pointing`, so about half of those boxed are parts.
POINTED = ((2, 0, True, 0), (1, 2, True, 2), (1, 1, False, 4), (1, 2, False, 0), (1, 3, False, 0))
CORRECTIONS = 1  # of words, after the first click
PARTS_OF_BOXED = 0.52
WARMED_BY = 3  # steps before a capture, in which libraries choose their kernels
AHEAD = 3  # steps that the processor may be ahead of the GPU


class SceneStore:
    """All of a reader's scenes on one device, as tensors by name.

    ``segmenter``, ``encoder``: uint8 (N, S, S, 3) and (N, n, n, 3), both copies of each picture. ``part_map``: uint8
    (N, S, S), of the segmenter's; ``token_map``: uint8 (N, n, n), of the encoder's. ``token_ids``: int16
    (N, PHRASES, LONGEST). ``phrase_parts``, ``target_parts``: uint8 (N, PHRASES or TARGETS, 256), 1 for each part
    that is meant. ``one_thing``: bool (N, PHRASES). ``phrase_until``, ``boxed_until``, ``clicked_until``: float32
    (N, PHRASES or TARGETS), cumulative probabilities of being asked about.
    """

    def __init__(self, reader: PhraseReader, config: StageConfig, seed: int, device: torch.device, workers: int):
        scenes = _Chunks(reader, config, seed)
        # As many processes as for batches, for the same reasons.
        chunks = open_batches(scenes, workers)
        self.tensors: dict[str, torch.Tensor] = {}
        filled = 0
        for chunk in tqdm(chunks, "scenes to the device", len(scenes)):
            for name, part in chunk.items():
                if name not in self.tensors:
                    shape = (len(reader.cache), *part.shape[1:])
                    self.tensors[name] = torch.empty(shape, dtype=part.dtype, device=device)
                self.tensors[name][filled : filled + len(part)] = part
            filled += len(part)

    def __len__(self) -> int:
        return len(self.tensors["segmenter"])

    def read(self, scenes: torch.Tensor) -> dict[str, torch.Tensor]:
        """The rows of these scenes, int64 (B,), on the device."""
        return {name: tensor.index_select(0, scenes) for name, tensor in self.tensors.items()}


class _Chunks:
    """The reader's scenes as a store keeps them, some at a time; pure functions of (seed, scene)."""

    def __init__(self, reader: PhraseReader, config: StageConfig, seed: int):
        self.reader, self.config, self.seed = reader, config, seed

    def __len__(self) -> int:
        return -(-len(self.reader.cache) // SCENES_A_CHUNK)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        chunk = range(i * SCENES_A_CHUNK, min((i + 1) * SCENES_A_CHUNK, len(self.reader.cache)))
        rows = [self._row(scene) for scene in chunk]
        return {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}

    def _row(self, scene: int) -> dict[str, np.ndarray]:
        cache, spec, rng = self.reader.cache, self.reader.spec, generator(self.seed, "on device", scene)
        picture = cache.image(scene)
        if rng.random() < self.reader.variety:
            picture = vary_picture(picture, rng)
        square = _resized(cache.square_map(scene), spec.image_size)
        return {
            "segmenter": _segmenter_copy(picture, spec),
            "encoder": _rounded((encoder_pixels(picture, spec.encoder_image_size) + 1) * 127.5),
            "part_map": square,
            "token_map": _resized(cache.part_map(scene), spec.encoder_image_size),
            **self._phrases(scene, rng),
            **self._targets(scene, square, rng),
        }

    def _phrases(self, scene: int, rng) -> dict[str, np.ndarray]:
        token_ids = np.full((PHRASES, LONGEST), PAD_ID, np.int16)
        parts, one_thing, kinds = np.zeros((PHRASES, 256), np.uint8), np.zeros(PHRASES, bool), []
        expressions = self.reader.cache.expressions[scene]
        for i in rng.permutation(len(expressions)):
            expression = expressions[i]
            varied = rng.random() < self.reader.variety / 2
            text = vary_phrase(expression, rng) if varied else expression.text
            ids, row = self.reader.token_ids(text), len(kinds)
            if len(ids) > LONGEST or row == PHRASES:
                continue
            token_ids[row, : len(ids)] = ids
            parts[row, list(expression.part_ids)] = 1
            one_thing[row] = not text.startswith(SEMANTIC_PREFIX)
            kinds.append(expression.kind)
        shares = np.array([self.config.shares[kind] / kinds.count(kind) for kind in kinds])
        until = _cumulative(shares, PHRASES)
        return {"token_ids": token_ids, "phrase_parts": parts, "one_thing": one_thing, "phrase_until": until}

    def _targets(self, scene: int, square: np.ndarray, rng) -> dict[str, np.ndarray]:
        """``square``: uint8 (S, S), of the segmenter's square."""
        both = wholes_and_parts(square, self.reader.cache.things[scene])
        wholes, parts = ([of[i] for i in rng.permutation(len(of))[: TARGETS // 2]] for of in both)
        target_parts = np.zeros((TARGETS, 256), np.uint8)
        for row, ids in enumerate([*wholes, *parts]):
            target_parts[row, list(ids)] = 1
        share = PARTS_OF_BOXED if parts else 0.0
        boxed = np.r_[np.full(len(wholes), (1 - share) / len(wholes)), np.full(len(parts), share / max(1, len(parts)))]
        clicked = np.full(len(wholes), 1 / len(wholes))
        return {
            "target_parts": target_parts,
            "boxed_until": _cumulative(boxed, TARGETS),
            "clicked_until": _cumulative(clicked, TARGETS),
        }


def _resized(part_map: np.ndarray, size: int) -> np.ndarray:
    """A part map (H, W) on a square, each cell the part in its middle."""
    rows, columns = (((np.arange(size) + 0.5) * side / size).astype(int) for side in part_map.shape)
    return np.ascontiguousarray(part_map[rows[:, None], columns[None]])


def _rounded(pixels: torch.Tensor) -> np.ndarray:
    """(1, 3, H, W), about 0..255 -> uint8 (H, W, 3)."""
    return pixels[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()


def _segmenter_copy(image: np.ndarray, spec: PixelSpec) -> np.ndarray:
    """uint8 (S, S, 3); what pads it has the mean colour, which normalising brings to about 0."""
    pixels, _ = segmenter_pixels(image, spec)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    return _rounded(pixels * std + mean)


def _cumulative(shares: np.ndarray, length: int) -> np.ndarray:
    """float32 (length,) for searchsorted: the last of the shares, and all beyond it, above 1."""
    until = np.full(length, 2.0, np.float32)
    until[: len(shares) - 1] = np.cumsum(shares / shares.sum())[:-1]
    return until


class DeviceSampler:
    """Batches of a stage, drawn on the device of its scenes from torch's own generator; always of the same shapes."""

    def __init__(self, store: SceneStore, spec: PixelSpec, tokens: int, config: StageConfig):
        self.store, self.spec, self.config, self.tokens = store, spec, config, tokens
        self.size, self.grid = spec.image_size, spec.image_size // 4
        device = store.tensors["segmenter"].device
        self.mean, self.std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (spec.mean, spec.std))
        self.each = torch.arange(config.scenes, device=device)
        self.rows = self.each.repeat_interleave(config.prompts)

    @torch.no_grad()
    def batch(self) -> JointBatch:
        """As :meth:`JointStage.batch`, on the device; its ``step`` is always 0, for nothing in it follows from one."""
        scenes = (self._random(self.config.scenes) * len(self.store)).long()
        of = self.store.read(scenes)
        which = self._pick(of["phrase_until"], self.config.prompts)
        here = self.each[:, None]
        parts = of["phrase_parts"][here, which]
        coverage = self._coverage(of["part_map"], parts, self.grid)
        words = WordBatch(
            scenes,
            self.rows,
            of["encoder"].permute(0, 3, 1, 2).float() / 127.5 - 1,
            self._segmenter_pixels(of["segmenter"]),
            of["token_ids"][here, which].flatten(0, 1).long(),
            of["one_thing"][here, which].flatten(),
            coverage,
            self._coverage(of["token_map"], parts, self.tokens),
        )
        present = (coverage.flatten(1).amax(1) > 0.95).float()
        again = (present + self._random(len(present))).topk(max(1, len(present) // ASKED_AGAIN)).indices
        return JointBatch(0, words, again, CORRECTIONS, [self._pointing(of, *how) for how in POINTED], [])

    @torch.no_grad()
    def corrections(self, coverage: torch.Tensor, mask_logits: torch.Tensor):
        """As those of :class:`~evfsam.training.sampling.Clicker`."""
        wanted, answered = coverage.flatten(1) > 0.5, mask_logits.flatten(1) > 0
        wrong = wanted != answered
        all_right = ~wrong.any(1, keepdim=True)
        cells = self._choose(torch.where(all_right, _highest(coverage.flatten(1)), wrong))
        labels = wanted.gather(1, cells[:, None]) | all_right
        return self._points(cells[:, None]), labels.long()

    @torch.no_grad()
    def second_clicks(self, one_thing: torch.Tensor, coverage: torch.Tensor, mask_logits: torch.Tensor):
        """As those of :class:`~evfsam.training.sampling.Clicker`."""
        points, labels = self.corrections(coverage, mask_logits)
        own = one_thing & (self._random(len(one_thing)) < 0.5)
        points = torch.where(own.view(-1, 1, 1), self._deepest(mask_logits), points)
        return points, torch.where(own.view(-1, 1), 1, labels)

    def _segmenter_pixels(self, pictures: torch.Tensor) -> torch.Tensor:
        pixels = pictures.permute(0, 3, 1, 2).float()
        grey = (self._random(len(pixels)) < self.config.grey).view(-1, 1, 1, 1)
        return (torch.where(grey, pixels.mean(1, keepdim=True), pixels) - self.mean) / self.std

    def _pointing(
        self, of: dict[str, torch.Tensor], count: int, clicks: int, boxed: bool, corrections: int
    ) -> Pointing:
        which = self._pick(of["boxed_until" if boxed else "clicked_until"], count)
        coverage = self._coverage(of["part_map"], of["target_parts"][self.each[:, None], which], self.grid)
        points = self._clicks(coverage, clicks) if clicks else None
        boxes = self._boxes(coverage) if boxed else None
        return Pointing(self.each.repeat_interleave(count), coverage, points, boxes, corrections)

    def _random(self, *shape: int) -> torch.Tensor:
        return torch.rand(shape, device=self.each.device)

    def _pick(self, until: torch.Tensor, count: int) -> torch.Tensor:
        """(B, N) cumulative probabilities -> int64 (B, count)."""
        return torch.searchsorted(until, self._random(len(until), count))

    def _choose(self, pool: torch.Tensor) -> torch.Tensor:
        """bool (P, cells) -> for each row one of the cells that are set, int64 (P,)."""
        return (pool.float() + self._random(*pool.shape)).argmax(1)

    def _coverage(self, part_map: torch.Tensor, parts: torch.Tensor, grid: int) -> torch.Tensor:
        """uint8 (B, S, S), (B, n, 256) -> float32 (B n, grid, grid), as :func:`coverage_of`."""
        count, cells = parts.shape[1], part_map.flatten(1).long()
        covered = parts.gather(2, cells[:, None].expand(-1, count, -1)).flatten(0, 1)
        covered = covered.view(-1, 1, *part_map.shape[1:])
        return F.adaptive_avg_pool2d(covered.half() if covered.is_cuda else covered.float(), grid)[:, 0].float()

    def _points(self, cells: torch.Tensor) -> torch.Tensor:
        """int64 (P, N) cells -> float32 (P, N, 2), somewhere in each, in pixels."""
        xy = torch.stack([cells % self.grid, cells // self.grid], -1)
        return (xy + 0.2 + 0.6 * self._random(*xy.shape)) * (self.size / self.grid)

    def _clicks(self, coverage: torch.Tensor, count: int):
        """As :func:`~evfsam.training.sampling.sample_clicks`."""
        flat = coverage.flatten(1)
        inside, outside = (flat > 0.95) | _highest(flat), flat < 0.05
        nothing_outside = ~outside.any(1)
        cells, labels = [self._choose(inside)], [torch.ones_like(nothing_outside)]
        for _ in range(count - 1):
            labels.append((self._random(len(flat)) < 0.5) | nothing_outside)
            cells.append(torch.where(labels[-1], self._choose(inside), self._choose(outside)))
        return self._points(torch.stack(cells, 1)), torch.stack(labels, 1).long()

    def _boxes(self, coverage: torch.Tensor) -> torch.Tensor:
        """As :func:`~evfsam.training.sampling.boxes_of`."""
        mask = (coverage > 0.5) | _highest(coverage.flatten(1)).view_as(coverage)
        at = torch.arange(self.grid, device=mask.device)
        ends = []
        for axis in (1, 2):  # over rows, so along x; over columns
            line = mask.any(axis)
            ends.append((torch.where(line, at, self.grid).amin(1), torch.where(line, at, -1).amax(1) + 1))
        (left, right), (top, bottom) = ends
        boxes = torch.stack([left, top, right, bottom], 1).float()
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        noise = 0.05 * torch.randn(boxes.shape, device=boxes.device)
        return (boxes + sides * noise).clamp(0, self.grid) * (self.size / self.grid)

    def _deepest(self, mask_logits: torch.Tensor) -> torch.Tensor:
        """As :func:`~evfsam.processing.masks.surest_points`, by growing and shrinking: float32 (P, 1, 2)."""
        logits = mask_logits[:, None]
        smooth = logits
        for _ in range(2):
            smooth = F.avg_pool2d(smooth, 3, 1, 1)
        surest, mask = smooth.flatten(1).argmax(1), (logits > 0).float()
        cells = torch.arange(self.grid**2, device=surest.device)
        piece = (cells == surest[:, None]).float().view_as(logits)
        for _ in range(self.grid // 2):
            piece = F.max_pool2d(piece, 3, 1, 1) * mask
        depth, left = piece, piece
        for _ in range(self.grid // 6):
            left = -F.max_pool2d(-F.pad(left, (1, 1, 1, 1)), 3, 1)
            depth = depth + left
        inside = mask.flatten(1).gather(1, surest[:, None])[:, 0] > 0
        cell = torch.where(inside, depth.flatten(1).argmax(1), surest)
        xy = torch.stack([cell % self.grid, cell // self.grid], -1)
        return (xy[:, None] + 0.5) * (self.size / self.grid)


def _highest(flat: torch.Tensor) -> torch.Tensor:
    return flat == flat.amax(1, keepdim=True)


class _LookedUp(nn.Module):
    """An embedding as a matrix product: a graph holds its backward pass, whatever is looked up."""

    def __init__(self, table: nn.Embedding):
        super().__init__()
        self.weight = table.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        with torch.autocast(ids.device.type, enabled=False):
            return (ids[..., None] == torch.arange(len(self.weight), device=ids.device)).float() @ self.weight


def train_on_device(
    stage: JointStage, config: StageConfig, folder: Path, accelerator: Accelerator, workers: int = 0
) -> None:
    """As :func:`evfsam.training.loop.train`, for a stage whose image encoder learns, by one process on one device.

    Without a GPU every step is run by itself, to the same end and slowly.
    """
    device, name = accelerator.device, stage.name
    on_gpu = device.type == "cuda"
    stage.to(device)
    beit3 = stage.model.mm_extractor.beit3
    table, beit3.text_embed = beit3.text_embed, _LookedUp(beit3.text_embed)
    seed = stage.recipe.seed
    sampler = DeviceSampler(
        SceneStore(stage.reader, config, seed, device, workers), stage.reader.spec, stage.reader.tokens, config
    )
    stage.clicker = lambda _: sampler
    groups = [{"lr": config.learning_rate, **group} for group in stage.parameter_groups()]
    tops = [group["lr"] for group in groups]
    rates = [torch.zeros((), device=device) for _ in groups]  # as tensors, a graph reads them anew
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
    optimizer = torch.optim.AdamW(
        groups, weight_decay=config.weight_decay, betas=(0.9, 0.98), fused=on_gpu, capturable=on_gpu
    )
    parameters = [p for group in groups for p in group["params"]]
    sums: dict[str, torch.Tensor] = {}

    def once() -> None:
        half = accelerator.mixed_precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, enabled=half, cache_enabled=False):
            losses = stage(sampler.batch())
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        for key, value in losses.items():
            sums.setdefault(key, torch.zeros((), device=device)).add_(value.detach())

    stage.train()
    replay = _prepared(once, optimizer, on_gpu)  # at rates of zero: it moves no weight
    state_file, start = folder / name / "on_device.pt", 0
    if state_file.exists():
        start = _restore(state_file, stage, optimizer, parameters)
    else:
        for state in optimizer.state.values():
            for moment in state.values():
                moment.zero_()
    _clear(sums)
    bar, running, since = tqdm(total=config.steps, initial=start, desc=name), [], time.monotonic()
    for step in range(start, config.steps):
        if step == start or step % SAVE_EVERY == 0:  # so that a resumed run draws what an unbroken one does
            torch.manual_seed(int(generator(seed, f"{name} on device", step).integers(2**31)))
        for rate, top in zip(rates, tops, strict=True):
            rate.fill_(top * schedule(config, step))
        replay()
        if on_gpu:
            running.append(torch.cuda.Event())
            running[-1].record()
            if len(running) > AHEAD:
                running.pop(0).synchronize()
        bar.update()
        if (step + 1) % LOG_EVERY == 0 or step + 1 == config.steps:
            seconds, since = time.monotonic() - since, time.monotonic()
            steps = step + 1 - max(start, step // LOG_EVERY * LOG_EVERY)
            means = {key: value.item() / steps for key, value in sums.items()}
            bar.set_postfix(report(folder, stage, step + 1, steps, seconds, 1, rates[0].item(), means))
            _clear(sums)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == config.steps:
            _save(state_file, step + 1, stage, optimizer, parameters)
    bar.close()
    beit3.text_embed = table
    del stage.clicker


def _prepared(once: Callable[[], None], optimizer: torch.optim.Optimizer, on_gpu: bool) -> Callable[[], None]:
    """What runs a step; the optimizer's state is there afterwards."""

    def step() -> None:
        optimizer.zero_grad()
        once()

    if not on_gpu:
        step()
        return step
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARMED_BY):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    optimizer.zero_grad()  # a graph makes gradients of its own, and overwrites them
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        once()
    return graph.replay


def _clear(sums: dict[str, torch.Tensor]) -> None:
    for value in sums.values():
        value.zero_()


def _save(file: Path, step: int, stage: nn.Module, optimizer, parameters: list[nn.Parameter]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    moments = [dict(optimizer.state[parameter]) for parameter in parameters]
    whole = file.with_suffix(".part")
    torch.save({"step": step, "stage": stage.state_dict(), "moments": moments}, whole)
    whole.replace(file)


def _restore(file: Path, stage: nn.Module, optimizer, parameters: list[nn.Parameter]) -> int:
    """Every tensor keeps its place, for a graph knows it by that. Returns the step to go on from."""
    saved = torch.load(file, map_location="cpu", weights_only=True)
    stage.load_state_dict(saved["stage"])
    for parameter, moments in zip(parameters, saved["moments"], strict=True):
        for name, moment in moments.items():
            optimizer.state[parameter][name].copy_(moment)
    return saved["step"]
