"""``python -m evfsam track clip.mp4 "the red car" -o out.mp4``: find it on one frame, follow it through a video."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evfsam import values
from evfsam.cli.options import add_model_options, add_spatial_options, load_predictor, number, spatial_prompt
from evfsam.cli.outputs import check_files
from evfsam.errors import InputError, VideoError

if TYPE_CHECKING:
    from evfsam.media.pipe import PipedVideo
    from evfsam.media.video import VideoReader
    from evfsam.media.video_export import VideoSink
    from evfsam.systems.registry import SystemInfo
    from evfsam.types import TrackedFrame, VideoPrompt
    from evfsam.video.bidirectional import TrackingStep
    from evfsam.video.tracker import VideoTracker

    Clip = VideoReader | PipedVideo

SCAN_STEP_S = 0.2


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "track",
        usage="python -m evfsam track VIDEO PROMPT... [options]",
        help="follow what prompts name through a video",
        description="Find what prompts name on one frame of a video, and follow it through the others. "
        'Example: track clip.mp4 "the red car" "a tree" -o out.mp4 --rle masks.json',
    )
    parser.add_argument("video", metavar="VIDEO", help="a file; - reads the standard input")
    parser.add_argument(
        "prompts", nargs="+", metavar="PROMPT", help="text; one object per prompt, with sam3 all that it names"
    )
    add_spatial_options(parser)
    files = parser.add_argument_group("Files", "Without any of these, VIDEO.tracked.mp4 is written here.")
    files.add_argument("-o", "--out", metavar="FILE", help="video with masks: .mp4, .webm, .mov; - prints MP4")
    files.add_argument("--masks", metavar="FILE.zip", help="one folder per object, one PNG per frame")
    files.add_argument("--rle", metavar="FILE.json", help="masks and scores in COCO's video layout")
    files.add_argument("--cutout", metavar="FILE", help="the objects alone: transparent .webm or .mov")
    which = parser.add_argument_group("Which frames")
    seconds = {"metavar": "SECONDS"}
    which.add_argument("--at", type=number("--at", 0), **seconds, help="look for the prompts here (default: the start)")
    which.add_argument("--scan", action="store_true", help="look for the first frame that shows each prompt")
    which.add_argument(
        "--direction",
        choices=("forward", "backward", "both"),
        default="forward",
        metavar="WAY",
        help="forward (default), backward or both",
    )
    which.add_argument("--start", type=number("--start", 0), default=0.0, **seconds, help="leave out what is before")
    which.add_argument("--end", type=number("--end", 0), **seconds, help="leave out what is after")
    which.add_argument(
        "--max-side",
        type=number("--max-side", 16, 16_384, whole=True),
        metavar="PIXELS",
        help="scale larger frames down to this longest side (default: no scaling)",
    )
    parser.add_argument("--no-overlap", action="store_true", help="each pixel belongs to one object at most")
    parser.add_argument("--no-find-again", action="store_true", help="do not look for lost objects by text")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_model_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from evfsam.processing.text import clean_prompt
    from evfsam.systems.registry import find_system

    for prompt in values.prompts(args.prompts):
        clean_prompt(prompt)  # refuses an empty one before a model is loaded
    check_outputs(args)
    system = find_system(args.model)
    if system:
        check_no_objects(args)
    with ExitStack() as stack:
        clip = open_clip(args, stack)
        steps, object_ids = follow_things(args, clip, system) if system else follow_objects(args, clip)
        counts = write(steps, clip, open_sinks(args, clip, object_ids, stack), args.quiet)
        if not counts:
            raise VideoError(f"Nothing was found for {_quoted(args.prompts)} in the whole video: try other words.")
    tell(args, counts)
    return 0


def follow_objects(args: argparse.Namespace, clip: Clip) -> tuple[Iterator[TrackingStep], list[int]]:
    """One object per prompt, by a checkpoint with a memory. Returns the steps, and the objects' ids."""
    from evfsam.video.bidirectional import track_in_order
    from evfsam.video.tracker import VideoTracker

    tracker = VideoTracker(load_predictor(args))
    prompts = find_prompts(args, clip, tracker)
    steps = track_in_order(tracker, clip, prompts, args.direction, not args.no_overlap, not args.no_find_again)
    return steps, [p.object_id for p in prompts]


def follow_things(args: argparse.Namespace, clip: Clip, system: SystemInfo) -> tuple[Iterator[TrackingStep], list[int]]:
    """All things that the prompts name, by another system. Their ids come with the frames."""
    from evfsam.runtime import choose_runtime
    from evfsam.systems.load import load_tracker
    from evfsam.video.bidirectional import TrackingStep

    frames = load_tracker(system, choose_runtime(args.device, args.precision)).track(clip, args.prompts)
    total = len(clip) if isinstance(clip, Sized) else None
    return (TrackingStep(frame, True, frame.index + 1, total) for frame in frames), []


def check_no_objects(args: argparse.Namespace) -> None:
    """Raises InputError for options that need one object per prompt."""
    given = {
        "--point": args.point,
        "--box": args.box,
        "--at": args.at is not None,
        "--scan": args.scan,
        "--direction": args.direction != "forward",
        "--no-overlap": args.no_overlap,
        "--no-find-again": args.no_find_again,
    }
    if wrong := [option for option, is_given in given.items() if is_given]:
        raise InputError(f"{args.model} looks for all things on every frame: leave out {' and '.join(wrong)}.")


