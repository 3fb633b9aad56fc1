"""The questions of the paper's tables 1, 3, 4, 5 and 7, asked of tiny models on drawn scenes.

    python -m benchmarks.paper_questions --out runs/paper-questions --plot docs/paper-questions.svg

Every row of ``ROWS`` is trained with each seed, for the same number of steps on the same scenes, and scored on the same
held-out scenes. All rows start alike. SAM-2's image encoder, frozen, and its decoder are those of evf-sam2-tiny. The
encoder is every other layer of its BEIT-3, as DistilBERT starts (arXiv 1910.01108). It reads smaller images, and first
learned again which image tokens a prompt means, with early fusion. The projector starts at random.

A finished run is one line in ``results.jsonl`` and is not repeated. Seeds come one after the other, so a stopped
command has whole tables of the first ones. Two commands with other ``--seeds`` may share a folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed

from evfsam.checkpoints.fetch import fetch
from evfsam.checkpoints.load import build_and_fill
from evfsam.checkpoints.registry import find
from evfsam.checkpoints.tokenizer import load_tokenizer
from evfsam.data.sample import Dataset, Sample
from evfsam.data.scenes import SEEDS
from evfsam.data.scenes.dataset import SceneDataset
from evfsam.data.scenes.language import REFERRING
from evfsam.evaluation.metrics import MaskMetrics, count_pixels
from evfsam.modeling.build import build_model
from evfsam.modeling.config import EvfConfig
from evfsam.modeling.evf_sam import EvfSam
from evfsam.processing.inputs import prepare
from evfsam.processing.masks import restore
from evfsam.processing.text import SEMANTIC_PREFIX, tokenize
from evfsam.training.cache import CachedFeatures, open_features, open_scenes
from evfsam.training.config import KIND_SHARES, Stage
from evfsam.training.grounding import GroundingHeads
from evfsam.training.init import initialise, resize_positions
from evfsam.training.loop import train
from evfsam.training.phrase_stage import PhraseStage
from evfsam.training.run import make_accelerator
from evfsam.training.sampler import Mixture, Sampler
from evfsam.types import Geometry, ImageFeatures

BASE = "evf-sam2-tiny"
SCENE_SIZE, IMAGE_SIZE = 192, 160  # pixels: of a scene, of the segmenter's copy
ENCODER_SIZE, ENCODER_LAYERS = 128, 4  # pixels of its copy; every other of seven
SCORES = ("referring", "place", "semantic")
PLACE_KINDS = ("place", "relation")  # where the same words may mean another thing in another image
ALL = ("encoder", "projector", "prompt_encoder", "decoder")

PRESENT = KIND_SHARES | {"absent": 0.0}
REFERRING_ONLY = {kind: share * (kind in REFERRING) for kind, share in KIND_SHARES.items()}

PRETRAINING = Stage(
    name="pretraining",
    kind="phrases",
    trains=("encoder", "heads"),
    losses={"grounding": 1.0},
    steps=600,
    learning_rate=5e-4,
    images=4,
    prompts=4,
    shares=PRESENT,
    warmup=50,
)
TRAINING = Stage(
    name="training",
    kind="phrases",
    trains=ALL,
    losses={"masks": 1.0},
    mask_losses={"bce": 1.0, "dice": 1.0},
    steps=160,
    learning_rate=5e-4,
    rates={"projector": 3.0, "decoder": 0.5, "prompt_encoder": 0.5},
    images=4,
    prompts=4,
    shares=PRESENT,
    warmup=20,
)


@dataclass(frozen=True)
class Row:
    """One configuration. The first two fields tell where it stands; the others, what differs from EVF-SAM as it is.

    Attributes:
        tables: of the paper.
        name: in the page's tables.
        paper: cIoU of the paper in that row, in per cent: RefCOCO testA; None where it has none that compares.
        encoder: fields of the encoder's config.
        stage: fields of the training stage.
        token: whether "[semantic] " stands before categories and parts.
    """

    tables: str
    name: str
    paper: float | None = None
    encoder: Mapping[str, str] = field(default_factory=dict)
    stage: Mapping[str, object] = field(default_factory=dict)
    token: bool = True


ROWS = (
    Row("1, 3-5, 7", "early fusion, image [CLS], all learns", 83.7),
    Row("3", "early fusion in the first half of the layers", 82.2, {"fusion": "half"}),
    Row("3", "late fusion", 70.2, {"fusion": "late", "prompt": "both_cls"}),
    Row("1, 3", "text only", 65.1, {"fusion": "text", "prompt": "text_cls"}),
    Row("5", "text [CLS]", 83.5, {"prompt": "text_cls"}),
    Row("5", "mean of the image tokens", 83.5, {"prompt": "image_mean"}),
    Row("5", "both [CLS]", 83.2, {"prompt": "both_cls"}),
    Row("4", "encoder frozen", 21.2, stage={"trains": ALL[1:]}),
    Row("4", "decoder frozen", 82.9, stage={"trains": ALL[:2]}),
    Row("7", "without the [semantic] token", None, token=False),
    Row("7", "referring data only", None, stage={"shares": REFERRING_ONLY}),
)


@dataclass(frozen=True)
class Plain:
    """Samples whose prompts have no "[semantic] " before them."""

    dataset: Dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        plain = tuple(replace(prompt, text=prompt.text.removeprefix(SEMANTIC_PREFIX)) for prompt in sample.prompts)
        return replace(sample, prompts=plain)


@dataclass(frozen=True)
class Asked:
    """One held-out scene: what the model reads, its prompts, and the groups in :data:`SCORES` that each counts for."""

    features: ImageFeatures
    encoder_pixels: torch.Tensor
    geometry: Geometry
    texts: list[str]
    masks: list[np.ndarray]
    groups: list[tuple[str, ...]]


class World:
    """What all runs share: scenes, features of the frozen image encoder, and the state that each starts from.

    Args:
        folder: where scenes, features and the encoder's pretraining are kept.
        scenes, held_out: how many to train on, and to score on.
        pretraining: steps.
    """

    def __init__(self, folder: Path, scenes: int, held_out: int, pretraining: int):
        base_folder = fetch(find(BASE))
        self.tokenizer = load_tokenizer(base_folder)
        base = build_and_fill(base_folder)
        encoder = replace(base.config.encoder, image_size=ENCODER_SIZE, layers=ENCODER_LAYERS)
        segmenter = replace(base.config.segmenter, image_size=IMAGE_SIZE, memory=False)
        self.config = EvfConfig(encoder, segmenter, multimask=False)
        self.accelerator = make_accelerator("cpu")
        self.scenes = open_scenes(folder / "scenes", 0, scenes, SCENE_SIZE, workers=1)
        set_seed(0)
        model = build_model(self.config)
        initialise(model)
        model.load_state_dict(every_other_layer(resize_positions(base.state_dict(), encoder)), strict=False)
        self.features: CachedFeatures = open_features(folder / "features", model.eval(), self._mixture(True), BASE)
        stage = replace(PRETRAINING, steps=pretraining)
        module = PhraseStage(model, stage, self._sampler(True), 0, GroundingHeads(encoder))
        train(module, folder, self.accelerator)
        self.start = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        self.held_out = list(_asked(model, SEEDS["test"][:held_out]))

    def _mixture(self, token: bool) -> Mixture:
        return Mixture((self.scenes if token else Plain(self.scenes),), (False,))

    def _sampler(self, token: bool) -> Sampler:
        return Sampler(self._mixture(token), self.config, self.tokenizer)

    def run(self, row: Row, seed: int, steps: int, folder: Path) -> dict[str, float]:
        """Train one row with one seed, and return its scores: mean IoU of each group in :data:`SCORES`, 0..1."""
        set_seed(seed)
        model = build_model(replace(self.config, encoder=replace(self.config.encoder, **row.encoder)))
        initialise(model)  # the projector, by this seed
        taken = {k: v for k, v in self.start.items() if not k.startswith("text_hidden_fcs.")}
        model.load_state_dict(taken, strict=False)
        folder.mkdir(exist_ok=True)
        stage = replace(TRAINING, steps=steps, **row.stage)
        train(PhraseStage(model, stage, self._sampler(row.token), seed, None, self.features), folder, self.accelerator)
        shutil.rmtree(folder)  # what resumes this run; its line of results stays
        return self.score(model.eval(), row.token)

    @torch.inference_mode()
    def score(self, model: EvfSam, token: bool) -> dict[str, float]:
        """Mean IoU of each group over the held-out scenes."""
        metrics = {name: MaskMetrics() for name in SCORES}
        for asked in self.held_out:
            texts = asked.texts if token else [text.removeprefix(SEMANTIC_PREFIX) for text in asked.texts]
            read = tokenize(self.tokenizer, texts, model.config.encoder.longest_text)
            tokens = model.encode_prompt(asked.encoder_pixels, read.token_ids, read.padding_mask)
            logits = restore(model.decode(asked.features, tokens).low_res_masks, asked.geometry)
            for found, mask, groups in zip(logits, asked.masks, asked.groups, strict=True):
                for group in groups:
                    metrics[group].update(count_pixels((found > 0).numpy(), mask))
        return {name: metric.compute().giou for name, metric in metrics.items()}


@torch.inference_mode()
def _asked(model: EvfSam, seeds: range) -> Iterator[Asked]:
    """Held-out scenes with six referring prompts and three others of each, or fewer."""
    scenes = SceneDataset(seeds, (SCENE_SIZE, SCENE_SIZE))
    for seed, sample in zip(seeds, (scenes[i] for i in range(len(scenes))), strict=True):
        rng, present = np.random.default_rng(seed), [prompt for prompt in sample.prompts if prompt.mask.any()]
        referring = [prompt for prompt in present if prompt.kind.startswith("referring")]
        others = [prompt for prompt in present if not prompt.kind.startswith("referring")]
        some = [pool[i] for pool, most in ((referring, 6), (others, 3)) for i in rng.permutation(len(pool))[:most]]
        inputs = prepare(sample.image, model.config.pixels)
        groups = []
        for prompt in some:
            family, _, kind = prompt.kind.partition("/")
            groups.append((family, "place")[: 1 + (kind in PLACE_KINDS)] if family == "referring" else ("semantic",))
        texts, masks = [prompt.text for prompt in some], [prompt.mask for prompt in some]
        features = model.encode_image(inputs.segmenter_pixels)
        yield Asked(features, inputs.encoder_pixels, inputs.geometry, texts, masks, groups)


def every_other_layer(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A model's state with the layers 0, 2, 4 ... of its BEIT-3."""
    marker, kept = "mm_extractor.beit3.encoder.layers.", {}
    for name, tensor in state.items():
        number, _, own = name.removeprefix(marker).partition(".")
        if not name.startswith(marker):
            kept[name] = tensor
        elif int(number) % 2 == 0:
            kept[f"{marker}{int(number) // 2}.{own}"] = tensor
    return kept


