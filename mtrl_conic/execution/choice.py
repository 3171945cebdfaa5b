"""Which way of carrying out updates an agent gets."""

from __future__ import annotations

from typing import Literal

import torch

from mtrl_conic.execution.compiled import Compiled, has_compiler
from mtrl_conic.execution.config import COMPILED_AFTER
from mtrl_conic.execution.cuda_graph import CudaGraph
from mtrl_conic.execution.eager import Eager


def make_execution(
    device: torch.device, *, compile: bool | Literal["auto"] = "auto", cuda_graph: bool = False
) -> Eager:
    """How the updates of an agent on `device` are carried out.

    Args:
        device: of the agent.
        compile: compile what the networks do; auto: on a processor with a C++ compiler, after `COMPILED_AFTER` updates.
        cuda_graph: on a GPU, record each kind of update once and replay it.
    """
    if cuda_graph and device.type == "cuda":
        return CudaGraph()
    if compile == "auto":
        return Compiled(after=COMPILED_AFTER) if device.type == "cpu" and has_compiler() else Eager()
    return Compiled() if compile else Eager()
