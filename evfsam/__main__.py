"""``python -m evfsam VERB ...``: one file of ``evfsam.cli`` per verb."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from evfsam import DEFAULT_MODEL, __version__
from evfsam.cli import batch, compare, evaluate, models, segment, track, train
from evfsam.cli.options import Parser
from evfsam.errors import EvfSamError

VERBS = (segment, track, compare, batch, evaluate, train, models)
DONE, UNEXPECTED, REFUSED, STOPPED = 0, 1, 2, 130


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m evfsam",
        usage="python -m evfsam VERB ...",
        description=f"Segment what a prompt names, in images and videos. The default model is {DEFAULT_MODEL}.",
        epilog="Options of a verb: python -m evfsam VERB --help. Exit codes: 0 done, 2 something to put right (one "
        "sentence says what), 1 an unexpected error, 130 stopped.",
    )
    parser.add_argument("--version", action="version", version=f"evfsam {__version__}")
    subparsers = parser.add_subparsers(title="Verbs", metavar="VERB", prog=parser.prog)
    for verb in VERBS:
        verb.add_parser(subparsers)
    subparsers.add_parser("app", help="start the page; its options: app --help", add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns its exit code: 2, with a sentence on stderr, for an error that the user can put right."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the shell has closed it, as by ">&-"
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open as long as the process
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal or a pipe may not know every letter
    try:
        argv = sys.argv[1:] if argv is None else list(argv)
        if argv[:1] == ["app"]:  # the page reads its own options
            from evfsam.ui.start import main as start_page

            return start_page(argv[1:], "evfsam app")
        parser = build_parser()
        args = parser.parse_args(argv)
        if not hasattr(args, "func"):
            parser.print_help(sys.stderr)
            return REFUSED
        code = args.func(args)
        sys.stdout.flush()
        return code
    except EvfSamError as error:
        return _say(str(error), REFUSED)
    except KeyboardInterrupt:
        return _say("stopped.", STOPPED)
    except BrokenPipeError:  # the reader of the output has gone, as after "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNEXPECTED
    except Exception as error:
        if os.environ.get("EVFSAM_DEBUG"):
            raise
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return _say("The memory is full: use a smaller image, fewer prompts or a smaller model.", UNEXPECTED)
        if isinstance(error, OSError):
            return _say(f"A file cannot be read or written ({error}): check paths, permissions and the disk.", REFUSED)
        said = " ".join(str(error).split())[:200]
        sentence = f"Something unexpected went wrong ({type(error).__name__}: {said})"
        return _say(f"{sentence}: set EVFSAM_DEBUG=1 to see where, and report it.", UNEXPECTED)


def _say(sentence: str, code: int) -> int:
    print(f"evfsam: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
