"""A separate agent per task in one process: the baseline of the other networks."""

from __future__ import annotations

import torch

from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.networks.hidden import Hidden
from mtrl_conic.networks.layers import Layers
from mtrl_conic.networks.registry import register_network
from mtrl_conic.networks.trunks.shared import Shared


@register_network("single_task")
class SingleTask(Shared):
    """A separate agent per task in one process, without shared parameters. All products are in float32."""

    own_output = True

    def _layers(self, spec: TaskSpec, hidden: Hidden, generator: torch.Generator, film: int | None) -> Layers:
        return Layers(len(spec.task_names), generator, film=film)
