"""The choice of an execution strategy for an agent."""

from __future__ import annotations

from typing import Literal

import torch

from mtrl_conic.execution.compiled import Compiled, has_compiler
from mtrl_conic.execution.config import COMPILED_AFTER
from mtrl_conic.execution.cuda_graph import CudaGraph
from mtrl_conic.execution.eager import Eager


def make_execution(device: torch.device, *, compile: bool | Literal["auto"] = "auto", cuda_graph: bool = True) -> Eager:
    """Choose how the updates of an agent on `device` are executed.

    Args:
        device: device of the agent.
        compile: whether to compile the networks' part and the balancers; `auto`: on a CPU with a C++ compiler, after
            `COMPILED_AFTER` updates.
        cuda_graph: whether to record each kind of update once on a GPU and replay it, instead of compiling.
    """
    if cuda_graph and device.type == "cuda":
        return CudaGraph()
    if compile == "auto":
        return Compiled(after=COMPILED_AFTER) if device.type == "cpu" and has_compiler() else Eager()
    return Compiled() if compile else Eager()
