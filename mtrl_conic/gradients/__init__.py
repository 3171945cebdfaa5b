"""Per-task gradients of a network in one backward pass, their Gram matrix and their combination."""

from mtrl_conic.gradients.factors import Factors
from mtrl_conic.gradients.layers import (
    LayerNorm,
    Linear,
    SharedLayer,
    TaskEmbedding,
    TaskLayer,
    TaskLayerNorm,
    TaskLinear,
)
from mtrl_conic.gradients.layout import Layout
from mtrl_conic.gradients.own_loop import backward
from mtrl_conic.gradients.task_gradients import TaskGradients, task_gradients

__all__ = [
    "Factors",
    "LayerNorm",
    "Layout",
    "Linear",
    "SharedLayer",
    "TaskEmbedding",
    "TaskGradients",
    "TaskLayer",
    "TaskLayerNorm",
    "TaskLinear",
    "backward",
    "task_gradients",
]
