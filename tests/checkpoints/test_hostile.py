"""Folders from strangers: whatever is in them, one sentence names it, no code runs, and little is spent on it."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from evfsam.checkpoints import registry
from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.registry import describe_folder, find, list_models
from evfsam.errors import CheckpointError
from evfsam.modeling.config import SEGMENTER_CONFIGS, EvfConfig
from evfsam.modeling.encoders.config import ENCODER_CONFIGS
from evfsam.modeling.fields import RULES
from tests.checkpoints.small import SAM, write_checkpoint

REPOSITORY = Path(__file__).parents[2]
CONFIG, WEIGHTS, PICKLE = "config.json", "model.safetensors", "pytorch_model.bin"
INDEX, PIECES = "model.safetensors.index.json", "sentencepiece.bpe.model"
BIAS = "text_hidden_fcs.0.2.bias"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1796\n"
HTML = b"\n<!DOCTYPE html><html><title>404</title></html>"


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "stranger"
    write_checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def good_sam(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("good sam") / "stranger"
    write_checkpoint(folder, SAM)
    return folder


# Each of these returns a function that breaks a folder.


def put(name: str, content: bytes | str):
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def change(key: str, value):
    """One value of config.json, by a dotted name; ``...`` removes it."""

    def spoil(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        *sections, last = key.split(".")
        place = config
        for section in sections:
            place = place[section]
        place[last] = value
        if value is ...:
            del place[last]
        (folder / CONFIG).write_text(json.dumps(config))

    return spoil


def add_text(text: str):
    """Raw text before the first key of config.json, as no writer of JSON would put it."""
    return lambda folder: (folder / CONFIG).write_text("{" + text + (folder / CONFIG).read_text().strip()[1:])


def reencode(name: str, encoding: str):
    return lambda folder: (folder / name).write_bytes((folder / name).read_text().encode(encoding))


def cut(name: str, size: int):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def folder_instead(name: str):
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return spoil


def pipe_instead(name: str):
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def sparse(name: str, size: int):
    def spoil(folder: Path) -> None:
        with (folder / name).open("wb") as file:
            file.write(b" ")
            file.truncate(size)

    return spoil


def weights(change_state):
    """The same weights after ``change_state(state)``."""

    def spoil(folder: Path) -> None:
        state = load_file(folder / WEIGHTS)
        change_state(state)
        save_file(state, folder / WEIGHTS)

    return spoil


def with_bias(value: float):
    return weights(lambda state: state[BIAS].fill_(value))


def as_dtype(dtype: torch.dtype):
    return weights(lambda state: state.update({BIAS: state[BIAS].to(dtype)}))


def header(entries: dict | bytes, size: int | None = None):
    """A safetensors file of a forged header and 8 bytes."""
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return put(WEIGHTS, struct.pack("<Q", len(text) if size is None else size) + text + bytes(8))


def tensor(shape=(2,), offsets=(0, 8), dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def pickled(content: bytes):
    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        (folder / PICKLE).write_bytes(content)

    return spoil


def saved(make, **options):
    """A pytorch_model.bin that holds what ``make(state)`` returns."""

    def spoil(folder: Path) -> None:
        value = make(load_file(folder / WEIGHTS))
        (folder / WEIGHTS).unlink()
        torch.save(value, folder / PICKLE, **options)

    return spoil


def zipped(change_entries, compression=zipfile.ZIP_STORED):
    """A pytorch_model.bin whose zip entries were changed by ``change_entries(entries)``."""

    def spoil(folder: Path) -> None:
        buffer = io.BytesIO()
        torch.save(load_file(folder / WEIGHTS), buffer)
        (folder / WEIGHTS).unlink()
        with zipfile.ZipFile(buffer) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        change_entries(entries)
        with zipfile.ZipFile(folder / PICKLE, "w", compression) as archive:
            for name, content in entries.items():
                archive.writestr(name, content)

    return spoil


def pickle_of(entries: dict[str, bytes]) -> str:
    return next(name for name in entries if name.endswith("/data.pkl"))


def index(weight_map):
    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder.parent / "secret.safetensors")
        (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))

    return spoil


def two_shards(second: bytes | None):
    """The weights in one shard, and a second shard of a stranger's making."""

    def spoil(folder: Path) -> None:
        index({"a": "model-1.safetensors", "b": "model-2.safetensors"})(folder)
        (folder.parent / "secret.safetensors").rename(folder / "model-1.safetensors")
        shutil.copyfile(folder / "model-1.safetensors", folder / "model-2.safetensors")
        if second is not None:
            (folder / "model-2.safetensors").write_bytes(second)

    return spoil


