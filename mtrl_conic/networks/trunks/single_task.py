"""An agent of its own per task, in one process: what the others are held against."""

from __future__ import annotations

import torch

from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.networks.hidden import Hidden
from mtrl_conic.networks.layers import Layers
from mtrl_conic.networks.registry import register_network
from mtrl_conic.networks.trunks.shared import Shared


@register_network("single_task")
class SingleTask(Shared):
    """Nothing is shared: an agent of its own per task, in one process. All of its products are in float32."""

    own_output = True

    def _layers(self, spec: TaskSpec, hidden: Hidden, generator: torch.Generator, film: int | None) -> Layers:
        return Layers(len(spec.task_names), generator, film=film)
