"""A network that is trained through a balancer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtrl_conic.agents.protocol import Statistics
from mtrl_conic.balancers import Balancer
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import Layout, TaskGradients
from mtrl_conic.linalg.cosines import norms_and_cosines
from mtrl_conic.networks.flat import flatten


class Component:
    """The actor or the critic with its optimiser and its own balancer.

    Args:
        name: prefix of its statistics.
        network: the network; it must already be on its device.
        balancer: the balancer of this component alone; its state is saved with the component.
        learning_rate: learning rate of AdamW (Loshchilov and Hutter, 2019).
        weight_decay: weight decay of AdamW; with 0 it is Adam.
        balanced: returns, for the name of a shared parameter, whether the balancer combines its gradients.

    Raises:
        UserError: weight decay is given, and a parameter does not require gradients.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        balancer: Balancer,
        *,
        learning_rate: float,
        weight_decay: float = 0,
        balanced: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self.name = name
        self.network = network
        self.balancer = balancer
        frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
        if weight_decay and frozen:
            raise UserError(
                f"weight decay would change {frozen[0]}, which does not require gradients: register it as a buffer, or "
                "use no weight decay"
            )
        self.block = flatten(network)
        self.layout = Layout(network, balanced)
        self._settings = {"lr": learning_rate, "weight_decay": weight_decay}
        self.optimizer = torch.optim.AdamW([self.block], lr=learning_rate, weight_decay=weight_decay, fused=True)

    def batches(self, rows: Sequence[Tensor], parts: int) -> list[tuple[Tensor, ...]]:
        """Return the batches that the balancer needs.

        Args:
            rows: tensors (K, R, ...).
            parts: number of batches of equal size that the R rows consist of.

        Raises:
            UserError: the rows cannot be split into batches of equal size.
        """
        if parts == 1:
            return [tuple(rows)]
        number = rows[0].shape[1]
        if number % parts:
            raise UserError(
                f"an update takes {parts} independent batches of equal size: {number} rows per task cannot be split "
                "into them"
            )
        pieces = [part.unflatten(1, (parts, -1)) for part in rows]
        return [tuple(part[:, place].contiguous() for part in pieces) for place in range(self.balancer.batches)]

    def told(self, gradients: TaskGradients, decided: Statistics, compare: bool) -> Statistics:
        """Return the statistics of an update of this component.

        Args:
            gradients: task gradients of the update.
            decided: statistics of the balancer.
            compare: whether to include gradient norms and cosines.
        """
        tasks = self.balancer.num_tasks
        told = {"loss": gradients.losses.view(-1, tasks).mean(0)}
        if compare:
            of_first_batch = gradients.gramian[:tasks, :tasks]
            told["gradient_norm"], told["cosine"] = norms_and_cosines(of_first_batch)
        for name, value in decided.items():
            told[name if name == "weight" else f"{self.balancer.name}_{name}"] = value
        return {f"{self.name}/{name}": value for name, value in told.items()}

    def diverged(self, gradients: TaskGradients, tasks: Sequence[str]) -> FloatingPointError:
        """Return an error that names the tasks whose loss or gradient is not finite."""
        unsound = ~(gradients.losses + gradients.gramian.diagonal()).isfinite()
        named = [name for name, is_ in zip(tasks, unsound.view(-1, len(tasks)).any(0).tolist(), strict=True) if is_]
        return FloatingPointError(f"the {self.name}'s loss or gradient of {', '.join(named or tasks)} is not finite")

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the network, the optimiser and the balancer."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "balancer": self.balancer.state_dict(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict` of the same network, but keep the current learning rate and weight decay."""
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.optimizer.param_groups[0].update(self._settings)
        self.balancer.load_state_dict(saved["balancer"])
