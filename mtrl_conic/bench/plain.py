"""The update as in public code: one backward pass per task, projection on flat gradients.

It serves as a baseline in benchmarks and is not used otherwise.
"""

from __future__ import annotations

import copy
import random

import torch
from torch import Tensor, nn

from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.agents.protocol import Batch
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.networks.gaussian import Gaussian, squashed_sample
from mtrl_conic.networks.values import make_value


class PlainMTSAC:
    """Multi-task SAC with torch's own layers, and K backward passes with explicit PCGrad.

    Args:
        spec: names and sizes of the tasks.
        config: configuration of either base; only the options that differ between the bases are supported.
        balance: whether to balance; False uses one backward pass of the summed losses.
    """

    def __init__(self, spec: TaskSpec, config: AgentConfig, *, balance: bool = True) -> None:
        self.spec, self.config, self.balance = spec, config, balance
        self.value = make_value(config)
        inputs = spec.observation_dim + spec.action_dim
        norm = config.layer_norm != "none"
        self.critics = nn.ModuleList(
            _mlp(inputs, self.value.outputs, config.width, config.depth, norm) for _ in range(2)
        )
        self.targets = copy.deepcopy(self.critics)
        width, depth = config.actor_width or config.width, config.actor_depth or config.depth
        self.actor = _mlp(spec.observation_dim, 2 * spec.action_dim, width, depth, config.layer_norm == "both")
        self.log_temperature = nn.Parameter(torch.zeros(len(spec.task_names)))
        self._optimizers = {
            id(module): torch.optim.Adam(module.parameters(), lr=3e-4) for module in (self.critics, self.actor)
        }
        self._temperature_optimizer = torch.optim.Adam([self.log_temperature], lr=3e-4)

    @torch.no_grad()
    def act(self, observations: Tensor) -> Tensor:
        """(K, O) -> sampled actions (K, A)."""
        return self._sample(observations)[0]

    def update(self, batch: Batch) -> None:
        """One step of critics, actor, temperatures and targets."""
        temperature = self.log_temperature.detach().exp().unsqueeze(1)
        with torch.no_grad():
            actions, log_density = self._sample(batch.next_observations)
            values = self._values(self.targets, batch.next_observations, actions) - temperature * log_density
            target = self.value.target(batch.rewards + batch.discounts * values)
        x = torch.cat([batch.observations, batch.actions], dim=-1)
        losses = [self.value.loss(critic(x), target).mean(-1) for critic in self.critics]
        self._step(self.critics, losses[0] + losses[1])
        actions, log_density = self._sample(batch.observations)
        values = self._values(self.critics, batch.observations, actions)
        self._step(self.actor, (temperature * log_density - values).mean(-1))
        self._temperature_optimizer.zero_grad()
        (-self.log_temperature * (log_density.detach().mean(-1) - self.spec.action_dim)).sum().backward()
        self._temperature_optimizer.step()
        with torch.no_grad():
            for mean, new in zip(self.targets.parameters(), self.critics.parameters(), strict=True):
                mean.lerp_(new, 0.005)

    def _sample(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.actor(observations).chunk(2, dim=-1)
        return squashed_sample(Gaussian(mean, log_std.clamp(-20, 2)), torch.randn_like(mean))

    def _values(self, critics: nn.ModuleList, observations: Tensor, actions: Tensor) -> Tensor:
        x = torch.cat([observations, actions], dim=-1)
        values = torch.stack([self.value.mean(critic(x)) for critic in critics])
        return values.amin(0) if self.config.twins == "min" else values.mean(0)

    def _step(self, module: nn.Module, losses: Tensor) -> None:
        parameters = list(module.parameters())
        if not self.balance:
            direction = _flat(torch.autograd.grad(losses.mean(), parameters))
        else:
            rows = [_flat(torch.autograd.grad(loss, parameters, retain_graph=True)) for loss in losses]
            direction = _project(rows)
        for parameter, part in zip(parameters, direction.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)
        self._optimizers[id(module)].step()


def _flat(gradients: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])


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


def _mlp(inputs: int, outputs: int, width: int, depth: int, norm: bool) -> nn.Module:
    layers: list[nn.Module] = []
    for layer in range(depth):
        layers.append(nn.Linear(width if layer else inputs, width))
        if norm:
            layers.append(nn.LayerNorm(width))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(width, outputs))