class RunsCode:
    def __reduce__(self):
        return os.system, ("touch /tmp/evfsam-it-ran",)


CONFIG_ROWS = {
    # values of the encoder
    "layers 1e7": (change("mm_extractor.layers", 10**7), "mm_extractor.layers: 10000000; write a whole number from 1"),
    "layers 0": (change("mm_extractor.layers", 0), "mm_extractor.layers: 0"),
    "layers true": (change("mm_extractor.layers", True), "mm_extractor.layers: True; write a whole number"),
    "layers 1.0": (change("mm_extractor.layers", 1.0), "mm_extractor.layers: 1.0; write a whole number"),
    "layers nan": (change("mm_extractor.layers", float("nan")), "mm_extractor.layers: nan"),
    "layers infinite": (change("mm_extractor.layers", float("inf")), "mm_extractor.layers: inf"),
    "width text": (change("mm_extractor.width", "64"), "mm_extractor.width: '64'; write a whole number from 8"),
    "width negative": (change("mm_extractor.width", -64), "mm_extractor.width: -64"),
    "width null": (change("mm_extractor.width", None), "mm_extractor.width: None"),
    "width list": (change("mm_extractor.width", [64] * 10_000), "mm_extractor.width: (64, 64"),
    "width of 4,000 digits": (change("mm_extractor.width", 10**4_000), "mm_extractor.width: "),
    "width missing": (change("mm_extractor.width", ...), "mm_extractor.width: nothing; write a whole number"),
    "heads 0": (change("mm_extractor.heads", 0), "mm_extractor.heads: 0"),
    "heads 7": (
        change("mm_extractor.heads", 7),
        "heads: 7; write a number that divides width, which is 32",
    ),
    "patch 0": (change("mm_extractor.patch_size", 0), "mm_extractor.patch_size: 0"),
    "patch that does not divide": (change("mm_extractor.patch_size", 12), "divides image_size, which is 32"),
    "huge feed-forward": (change("mm_extractor.feed_forward", 10**9), "mm_extractor.feed_forward"),
    "vocabulary 1e12": (change("mm_extractor.vocabulary", 10**12), "mm_extractor.vocabulary"),
    "vocabulary of the encoder negative": (change("mm_extractor.vocabulary", -1), "mm_extractor.vocabulary: -1"),
    "no room for text": (change("mm_extractor.text_positions", 1), "mm_extractor.text_positions: 1"),
    "an unknown field": (change("mm_extractor.depht", 3), "mm_extractor: 'depht'; write only width, layers"),
    "encoder a list": (change("mm_extractor", [1]), "mm_extractor: [1]; write an object"),
    "encoder missing": (change("mm_extractor", ...), "mm_extractor: None; write an object"),
    # values of the segmenter
    "segmenter text": (change("segmenter", "sam2"), "segmenter: 'sam2'; write an object"),
    "segmenter of no kind": (change("segmenter.kind", ...), "segmenter.kind: None; write one of sam, sam2"),
    "segmenter of a strange kind": (change("segmenter.kind", [1]), "segmenter.kind: [1]; write one of sam, sam2"),
    "picture 1e7": (
        change("segmenter.image_size", 10**7),
        "image_size: 10000000; write a whole number from 16",
    ),
    "picture 0": (change("segmenter.image_size", 0), "segmenter.image_size: 0"),
    "picture text": (change("segmenter.image_size", "x"), "segmenter.image_size: 'x'"),
    "picture odd": (change("segmenter.image_size", 65), "segmenter.image_size: 65; write a multiple of 32"),
    "embedding 1e9": (change("segmenter.embedding_width", 10**9), "segmenter.embedding_width: 1000000000"),
    "embedding odd": (change("segmenter.embedding_width", 33), "segmenter.embedding_width: 33; write a multiple of 16"),
    "stages 5": (change("segmenter.stages", 5), "segmenter.stages: 5; write a list of 4 values"),
    "stages empty": (change("segmenter.stages", []), "segmenter.stages: (); write a list of 4 values"),
    "stages three": (change("segmenter.stages", [1, 1, 1]), "segmenter.stages: (1, 1, 1)"),
    "stages 1e7": (change("segmenter.stages", [10**7, 1, 1, 1]), "segmenter.stages: (10000000, 1, 1, 1)"),
    "stages with a bool": (change("segmenter.stages", [1, True, 1, 1]), "segmenter.stages: (1, True, 1, 1)"),
    "stages nested": (change("segmenter.stages", [[1], 1, 1, 1]), "segmenter.stages"),
    "windows [1]": (change("segmenter.windows", [1]), "segmenter.windows: (1,)"),
    "windows odd": (change("segmenter.windows", [4, 3, 2, 2]), "segmenter.windows: (4, 3, 2, 2); write even numbers"),
    "windows 0": (change("segmenter.windows", [0, 4, 4, 4]), "segmenter.windows: (0, 4, 4, 4)"),
    "windows that do not tile": (change("segmenter.windows", [6, 4, 4, 4]), "divides a quarter of image_size"),
    "a block that is not there": (change("segmenter.global_attention_blocks", [9]), "numbers below 5, one per block"),
    "blocks text": (change("segmenter.global_attention_blocks", "3"), "global_attention_blocks: '3'; write a list"),
    "position size of three": (change("segmenter.window_position_size", [1, 1, 1]), "window_position_size"),
    "memory layers 1e7": (change("segmenter.memory_layers", 10**7), "segmenter.memory_layers: 10000000"),
    "memory width 24": (change("segmenter.memory_width", 24), "write a number that divides embedding_width"),
    "memory text": (change("segmenter.memory", "no"), "segmenter.memory: 'no'; write true or false"),
    "extra masks 1": (change("segmenter.extra_masks", 1), "segmenter.extra_masks: 1; write true or false"),
    "multimask text": (change("multimask", "no"), "multimask: 'no'; write true or false"),
    "multimask missing": (change("multimask", ...), "multimask: None; write true or false"),
    "large tables": (
        lambda folder: [
            change(f"segmenter.{key}", value)(folder)
            for key, value in {"image_size": 4096, "embedding_width": 1024, "memory_layers": 32}.items()
        ],
        "segmenter.memory_layers: 32; write a smaller number",
    ),
    "another hidden size": (change("hidden_size", 5), "hidden_size: 5; write 32"),
    "another out_dim": (change("out_dim", [1]), "out_dim: [1]; write 32"),
    # facts of the checkpoint
    "model type missing": (change("model_type", ...), "model_type: None; write evf"),
    "model type a list": (change("model_type", ["evf"]), "model_type: ['evf']; write evf"),
    "vocabulary 5": (change("vocabulary", 5), "vocabulary: 5; write a list"),
    "vocabulary of numbers": (change("vocabulary", [1, 2]), "vocabulary: [1, 2]; write a list"),
    "vocabulary text": (change("vocabulary", "red car"), "vocabulary: 'red car'; write a list"),
    "vocabulary of one long word": (change("vocabulary", ["x" * 5_000]), "vocabulary: ['xxx"),
    "vocabulary of 50,000": (change("vocabulary", ["x"] * 50_000), "a list of 0 to 20000 values"),
    "capabilities 5": (change("capabilities", 5), "capabilities: 5; write a list"),
    "capabilities text": (change("capabilities", "video"), "capabilities: 'video'; write a list"),
    "licence a number": (change("licence", 3), "licence: 3; write a text"),
    "description of two lines": (change("description", "a\nb"), "description: 'a\\nb'; write a text"),
    "parameters text": (change("parameters", "many"), "parameters: 'many'; write a whole number"),
    "refinement a list": (change("refinement", [1]), "refinement: [1]; write an object"),
    "refinement unknown": (change("refinement", {"a\nb": 1}), "refinement: 'a\\nb'; write only reject_below"),
    "rejects everything": (change("refinement", {"reject_below": 9}), "reject_below: 9; write a number from 0 to 1"),
    "rejects by NaN": (change("refinement", {"reject_below": float("nan")}), "reject_below: nan; write a number"),
    "filter text": (change("refinement", {"guided_filter": "no"}), "guided_filter: 'no'; write true or false"),
    "older threshold text": (change("presence_threshold", "x"), "presence_threshold: 'x'; write a number from 0"),
    "older threshold 9": (change("presence_threshold", 9), "presence_threshold: 9; write a number from 0"),
    "older flag text": (change("follows_edges", "no"), "follows_edges: 'no'; write true or false"),
    # the file
    "nested 200,000 deep": (put(CONFIG, '{"a":' + "[" * 200_000), "nested too deep"),
    "objects 100,000 deep": (put(CONFIG, '{"a":' * 100_000), "nested too deep"),
    "config of 2 MB": (put(CONFIG, '{"a":"' + "x" * 2_000_000 + '"}'), "it has 2 MB, and 1 MB are the most"),
    "config of 1 TB": (sparse(CONFIG, 10**12), "1000.0 GB"),
    "key twice": (add_text('"multimask": true, '), "the key 'multimask' twice"),
    "a literal of JavaScript": (add_text('"a": undefined, '), "is not JSON (line 1"),
    "config a number": (put(CONFIG, "5"), "holds no JSON object"),
    "config null": (put(CONFIG, "null"), "holds no JSON object"),
    "config a text": (put(CONFIG, '"evf"'), "holds no JSON object"),
    "config in UTF-16": (reencode(CONFIG, "utf-16"), "is not UTF-8 text"),
    "config of bytes": (put(CONFIG, bytes(range(128, 256))), "is not UTF-8 text"),
    "config with NUL": (put(CONFIG, b"\0\0\0\0"), "is not JSON"),
    "digits without end": (put(CONFIG, '{"a": ' + "9" * 9_000 + "}"), "too many digits"),
    "config empty": (put(CONFIG, b""), "config.json is damaged: it is empty"),
    "config a pointer": (put(CONFIG, LFS), "config.json is damaged: it is a git-lfs pointer"),
    "config a web page": (put(CONFIG, HTML), "config.json is damaged: it is a web page"),
    "config a folder": (folder_instead(CONFIG), "has no config.json"),
    "config a pipe": (pipe_instead(CONFIG), "has no config.json"),
    # the published form
    "a scale that is none": (
        put(CONFIG, '{"model_type": "evf", "sam_scale": ["large"]}'),
        "sam_scale: ['large']; write one of huge, large",
    ),
    "an encoder scale that is none": (
        put(CONFIG, '{"model_type": "evf", "sam_scale": "large", "mm_extractor_scale": {}}'),
        "mm_extractor_scale: {}; write one of base, large",
    ),
    "a kind that is none": (
        put(CONFIG, '{"model_type": "evf", "sam_scale": "large", "mm_extractor_scale": "large", "segmenter_kind": 7}'),
        "segmenter_kind: 7; write one of sam, sam2",
    ),
    "a published model beside small weights": (
        put(CONFIG, '{"model_type": "evf", "sam_scale": "large", "mm_extractor_scale": "large"}'),
        "do not fit its config.json",
    ),
}

