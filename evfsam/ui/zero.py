"""ZeroGPU where there is one, nothing where there is not.

On a Space with ZeroGPU a function that needs the GPU runs in a forked process: its arguments and results are
pickled, what it changes outside is lost, and the time booked is the time named here. Everywhere else the very
same function is called directly.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

ON_ZERO_GPU = bool(os.environ.get("SPACES_ZERO_GPU"))
if ON_ZERO_GPU:
    import spaces  # takes seconds elsewhere, for nothing

Function = TypeVar("Function", bound=Callable)


def on_gpu(task: Function, seconds: int | Callable[..., int]) -> Function:
    """``task``, booked for so many seconds of GPU on ZeroGPU.

    Args:
        task: a function or generator function; arguments and results must pickle.
        seconds: or a function of the same arguments that tells them.
    """
    return spaces.GPU(task, duration=seconds) if ON_ZERO_GPU else task
