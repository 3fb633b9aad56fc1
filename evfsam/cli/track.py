"""``python -m evfsam track clip.mp4 "the red car" -o out.mp4``: name it once, follow it through a video."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from evfsam.cli.options import add_model_options, load_predictor
from evfsam.errors import InputError, VideoError

if TYPE_CHECKING:
    from evfsam.media.pipe import PipedVideo
    from evfsam.media.video import VideoReader
    from evfsam.media.video_export import VideoSink
    from evfsam.types import TrackedFrame, VideoPrompt
    from evfsam.video.tracker import VideoTracker

SCAN_STEP_S = 0.2


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "track",
        help="follow what phrases name through a video",
        description="Find what phrases name on one frame of a video and follow it through the others.",
        epilog='example: python -m evfsam track clip.mp4 "the red car" "a tree" -o out.mp4 --rle masks.json',
    )
    parser.add_argument("video", help="a file; - reads the standard input")
    parser.add_argument("phrases", nargs="+", metavar="PHRASE", help="one an object")
    files = parser.add_argument_group("what to write (default: an overlay beside the working folder's files)")
    files.add_argument(
        "-o", "--out", metavar="FILE", help="overlaid .mp4, .webm or .mov; - writes MP4 to the standard output"
    )
    files.add_argument("--masks", metavar="FILE.zip", help="a folder an object, a PNG a frame")
    files.add_argument("--rle", metavar="FILE.json", help="run lengths in COCO's video style, with scores")
    files.add_argument("--cutout", metavar="FILE", help="transparent .webm (VP9) or .mov (ProRes 4444)")
    which = parser.add_argument_group("which part")
    which.add_argument(
        "--at", type=float, metavar="SECONDS", help="look for the phrases on this frame (default: the first)"
    )
    which.add_argument("--scan", action="store_true", help="look for the first frame that shows each phrase")
    which.add_argument("--direction", choices=("forward", "backward", "both"), help="from there (default: both)")
    which.add_argument("--start", type=float, default=0.0, metavar="SECONDS", help="cut what is before")
    which.add_argument("--end", type=float, metavar="SECONDS", help="cut what is after")
    which.add_argument("--max-side", type=int, metavar="PIXELS", help="scale larger frames down")
    which.add_argument("--no-overlap", action="store_true", help="a pixel belongs to one object at most")
    which.add_argument(
        "--no-find-again",
        action="store_true",
        help="the words are not asked again on every frame: all is left to the memory",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_model_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from evfsam.processing.text import clean_prompt
    from evfsam.video.bidirectional import track_in_order
    from evfsam.video.tracker import VideoTracker

    for phrase in args.phrases:
        clean_prompt(phrase)  # refuses an empty one before a model is loaded
    with ExitStack() as stack:
        clip = open_clip(args, stack)
        tracker = VideoTracker(load_predictor(args))
        prompts = find_prompts(args, clip, tracker)
        direction = args.direction or ("both" if any(p.frame_index for p in prompts) else "forward")
        steps = track_in_order(tracker, clip, prompts, direction, not args.no_overlap, not args.no_find_again)
        sinks = open_sinks(args, clip, prompts, stack)
        counts = write(steps, clip, sinks, args.quiet)
    tell(args, counts)
    return 0


def open_clip(args: argparse.Namespace, stack: ExitStack) -> VideoReader | PipedVideo:
    """The video; what its limits do goes to standard error."""
    from evfsam.media.pipe import PipedVideo
    from evfsam.media.video import VideoReader

    if args.video == "-":
        if args.start or args.end or args.at is not None or args.scan or args.direction in ("backward", "both"):
            raise InputError("A pipe is read once, from its beginning: save it to a file to trim, scan or go back.")
        clip = stack.enter_context(PipedVideo(sys.stdin.buffer, args.max_side))
    else:
        clip = VideoReader(args.video, args.start, args.end, args.max_side)
    for note in clip.info.notes:
        print(f"evfsam: {note}", file=sys.stderr)
    return clip


def find_prompts(args: argparse.Namespace, clip: VideoReader | PipedVideo, tracker: VideoTracker) -> list[VideoPrompt]:
    """One prompt a phrase, on the frame that was chosen or found."""
    from evfsam.types import VideoPrompt

    if args.scan:
        return [VideoPrompt(i, phrase, scan(args, clip, tracker, phrase)) for i, phrase in enumerate(args.phrases, 1)]
    frame = 0
    if args.at is not None:
        if not 0 <= args.at - args.start < clip.info.duration:
            raise InputError(f"--at {args.at:g} lies outside of the chosen part of the video: name a second within.")
        frame = clip.index_at(args.at - args.start)
    return [VideoPrompt(i, phrase, frame) for i, phrase in enumerate(args.phrases, 1)]


def scan(args: argparse.Namespace, clip: VideoReader, tracker: VideoTracker, phrase: str) -> int:
    """The first frame, of those some time apart, that shows what the phrase names."""
    every = max(1, round(clip.info.fps * SCAN_STEP_S))
    for looked in tracker.scan(clip, phrase, every):
        if looked.objects[0].visible:
            seconds = args.start + float(clip.time_of(looked.index)[0])
            print(f"evfsam: {phrase!r} is first seen at {seconds:.2f} s.", file=sys.stderr)
            return looked.index
    raise VideoError(f"Nothing in the whole video answers to {phrase!r}: try other words.")


def open_sinks(
    args: argparse.Namespace, clip: VideoReader | PipedVideo, prompts: Sequence[VideoPrompt], stack: ExitStack
) -> list[VideoSink]:
    from evfsam.media import video_export

    names = {p.object_id: p.phrase for p in prompts}
    out = args.out
    if not (args.out or args.masks or args.rle or args.cutout):
        out = args.out = ("stdin" if args.video == "-" else Path(args.video).stem) + ".tracked.mp4"
    sinks = []
    if out:
        target = sys.stdout.buffer if out == "-" else out
        sinks.append(video_export.overlay_video(target, clip, list(names)))
    if args.masks:
        sinks.append(video_export.masks_zip(args.masks, names))
    if args.rle:
        sinks.append(video_export.rle_json(args.rle, clip, names))
    if args.cutout:
        sinks.append(video_export.cutout_video(args.cutout, clip))
    return [stack.enter_context(sink) for sink in sinks]


def write(steps, clip: VideoReader | PipedVideo, sinks: Sequence[VideoSink], quiet: bool) -> dict[str, list[int]]:
    """Do the work. Returns phrase -> [frames on which it is visible, frames]."""
    from tqdm import tqdm

    counts: dict[str, list[int]] = {}
    met = False
    with tqdm(unit="frame", disable=quiet or None, file=sys.stderr) as bar:
        for step in steps:
            bar.total = step.total
            bar.update()
            if step.frame.objects and not met:
                met = True
                check_found(step.frame)
            if step.in_order:
                warn(step.frame)
                time, duration = clip.time_of(step.frame.index)
                for sink in sinks:
                    sink.add(step.frame, time, duration)
                for o in step.frame.objects:
                    count = counts.setdefault(o.prompt, [0, 0])
                    count[0] += o.visible
                    count[1] += 1
    return counts


def check_found(frame: TrackedFrame) -> None:
    """Raises VideoError if nothing was found on the first frame with a prompt: better now than at the end."""
    if not any(o.visible for o in frame.objects):
        phrases = ", ".join(repr(o.prompt) for o in frame.objects)
        raise VideoError(f"Nothing on the chosen frame answers to {phrases}: choose another by --at, or add --scan.")


def warn(frame: TrackedFrame) -> None:
    for o in frame.objects:
        for warning in o.warnings:
            print(f"evfsam: {o.prompt!r}: {warning}", file=sys.stderr)


def tell(args: argparse.Namespace, counts: dict[str, list[int]]) -> None:
    """What was written, on standard output unless the video goes there."""
    file = sys.stderr if args.out == "-" else sys.stdout
    for phrase, (visible, frames) in counts.items():
        print(f"{phrase}: visible on {visible} of {frames} frames", file=file)
    for path in (args.out, args.masks, args.rle, args.cutout):
        if path and path != "-":
            print(f"written: {path}", file=file)