WEIGHT_ROWS = {
    "NaN": (with_bias(float("nan")), f"holds NaN or infinite values in {BIAS}"),
    "infinite": (with_bias(float("-inf")), f"holds NaN or infinite values in {BIAS}"),
    "int16": (as_dtype(torch.int16), f"holds {BIAS} as I16; use weights in one of float64, float32"),
    "int8": (as_dtype(torch.int8), f"holds {BIAS} as I8"),
    "bool": (as_dtype(torch.bool), f"holds {BIAS} as BOOL"),
    "complex": (as_dtype(torch.complex64), f"holds {BIAS} as C64"),
    "8-bit floats": (as_dtype(torch.float8_e4m3fn), f"holds {BIAS} as F8_E4M3"),
    "a shape more": (weights(lambda s: s.update({BIAS: s[BIAS][None].clone()})), "(1, 32) instead of (32,)"),
    "a tensor with a name of two lines": (weights(lambda s: s.update({"a\nb": torch.zeros(1)})), "'a\\nb'"),
    "a tensor with a long name": (weights(lambda s: s.update({"x" * 99_999: torch.zeros(1)})), "1 unexpected ('xxx"),
    "2,000 further tensors": (weights(lambda s: s.update({f"n{i}": torch.zeros(1) for i in range(2_000)})), "n10, "),
    "safetensors a pointer": (put(WEIGHTS, LFS), "it is a git-lfs pointer"),
    "safetensors a web page": (put(WEIGHTS, HTML), "it is a web page"),
    "safetensors empty": (put(WEIGHTS, b""), "it is empty"),
    "safetensors of 5 bytes": (put(WEIGHTS, b"12345"), "damaged"),
    "safetensors an error message": (put(WEIGHTS, b"Entry not found"), "it is an error message of the Hub"),
    "safetensors a picture": (put(WEIGHTS, b"\x89PNG\r\n\x1a\n" + bytes(999)), "it is no safetensors file"),
    "safetensors cut off": (cut(WEIGHTS, 99_999), "damaged"),
    "safetensors a folder": (folder_instead(WEIGHTS), "holds no weights"),
    "safetensors a pipe": (pipe_instead(WEIGHTS), "holds no weights"),
    "header of 10^18 bytes": (header({}, 10**18), "its header is too large"),
    "header of 90 MB": (header(b" " * 90_000_000), "its header is too large"),
    "header no JSON": (header(b"not json"), "damaged"),
    "header a list": (header(b"[1, 2]"), "damaged"),
    "header nested": (header(b'{"a":' * 99_999), "damaged"),
    "header without tensors": (header({}), "damaged"),
    "a tensor of 10^15 values": (header({"a": tensor((10**15,), (0, 4 * 10**15))}), "damaged"),
    "a shape that overflows": (header({"a": tensor((2**40, 2**40))}), "damaged"),
    "a shape below zero": (header({"a": tensor((-2,))}), "damaged"),
    "offsets beyond the file": (header({"a": tensor((4,), (0, 16))}), "damaged"),
    "offsets exchanged": (header({"a": tensor((2,), (8, 0))}), "damaged"),
    "offsets that overlap": (header({"a": tensor(), "b": tensor()}), "damaged"),
    "a dtype that is none": (header({"a": tensor(dtype="F33")}), "damaged"),
    "pickle a pointer": (pickled(LFS), "pytorch_model.bin is damaged: it is a git-lfs pointer"),
    "pickle a web page": (pickled(HTML), "it is a web page"),
    "pickle empty": (pickled(b""), "it is empty"),
    "pickle of one bracket": (pickled(b"("), "damaged"),
    "pickle junk": (pickled(bytes(range(256)) * 9), "damaged"),
    "pickle a text": (pickled(b"hello, I am no weights"), "damaged"),
    "pickle of code": (pickled(pickle.dumps(RunsCode())), "may want to run code"),
    "pickle of code, protocol 0": (pickled(pickle.dumps(RunsCode(), protocol=0)), "may want to run code"),
    "code among tensors": (saved(lambda s: {**s, "x": RunsCode()}), "may want to run code"),
    "code in the old format": (
        saved(lambda s: {**s, "x": RunsCode()}, _use_new_zipfile_serialization=False),
        "may want to run code",
    ),
    "a list of tensors": (saved(lambda s: list(s.values())), "not a table of tensors by name"),
    "numbers by name": (saved(lambda s: {**s, "x": 5}), "not a table of tensors by name"),
    "tensors by number": (saved(lambda s: dict(enumerate(s.values()))), "not a table of tensors by name"),
    "a sparse tensor": (saved(lambda s: {**s, BIAS: s[BIAS].to_sparse()}), "not a table of tensors by name"),
    "a tensor without values": (saved(lambda s: {**s, BIAS: s[BIAS].to("meta")}), "not a table of tensors by name"),
    "an expanded tensor": (saved(lambda s: {**s, BIAS: torch.zeros(1).expand(10**12)}), "(1000000000000,) instead of"),
    "NaN in a pickle": (saved(lambda s: {**s, BIAS: s[BIAS] * float("nan")}), "holds NaN or infinite values"),
    "int64 in a pickle": (saved(lambda s: {**s, BIAS: s[BIAS].long()}), "as int64; use weights in one of"),
    "NaN in the old format": (
        saved(lambda s: {**s, BIAS: s[BIAS] * float("nan")}, _use_new_zipfile_serialization=False),
        "holds NaN or infinite values",
    ),
    "the old format, another shape": (
        saved(lambda s: {**s, BIAS: torch.zeros(7)}, _use_new_zipfile_serialization=False),
        "(7,) instead of (32,)",
    ),
    "a script instead of weights": (
        lambda folder: (
            (folder / WEIGHTS).unlink(),
            torch.jit.script(torch.nn.Linear(1, 1)).save(str(folder / PICKLE)),
        ),
        "pytorch_model.bin",
    ),
    "a zip of nothing": (zipped(lambda entries: entries.clear()), "damaged"),
    "a zip without its pickle": (zipped(lambda entries: entries.pop(pickle_of(entries))), "damaged"),
    "a compressed zip": (zipped(lambda entries: None, zipfile.ZIP_DEFLATED), "damaged"),
    "a zip of a large pickle": (
        zipped(lambda entries: entries.update({pickle_of(entries): b"\x80\x02" + b"]0" * 2_000_000 + b"N."})),
        "damaged",
    ),
    "a zip of short values": (
        zipped(lambda e: e.update({name: b"1" for name in e if "/data/" in name})),
        "damaged",
    ),
    "a long pickle of the old format": (pickled(b"\x80\x02" + b"]0" * 9_000_000), "damaged"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "holds no weights"),
    "an index that leads outside": (index({"a": "../secret.safetensors"}), "lacks secret.safetensors"),
    "an index of a whole path": (index({"a": "/etc/passwd"}), "'/etc/passwd' is no name of a weight file"),
    "an index of numbers": (index({"a": 5}), "5 is no name of a weight file"),
    "an index of NUL": (index({"a": "a\0.bin"}), "is no name of a weight file"),
    "an index of a long name": (index({"a": "x" * 5_000 + ".bin"}), "is no name of a weight file"),
    "an index of half a character": (index({"a": "\ud800.bin"}), "is no name of a weight file"),
    "an index of itself": (index({"a": INDEX}), "is no name of a weight file"),
    "an index of nothing": (index({}), "has no weight_map"),
    "an index of a list": (index(["a.bin"]), "has no weight_map"),
    "an index of missing shards": (index({f"n{i}": f"m-{i}.bin" for i in range(99)}), "lacks m-0.bin, m-1.bin"),
    "a tensor in two shards": (two_shards(None), "hold one tensor twice"),
    "a shard that is a pointer": (two_shards(LFS), "model-2.safetensors is damaged: it is a git-lfs pointer"),
}

