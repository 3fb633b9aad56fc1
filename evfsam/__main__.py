"""``python -m evfsam VERB ...``: one file of ``evfsam.cli`` a verb."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from evfsam.cli import evaluate, models, segment, track, train
from evfsam.errors import EvfSamError

VERBS = (segment, track, evaluate, train, models)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evfsam", description="Segment what a phrase names, in pictures and videos."
    )
    subparsers = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns its exit code: 2, with a sentence on stderr, for what the user can put right."""
    args = build_parser().parse_args(argv)
    try:
        return args.func(args)
    except EvfSamError as error:
        print(f"evfsam: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("evfsam: stopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
