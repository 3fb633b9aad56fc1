"""``python -m evfsam.data.ccp CLONE FOLDER``: make the pack from a clone of the data set."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from evfsam.data.ccp.build import build_pack
from evfsam.errors import EvfSamError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m evfsam.data.ccp",
        description="Make the pack of photographs from a clone of github.com/bearpaw/clothing-co-parsing.",
        epilog="The licence of the photographs is not stated: keep the pack to yourself.",
    )
    parser.add_argument("clone", type=Path, help="folder of the clone")
    parser.add_argument("folder", type=Path, help="folder to write the pack to")
    args = parser.parse_args(argv)
    try:
        count = build_pack(args.clone, args.folder)
    except EvfSamError as error:
        print(f"evfsam: {error}", file=sys.stderr)
        return 2
    print(f"{count} photographs: {args.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