TOKENIZER_ROWS = {
    "no tokenizer": (lambda folder: (folder / PIECES).unlink(), "has no sentencepiece.bpe.model"),
    "pieces empty": (put(PIECES, b""), "sentencepiece.bpe.model is damaged: it is empty"),
    "pieces cut off": (cut(PIECES, 900), "sentencepiece.bpe.model is damaged"),
    "pieces junk": (put(PIECES, os.urandom(5_000)), "sentencepiece.bpe.model is damaged"),
    "pieces zeros": (put(PIECES, bytes(5_000)), "sentencepiece.bpe.model is damaged"),
    "pieces a pointer": (put(PIECES, LFS), "it is a git-lfs pointer"),
    "pieces a web page": (put(PIECES, HTML), "it is a web page"),
    "pieces of 1 TB": (sparse(PIECES, 10**12), "1000.0 GB"),
    "pieces a folder": (folder_instead(PIECES), "has no sentencepiece.bpe.model"),
    "more pieces than the model": (
        lambda folder: shutil.copyfile(REPOSITORY / "assets/checkpoints/evf-sam2-tiny" / PIECES, folder / PIECES),
        "tokens, the model 42; use files from one checkpoint",
    ),
    "settings junk": (put("tokenizer_config.json", "{junk"), "tokenizer_config.json is damaged: it is not JSON"),
    "settings a list": (
        put("tokenizer_config.json", "[1]"),
        "tokenizer_config.json is damaged: it holds no JSON",
    ),
    "settings a pointer": (put("tokenizer_config.json", LFS), "it is a git-lfs pointer"),
    "settings nested": (put("tokenizer_config.json", '{"a":' * 100_000), "nested too deep"),
    "settings of 1 TB": (sparse("tokenizer_config.json", 10**12), "1000.0 GB"),
    "a token that is a number": (put("tokenizer_config.json", '{"bos_token": 5}'), "bos_token: 5; write '<s>'"),
    "a token that is a list": (put("tokenizer_config.json", '{"unk_token": []}'), "unk_token: []; write '<unk>'"),
    "another model's token": (put("tokenizer_config.json", '{"eos_token": "<|end|>"}'), "eos_token: '<|end|>'; write"),
    "added tokens": (
        put("tokenizer_config.json", '{"added_tokens_decoder": {"90": {"content": "[SEG]"}}}'),
        "the encoder knows no added tokens",
    ),
    "added tokens of a wrong type": (
        put("tokenizer_config.json", '{"added_tokens_decoder": 5}'),
        "added_tokens_decoder: 5",
    ),
    "special tokens in Latin-1": (put("special_tokens_map.json", '{"a": "\xe9"}'.encode("latin-1")), "is not UTF-8"),
    "special tokens a number": (put("special_tokens_map.json", "5"), "holds no JSON object"),
    "special tokens empty": (put("special_tokens_map.json", b""), "special_tokens_map.json is damaged: it is empty"),
    "a stray tokenizer.json": (put("tokenizer.json", "{}"), "delete tokenizer.json"),
}