def check_outputs(args: argparse.Namespace) -> None:
    """Choose the default file, and refuse files that cannot be written before any work. Raises EvfSamError."""
    from evfsam.media.video_writer import find_encoding

    if not (args.out or args.masks or args.rle or args.cutout):
        args.out = ("stdin" if args.video == "-" else Path(args.video).stem) + ".tracked.mp4"
    if args.out and args.out != "-":
        find_encoding(Path(args.out))
    if args.cutout:
        find_encoding(Path(args.cutout), transparent=True)
    check_files([args.out, args.masks, args.rle, args.cutout], [args.video])


def open_clip(args: argparse.Namespace, stack: ExitStack) -> Clip:
    """The video. Notes about its limits go to standard error."""
    from evfsam.media.pipe import PipedVideo
    from evfsam.media.video_threads import ReadAhead

    if args.video == "-":
        if args.start or args.end or args.at is not None or args.scan or args.direction != "forward":
            raise InputError("A pipe is read once, from its beginning: save it to a file to trim, scan or go back.")
        clip = stack.enter_context(PipedVideo(sys.stdin.buffer, args.max_side))
    else:
        if args.end is not None and args.end <= args.start:
            raise InputError(f"--end {args.end:g} is not after --start {args.start:g}: give a later second.")
        clip = ReadAhead(args.video, args.start, args.end, args.max_side)
    for note in clip.info.notes:
        print(f"evfsam: {note}", file=sys.stderr)
    return clip


def find_prompts(args: argparse.Namespace, clip: Clip, tracker: VideoTracker) -> list[VideoPrompt]:
    """One prompt per text, on the frame that was chosen or found."""
    from evfsam.types import VideoPrompt

    by_hand = spatial_prompt(args)
    if args.scan:
        if by_hand:
            raise InputError("--point and --box lie on one frame: choose it by --at, without --scan.")
        return [VideoPrompt(i, phrase, scan(args, clip, tracker, phrase)) for i, phrase in enumerate(args.prompts, 1)]
    frame = 0
    if args.at is not None:
        if not 0 <= args.at - args.start < clip.info.duration:
            raise InputError(f"--at {args.at:g} is outside the chosen part of the video: give a second inside it.")
        frame = clip.index_at(args.at - args.start)
    first = VideoPrompt(1, args.prompts[0], frame, by_hand)
    return [first, *(VideoPrompt(i, phrase, frame) for i, phrase in enumerate(args.prompts[1:], 2))]


def scan(args: argparse.Namespace, clip: VideoReader, tracker: VideoTracker, phrase: str) -> int:
    """The first frame that shows what the text names, looked for every 0.2 seconds."""
    every = max(1, round(clip.info.fps * SCAN_STEP_S))
    for looked in tracker.scan(clip, phrase, every):
        if looked.objects[0].visible:
            seconds = args.start + float(clip.time_of(looked.index)[0])
            print(f"evfsam: {phrase!r} is first seen at {seconds:.2f} s.", file=sys.stderr)
            return looked.index
    raise VideoError(f"Nothing was found for {phrase!r} in the whole video: try other words.")


def open_sinks(args: argparse.Namespace, clip: Clip, object_ids: Sequence[int], stack: ExitStack) -> list[VideoSink]:
    from evfsam.media import video_export

    sinks = []
    if args.out:
        target = sys.stdout.buffer if args.out == "-" else args.out
        sinks.append(video_export.overlay_video(target, clip, object_ids))
    if args.masks:
        sinks.append(video_export.masks_zip(args.masks))
    if args.rle:
        sinks.append(video_export.rle_json(args.rle, clip))
    if args.cutout:
        sinks.append(video_export.cutout_video(args.cutout, clip))
    return [stack.enter_context(sink) for sink in sinks]


@dataclass
class Count:
    """On how many frames an object is visible, of those since it was first asked for or seen."""

    prompt: str
    visible: int = 0
    frames: int = 0


def write(steps: Iterator[TrackingStep], clip: Clip, sinks: Sequence[VideoSink], quiet: bool) -> dict[int, Count]:
    """Follow and write. Returns the count of each object id."""
    from tqdm import tqdm

    from evfsam.media.video_threads import write_behind

    counts: dict[int, Count] = {}
    met = False
    with tqdm(unit="frame", disable=quiet or None, file=sys.stderr) as bar, write_behind(sinks) as write_frame:
        for step in steps:
            bar.total = step.total
            bar.update()
            if step.frame.objects and not met:
                met = True
                check_found(step.frame)
            if step.in_order:
                warn(step.frame)
                write_frame(step.frame, *clip.time_of(step.frame.index))
                for o in step.frame.objects:
                    counts.setdefault(o.object_id, Count(o.prompt)).visible += o.visible
                for count in counts.values():
                    count.frames += 1
    return counts


def check_found(frame: TrackedFrame) -> None:
    """Raises VideoError if nothing was found on the first frame with a prompt: better now than at the end."""
    if not any(o.visible for o in frame.objects):
        prompts = _quoted(o.prompt for o in frame.objects)
        raise VideoError(f"Nothing was found for {prompts} on the chosen frame: choose another by --at, or add --scan.")


def _quoted(prompts: Iterable[str]) -> str:
    return ", ".join(map(repr, prompts))


def warn(frame: TrackedFrame) -> None:
    for o in frame.objects:
        for warning in o.warnings:
            print(f"evfsam: {o.prompt!r}: {warning}", file=sys.stderr)


def tell(args: argparse.Namespace, counts: dict[int, Count]) -> None:
    """One line per object and per file, on standard output unless the video goes there."""
    file = sys.stderr if args.out == "-" else sys.stdout
    for count in counts.values():
        print(f"{count.prompt}: visible on {count.visible} of {count.frames} frames", file=file)
    for path in (args.out, args.masks, args.rle, args.cutout):
        if path and path != "-":
            print(f"written: {path}", file=file)
