"""A network that is trained through a balancer: the seam where task losses become one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mtrl_conic.agents.mtsac.work import Gradients, Steps, work_alone
from mtrl_conic.balancers import Balancer
from mtrl_conic.execution.cuda_graph import step
from mtrl_conic.execution.timing import Stopwatch
from mtrl_conic.gradients import Layout, TaskGradients
from mtrl_conic.gradients.task_gradients import Losses
from mtrl_conic.networks.flat import flatten

Statistics = dict[str, Tensor]


class Component:
    """The actor or the critic with its optimiser and its own balancer.

    Args:
        name: prefix of its statistics.
        network: on its device already.
        balancer: of this component alone; its state is part of this component's.
        learning_rate: AdamW's (Loshchilov and Hutter, 2019), which without weight decay is Adam.
        weight_decay: AdamW's.
        watch: what the time of each part is added to.
        balanced: says of a shared parameter's name whether the balancer combines its gradients.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        balancer: Balancer,
        *,
        learning_rate: float,
        weight_decay: float = 0,
        watch: Stopwatch | None = None,
        balanced: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self.name = name
        self.network = network
        self.balancer = balancer
        self.watch = watch or Stopwatch()
        self.block = flatten(network)
        self.layout = Layout(network, balanced)
        self.optimizer = torch.optim.AdamW([self.block], lr=learning_rate, weight_decay=weight_decay, fused=True)

    def step(self, losses: Losses, *inputs: Any, compare: bool = True) -> tuple[Statistics, Any]:
        """`steps`, all done."""
        return work_alone(self.steps(losses, *inputs, compare=compare), self.watch)

    def steps(
        self, losses: Losses, *inputs: Any, compare: bool = True, others: tuple[Layout, ...] = ()
    ) -> Steps[tuple[Statistics, Any]]:
        """One optimiser step on K losses.

        Args:
            losses: a pure function of (network, *inputs), see `task_gradients`.
            inputs: with a leading task axis.
            compare: whether the tasks' gradients are to be compared, where the balancer itself does not.
            others: networks that `losses` uses besides.

        Returns:
            Statistics by name, and what the loss function returned besides.
        """
        compare = compare or self.balancer.compares_gradients
        gradients: TaskGradients = yield Gradients(self.name, self.layout, losses, inputs, compare, others)
        with self.watch("balancing"):
            statistics = gradients.write(self.network, self.balancer)
        with self.watch(self.name):
            step(self.optimizer)
        if self.balancer.observes:
            with self.watch("balancing"), torch.no_grad():
                self.balancer.observe(losses(self.network, *inputs)[0])
        named = {"loss": gradients.losses} | (_geometry(gradients) if compare else {})
        return self._named(named, statistics), gradients.extra

    def _named(self, named: Statistics, balancing: Statistics) -> Statistics:
        for key, value in balancing.items():
            named[key if key == "weight" else f"{self.balancer.name}_{key}"] = value
        return {f"{self.name}/{key}": value for key, value in named.items()}

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser and balancer."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "balancer": self.balancer.state_dict(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict` of the same configuration."""
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.balancer.load_state_dict(saved["balancer"])


def _geometry(gradients: TaskGradients) -> Statistics:
    norms = gradients.gramian.diagonal().sqrt()
    cosines = gradients.gramian / torch.outer(norms, norms).clamp_min(torch.finfo(norms.dtype).tiny)
    return {"gradient_norm": norms, "cosine": cosines}