ROWS = CONFIG_ROWS | WEIGHT_ROWS | TOKENIZER_ROWS


def copied(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target / folder.name))


@pytest.mark.parametrize(("spoil", "words"), ROWS.values(), ids=ROWS)
def test_each_folder_is_refused_in_one_sentence_that_names_what_it_is(good, tmp_path, spoil, words):
    folder = copied(good, tmp_path)
    spoil(folder)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(folder)
    sentence = str(error.value)
    assert words in sentence
    assert sentence.isprintable() and sentence.endswith(".") and len(sentence) < 800
    assert str(tmp_path.parent) not in sentence, "the server's path is nobody's business"
    try:
        describe_folder(folder)
    except CheckpointError:
        assert spoil in [row for row, _ in CONFIG_ROWS.values()]


def test_no_code_ran():
    assert not Path("/tmp/evfsam-it-ran").exists()


SAM_ROWS = {
    "depth 1e7": (change("segmenter.depth", 10**7), "segmenter.depth: 10000000"),
    "heads 3": (change("segmenter.heads", 3), "segmenter.heads: 3; write a number that divides width, which is 16"),
    "patch 48": (change("segmenter.patch_size", 48), "divides image_size, which is 64"),
    "window -1": (change("segmenter.window", -1), "segmenter.window: -1"),
    "a field of SAM-2": (change("segmenter.stages", [1, 1, 1, 1]), "segmenter: 'stages'; write only image_size"),
}