def read_results(path: Path) -> dict[tuple[str, int], dict]:
    """Finished runs by name of their row and seed."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {(run["name"], run["seed"]): run for run in map(json.loads, lines)}


def table(runs: Iterable[dict]) -> str:
    """Markdown: of each row mean and standard deviation over its seeds, mean IoU in per cent; the plot has places."""
    runs = list(runs)
    scores = ("referring", "semantic")
    lines = [" | ".join(["what differs", *scores, "paper"]), "|".join(["---"] * (len(scores) + 2))]
    for row in ROWS:
        if own := [run for run in runs if run["name"] == row.name]:
            cells = [_spread([run[score] for run in own]) for score in scores]
            lines.append(" | ".join([f"{row.name} ({row.tables})", *cells, *([str(row.paper)] if row.paper else [])]))
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    spread = f"±{100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.fmean(values):.1f}{spread}"


def plot(runs: Sequence[dict]) -> str:
    """SVG: every run as a dot, each row's mean as a bar, for the scores of referring prompts and of places."""
    shown = {"referring": "all referring prompts", "place": "places and relations"}
    left, width, height = 290, 430, 24
    rows = [row for row in ROWS if any(run["name"] == row.name for run in runs)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 30}" height="{height * len(rows) + 70}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for tick in range(0, 101, 20):
        x = left + width * tick / 100
        parts.append(f'<line x1="{x}" y1="36" x2="{x}" y2="{height * len(rows) + 44}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{height * len(rows) + 60}" text-anchor="middle">{tick}</text>')
    for number, ((score, label), colour) in enumerate(zip(shown.items(), ("#1b6ca8", "#d1711f"), strict=True)):
        parts.append(f'<text x="{left + 225 * number}" y="22" fill="{colour}">{label}, mean IoU in %</text>')
        for at, row in enumerate(rows):
            values = [100 * run[score] for run in runs if run["name"] == row.name]
            y = 44 + at * height + 9 * number
            parts.append(
                f'<rect x="{left}" y="{y - 3}" width="{width * statistics.fmean(values) / 100:.1f}" height="6" '
                f'fill="{colour}" opacity="0.35"/>'
            )
            parts += [f'<circle cx="{left + width * v / 100:.1f}" cy="{y}" r="3" fill="{colour}"/>' for v in values]
    for at, row in enumerate(rows):
        parts.append(f'<text x="{left - 8}" y="{52 + at * height}" text-anchor="end">{row.name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/paper-questions"), help="folder of scenes and results")
    parser.add_argument("--plot", type=Path, help="SVG to write")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--steps", type=int, default=TRAINING.steps)
    parser.add_argument("--pretraining", type=int, default=PRETRAINING.steps, help="steps")
    parser.add_argument("--scenes", type=int, default=1500, help="to train on")
    parser.add_argument("--held-out", type=int, default=120, help="scenes to score on")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    results = args.out / "results.jsonl"
    left = [(row, seed) for seed in args.seeds for row in ROWS if (row.name, seed) not in read_results(results)]
    world = World(args.out, args.scenes, args.held_out, args.pretraining) if left else None
    for row, seed in left:
        since = time.monotonic()
        scores = world.run(row, seed, args.steps, args.out / f"run-{ROWS.index(row)}-{seed}")
        run = {"name": row.name, "seed": seed, "steps": args.steps, **{name: round(v, 4) for name, v in scores.items()}}
        with results.open("a") as file:
            file.write(json.dumps(run | {"seconds": round(time.monotonic() - since)}) + "\n")
    runs = list(read_results(results).values())
    print(table(runs))
    if args.plot:
        args.plot.write_text(plot(runs))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
