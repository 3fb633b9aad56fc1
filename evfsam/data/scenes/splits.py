"""Seeds for training, validation and test."""

from __future__ import annotations

from evfsam.errors import InputError

TRAIN = range(0, 800_000)
VALIDATION = range(800_000, 900_000)
TEST = range(900_000, 1_000_000)
SEEDS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


def require_training_seeds(start: int, count: int) -> range:
    """The seeds ``start`` to ``start + count - 1``.

    Raises InputError if there are none, or if one of them is kept for validation or test.
    """
    if count < 1 or start not in TRAIN or start + count - 1 not in TRAIN:
        raise InputError(
            f"Training may only use scene seeds from {TRAIN.start} to {TRAIN.stop - 1}, "
            f"not {count} from {start}: choose a smaller start or count."
        )
    return range(start, start + count)