@pytest.mark.parametrize(("spoil", "words"), SAM_ROWS.values(), ids=SAM_ROWS)
def test_so_are_those_with_another_segmenter(good_sam, tmp_path, spoil, words):
    folder = copied(good_sam, tmp_path)
    spoil(folder)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(folder)
    assert words in str(error.value)


HARMLESS = {
    "settings with a chat template and code": put(
        "tokenizer_config.json",
        '{"chat_template": "{{ 1/0 }}", "auto_map": {"AutoTokenizer": ["evil.It", null]}, "model_max_length": -1}',
    ),
    "a large chat template": sparse("chat_template.jinja", 10**12),
    "added tokens in a file of their own": put("added_tokens.json", '{"[SEG]": 90}'),
    "a module that looks like a tokenizer": put("tokenization_xlm_roberta.py", "raise SystemExit"),
    "keys of other programs": change("auto_map", {"AutoModel": "evil.Model"}),
    "config with a byte order mark": reencode(CONFIG, "utf-8-sig"),
    "facts that are null": lambda folder: [
        change(key, None)(folder) for key in ("licence", "vocabulary", "parameters")
    ],
    "a stray pickle of code": put(PICKLE, pickle.dumps(RunsCode())),
}


@pytest.mark.parametrize("add", HARMLESS.values(), ids=HARMLESS)
def test_what_nobody_reads_does_no_harm(good, tmp_path, add):
    folder = copied(good, tmp_path)
    add(folder)
    loaded, expected = load_checkpoint(folder), load_checkpoint(good)
    assert loaded.tokenizer("a <mask> dog")["input_ids"] == expected.tokenizer("a <mask> dog")["input_ids"]
    assert len(loaded.tokenizer) == len(expected.tokenizer)


