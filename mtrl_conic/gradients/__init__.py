"""Per-task gradients of a network in one ordinary backward, their Gram matrix, their combination."""

from mtrl_conic.gradients.layers import (
    LayerNorm,
    Linear,
    SharedLayer,
    TaskEmbedding,
    TaskLayer,
    TaskLayerNorm,
    TaskLinear,
)
from mtrl_conic.gradients.task_gradients import Layout, TaskGradients, task_gradients

__all__ = [
    "LayerNorm",
    "Layout",
    "Linear",
    "SharedLayer",
    "TaskEmbedding",
    "TaskGradients",
    "TaskLayer",
    "TaskLayerNorm",
    "TaskLinear",
    "task_gradients",
]
