"""How and where an update is executed: eager, compiled or as a CUDA graph; device and memory."""

from typing import TYPE_CHECKING

from mtrl_conic._lazy import lazy

if TYPE_CHECKING:
    from mtrl_conic.execution.choice import make_execution as make_execution
    from mtrl_conic.execution.compiled import Compiled as Compiled
    from mtrl_conic.execution.config import COMPILED_AFTER as COMPILED_AFTER
    from mtrl_conic.execution.cuda_graph import CudaGraph as CudaGraph
    from mtrl_conic.execution.device import choose_device as choose_device
    from mtrl_conic.execution.eager import Eager as Eager
    from mtrl_conic.execution.timing import Stopwatch as Stopwatch

__all__ = ["COMPILED_AFTER", "Compiled", "CudaGraph", "Eager", "Stopwatch", "choose_device", "make_execution"]

__getattr__ = lazy(
    __name__,
    {
        "COMPILED_AFTER": "mtrl_conic.execution.config",
        "Compiled": "mtrl_conic.execution.compiled",
        "CudaGraph": "mtrl_conic.execution.cuda_graph",
        "Eager": "mtrl_conic.execution.eager",
        "Stopwatch": "mtrl_conic.execution.timing",
        "choose_device": "mtrl_conic.execution.device",
        "make_execution": "mtrl_conic.execution.choice",
    },
)