def test_a_broken_folder_leaves_the_others_listed_and_is_named_when_asked_for(good, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(registry, "BUNDLED_FOLDER", tmp_path)
    shutil.copytree(good, tmp_path / "whole")
    shutil.copytree(good, tmp_path / "broken")
    change("mm_extractor.layers", "x")(tmp_path / "broken")
    with caplog.at_level(logging.WARNING):
        assert [info.name for info in list_models() if not info.on_hub] == ["whole"]
    assert "broken/config.json has mm_extractor.layers: 'x'" in caplog.text
    with pytest.raises(CheckpointError, match=r"broken/config\.json has mm_extractor\.layers"):
        find("broken")


@pytest.mark.parametrize("name", [None, 5, "\0", "a\nb", "\ud800", "/no/such/secret/place", "x" * 99_999, "../.."])
def test_a_name_of_nothing_is_one_sentence(name):
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(name)
    assert str(error.value).isprintable() and len(str(error.value)) < 400
    assert "/no/such/secret" not in str(error.value)


# What a JSON file can hold, and values near those that are right.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=10,
)
NEAR = st.sampled_from([1, 2, 3, 4, 8, 16, 32, 64, 128, 255, 1024, 4096, [1, 1, 1, 1], [2, 4], True, False, "sam2"])
KINDS = st.sampled_from(sorted(SEGMENTER_CONFIGS))
PARTS = (*ENCODER_CONFIGS.values(), *SEGMENTER_CONFIGS.values())
FIELDS = sorted({field.name for part in PARTS for field in fields(part)})
SECTION = st.dictionaries(st.sampled_from(FIELDS), NEAR | JSON, max_size=4)
FACTS = [*registry._FACTS, "refinement", "presence_threshold", "iou_thresholds", "follows_edges"]
SMALL_ENCODER = {"width": 32, "layers": 1, "heads": 2, "feed_forward": 32}
CONFIGS = st.fixed_dictionaries(
    {"model_type": st.just("evf")},
    optional={
        "multimask": st.booleans() | JSON,
        "mm_extractor": SECTION.map(lambda values: SMALL_ENCODER | values)
        | st.builds(lambda kind, values: {"kind": kind, **values}, st.sampled_from(list(ENCODER_CONFIGS)), SECTION)
        | JSON,
        "segmenter": st.builds(lambda kind, values: {"kind": kind, **values}, KINDS, SECTION) | JSON,
        "sam_scale": st.sampled_from(["huge", "large", "tiny", "small"]) | JSON,
        "mm_extractor_scale": st.sampled_from(["base", "large"]) | JSON,
        "segmenter_kind": KINDS | JSON,
        "hidden_size": JSON,
    },
)


