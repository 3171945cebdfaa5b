"""Per-task gradients of a network in one ordinary backward, their Gram matrix, their combination."""

from mtrl_conic.gradients.layers import LayerNorm, Linear, SharedLayer, TaskLayer, TaskLinear
from mtrl_conic.gradients.task_gradients import TaskGradients, is_native, own_parameters, shared_names, task_gradients

__all__ = [
    "LayerNorm",
    "Linear",
    "SharedLayer",
    "TaskGradients",
    "TaskLayer",
    "TaskLinear",
    "is_native",
    "own_parameters",
    "shared_names",
    "task_gradients",
]
