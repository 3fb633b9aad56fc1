"""The checkpoints that this app offers: which are here, which one suits a photograph, and how to get the others."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from evfsam import values
from evfsam.checkpoints.download import Download, Downloads
from evfsam.checkpoints.fetch import can_be_reached, is_offline, local_folder
from evfsam.checkpoints.layout import size_text
from evfsam.checkpoints.registry import CheckpointInfo, default_model, find, list_models
from evfsam.errors import CheckpointError
from evfsam.runtime import Runtime, free_bytes

# What an answer of a published checkpoint takes beside the weights: tests/ui/test_offer_full_size.py, on a CPU.
ANSWER_BYTES = 1_300_000_000


class Checkpoints:
    """One for the whole process; threads may share it.

    Attributes:
        models: by the name under which each is offered, the one to start with first.
        downloads: of published checkpoints; None if the operator switched them off.
        proposed: the checkpoint that this machine should get, for it has a GPU and reaches the Hub.
    """

    def __init__(self, names: Sequence[str], runtime: Runtime, download: bool = True):
        """``names`` as in ``Settings.models``. Raises CheckpointError for one that is not known."""
        self.runtime = runtime
        self.downloads = Downloads() if download else None
        rows = [find(name) for name in names] or [default_model()]
        known = [row for row in list_models() if download or local_folder(row)]
        self.models = {row.name: row for row in (*rows, *known)}
        self.proposed: CheckpointInfo | None = None

    def info(self, name: str) -> CheckpointInfo:
        """The row of an offered checkpoint. Raises CheckpointError for any other name."""
        try:
            return self.models[name]
        except (KeyError, TypeError):  # TypeError: no text at all
            known = ", ".join(self.models)
            raise CheckpointError(f"There is no checkpoint {values.shown(name)} here; choose one of {known}.") from None

    def for_photographs(self) -> CheckpointInfo | None:
        """The best checkpoint on this disk that has seen photographs: open language first, then none but these."""
        here = [info for info in self.models.values() if "photographs" in info.trained_on and local_folder(info)]
        return max(here, key=_for_photographs, default=None)

    def to_get(self, chosen: str) -> CheckpointInfo | None:
        """The checkpoint to offer for a download: the chosen one if it is not here, else the most able that is not.

        None once the most able is here, and where downloads are switched off.
        """
        if self.downloads is None:
            return None
        published = [info for info in self.models.values() if info.on_hub and not info.vocabulary]
        best = max(published, key=lambda info: len(info.capabilities), default=None)
        return next((info for info in (self.info(chosen), best) if info and local_folder(info) is None), None)

    def get(self, name: str, who: Hashable) -> Download:
        """Download a checkpoint, or join its download; ``who`` waits for it.

        Raises CheckpointError if it is not offered, downloads are switched off, or memory is short.
        """
        info = self.info(name)
        if self.downloads is None or is_offline():
            raise CheckpointError(self.why_missing(info))
        needed, free = self.memory_needed(info), free_bytes(self.runtime.device)
        if free is not None and needed > free:
            raise CheckpointError(
                f"{name} needs {size_text(needed)} of memory, but {size_text(free)} are free; "
                "close other programs, or use a machine with more."
            )
        return self.downloads.start(info, who)

    def memory_needed(self, info: CheckpointInfo) -> int:
        """Memory to answer with a published checkpoint, in bytes."""
        return (info.parameters or 0) * self.runtime.dtype.itemsize + ANSWER_BYTES

    def why_missing(self, info: CheckpointInfo) -> str:
        """Why a checkpoint that is not on this disk cannot answer, and what to do."""
        here = next((name for name, other in self.models.items() if local_folder(other)), "another")
        if self.downloads is None:
            return f"{info.name} is not on this disk, and nobody may download it here; choose {here}."
        if is_offline():
            return (
                f"{info.name} is not on this disk and HF_HUB_OFFLINE forbids downloading it; "
                f"start the app without that variable, or choose {here}."
            )
        if self.downloads.running(info.name):
            return f"{info.name} is still being downloaded; ask again when it is here."
        return f"{info.name} is not on this disk; get it with the button at the top of the page."

    def propose(self) -> None:
        """Set :attr:`proposed`. Asks the Hub, which takes seconds, where there is a GPU."""
        best = self.to_get(next(iter(self.models)))
        if best and self.runtime.device.type != "cpu" and not is_offline() and can_be_reached(best):
            self.proposed = best


def _for_photographs(info: CheckpointInfo) -> tuple:
    return not info.vocabulary, -len(info.trained_on), len(info.capabilities), info.parameters or 0