@settings(max_examples=150, deadline=1_000, suppress_health_check=[HealthCheck.too_slow])
@given(CONFIGS | st.dictionaries(st.text(max_size=10), JSON, max_size=5))
def test_any_config_becomes_a_model_or_a_value_error(config):
    try:
        model = EvfConfig.from_dict(config)
    except ValueError as error:
        assert len(str(error)) < 600
    else:
        assert EvfConfig.from_dict(model.to_dict()) == model


@settings(max_examples=50, deadline=2_000, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from([*registry._FACTS, "refinement", "presence_threshold", "iou_thresholds", "follows_edges", "x"]),
        JSON,
        max_size=4,
    )
)
def test_any_facts_become_a_row_or_a_checkpoint_error(tmp_path_factory, facts):
    folder = tmp_path_factory.mktemp("facts")
    published = {"model_type": "evf", "sam_scale": "tiny", "mm_extractor_scale": "large"}
    (folder / CONFIG).write_text(json.dumps({**facts, **published}))
    try:
        describe_folder(folder)
    except CheckpointError as error:
        assert str(error).isprintable()


def test_each_field_of_a_config_has_a_rule():
    assert set(FIELDS) == set(RULES)


WORST = (
    "layers 1e7",
    "embedding 1e9",
    "picture 1e7",
    "large tables",
    "a published model beside small weights",
    "header of 90 MB",
    "a tensor of 10^15 values",
    "a long pickle of the old format",
    "a zip of a large pickle",
    "config of 1 TB",
)
# Loads a good folder first, so that imports are not counted. Prints seconds and bytes beyond the start for the others.
MEASURE = """
import json, re, sys, time
from pathlib import Path
from evfsam.checkpoints.load import load_checkpoint
from evfsam.errors import CheckpointError

def kilobytes(name): return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

load_checkpoint(sys.argv[1])
for folder in sys.argv[2:]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = kilobytes("VmRSS"), time.process_time()
    try:
        load_checkpoint(folder)
    except CheckpointError:
        print(json.dumps([time.process_time() - start, (kilobytes("VmHWM") - before) * 1024]))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a process")
def test_refusing_costs_at_most_two_seconds_and_200_mb(good, tmp_path):
    folders = []
    for number, name in enumerate(WORST):
        folders.append(copied(good, tmp_path / str(number)))
        ROWS[name][0](folders[-1])
    command = [sys.executable, "-c", MEASURE, str(good), *map(str, folders)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    measured = dict(zip(WORST, map(json.loads, done.stdout.splitlines()), strict=True))
    for name, (seconds, grown) in measured.items():
        print(f"{name}: {seconds:.2f} s, {grown / 1e6:.0f} MB")
        assert seconds < 2 and grown < 200e6, name
