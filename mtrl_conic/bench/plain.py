"""The update as public code writes it: one backward pass per task, projection on flat gradients.

It is here to be measured beside ours; nothing else uses it.
"""

from __future__ import annotations

import copy
import random

import torch
from torch import Tensor, nn

from mtrl_conic.agents.policy import Gaussian, squashed_sample
from mtrl_conic.training.replay import Batch


class PlainMTSAC:
    """Multi-task SAC on the classic base with K backward passes and explicit PCGrad.

    Args:
        num_tasks: K.
        observation_dim: O.
        action_dim: A.
        width: of the three hidden layers.
    """

    def __init__(self, num_tasks: int, observation_dim: int, action_dim: int, *, width: int = 400) -> None:
        inputs = observation_dim + action_dim
        self.critics = nn.ModuleList(_mlp(inputs, 1, width) for _ in range(2))
        self.targets = copy.deepcopy(self.critics)
        self.actor = _mlp(observation_dim, 2 * action_dim, width)
        self.log_temperature = nn.Parameter(torch.zeros(num_tasks))
        self._action_dim = action_dim
        self._optimizers = {
            id(module): torch.optim.Adam(module.parameters(), lr=3e-4) for module in (self.critics, self.actor)
        }
        self._temperature_optimizer = torch.optim.Adam([self.log_temperature], lr=3e-4)

    def update(self, batch: Batch) -> None:
        """One step of critics, actor, temperatures and targets."""
        temperature = self.log_temperature.detach().exp().unsqueeze(1)
        with torch.no_grad():
            actions, log_density = self._sample(batch.next_observations)
            values = self._values(self.targets, batch.next_observations, actions).amin(0) - temperature * log_density
            target = batch.rewards + batch.discounts * values
        values = self._values(self.critics, batch.observations, batch.actions)
        self._step(self.critics, (values - target).square().mean(-1).sum(0))
        actions, log_density = self._sample(batch.observations)
        values = self._values(self.critics, batch.observations, actions).amin(0)
        self._step(self.actor, (temperature * log_density - values).mean(-1))
        self._temperature_optimizer.zero_grad()
        (-self.log_temperature * (log_density.detach().mean(-1) - self._action_dim)).sum().backward()
        self._temperature_optimizer.step()
        with torch.no_grad():
            for mean, new in zip(self.targets.parameters(), self.critics.parameters(), strict=True):
                mean.lerp_(new, 0.005)

    def _sample(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.actor(observations).chunk(2, dim=-1)
        return squashed_sample(Gaussian(mean, log_std.clamp(-20, 2)), torch.randn_like(mean))

    def _values(self, critics: nn.ModuleList, observations: Tensor, actions: Tensor) -> Tensor:
        x = torch.cat([observations, actions], dim=-1)
        return torch.stack([critic(x).squeeze(-1) for critic in critics])

    def _step(self, module: nn.Module, losses: Tensor) -> None:
        parameters = list(module.parameters())
        rows = []
        for loss in losses:
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
            rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
        direction = _project(rows)
        for parameter, part in zip(parameters, direction.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)
        self._optimizers[id(module)].step()


def _project(rows: list[Tensor]) -> Tensor:
    """PCGrad on flat gradients, task by task."""
    projected = [row.clone() for row in rows]
    for task, row in enumerate(projected):
        others = [other for other in range(len(rows)) if other != task]
        random.shuffle(others)
        for other in others:
            product = torch.dot(row, rows[other])
            if product < 0:
                row -= product / rows[other].square().sum() * rows[other]
    return torch.stack(projected).mean(0)


def _mlp(inputs: int, outputs: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, outputs),
    )
