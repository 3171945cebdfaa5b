"""The ways to train K tasks: a trunk through a balancer, RotoGrad between trunk and heads, K single networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mtrl_conic import balancers
from mtrl_conic.errors import UserError
from mtrl_conic.supervised.gradients import Statistics, check, write_gradients
from mtrl_conic.supervised.network import BatchedHeads, Outputs, Representation, SingleTaskNetworks, TaskNetwork
from mtrl_conic.supervised.problem import Batch, Gradients, Options, Problem
from mtrl_conic.supervised.rotograd import RotoGrad

SINGLE_TASK, ROTOGRAD = "stl", "rotograd"


class RotoGradOptions(Options):
    """Options of `rotograd`."""

    scale: Annotated[
        bool, Field(description="also equalise the gradient norms; false: only the rotations of the paper")
    ] = True
    rate: Annotated[float, Field(gt=0, description="learning rate of the rotations divided by that of the network")] = (
        0.1
    )


def methods() -> list[str]:
    """What `--balancers` takes: every balancer, RotoGrad, and the single-task baseline."""
    return [*balancers.available(), ROTOGRAD, SINGLE_TASK]


class Learner(ABC):
    """A network with its optimiser, trained on one step's batches after the other.

    Args:
        network: anything that maps a problem's inputs to outputs.
        learning_rate: Adam's.
    """

    def __init__(self, network: nn.Module, problem: Problem, *, learning_rate: float) -> None:
        self.network, self.problem = network, problem
        self.optimizers = [torch.optim.Adam(self._parameters(), lr=learning_rate, fused=True)]

    def _parameters(self) -> list[nn.Parameter]:
        return list(self.network.parameters())

    batches = 1
    """How many a step takes."""

    @abstractmethod
    def gradients(self, *batches: Batch) -> tuple[Tensor, Statistics]:
        """Fill every `.grad`; returns losses (K,) and statistics."""

    def step(self, *batches: Batch) -> Statistics:
        """One optimiser step on as many batches as it takes; returns `loss` (K,) and what the method tells."""
        losses, statistics = self.gradients(*batches)
        for optimizer in self.optimizers:
            optimizer.step()
        return {"loss": losses, **statistics}

    def predict(self, batch: Batch) -> Outputs:
        """Predictions of the network as it stands."""
        with torch.no_grad():
            outputs: Outputs = self.network(*batch.inputs)
        return outputs

    def scale_learning_rate(self, factor: float) -> None:
        """Multiply the step sizes that the learner began with."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * group.setdefault("initial_lr", group["lr"])

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, but for torch's generator."""
        return {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict`; the step sizes are this learner's own."""
        self.network.load_state_dict(saved["network"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            rates = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
            optimizer.load_state_dict(state)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
                group.pop("initial_lr", None)


class Balanced(Learner):
    """A trunk trained through a balancer, heads on their own gradients."""

    network: TaskNetwork

    def __init__(
        self,
        network: TaskNetwork,
        problem: Problem,
        balancer: balancers.Balancer,
        *,
        learning_rate: float,
        gradients: Gradients,
    ) -> None:
        super().__init__(network, problem, learning_rate=learning_rate)
        self.balancer, self.mode, self.batches = balancer, gradients, balancer.batches

    def gradients(self, *batches: Batch) -> tuple[Tensor, Statistics]:
        """See `write_gradients`."""
        forwards = [(partial(self._losses, batch), batch.inputs) for batch in batches]
        return write_gradients(self.network, forwards, self.balancer, mode=self.mode)

    def _losses(self, batch: Batch, outputs: Outputs) -> Tensor:
        return self.problem.losses(outputs, batch.targets)

    def step(self, *batches: Batch) -> Statistics:
        """As every learner's; a balancer that asks for it sees the same batch once more, dropout and all."""
        if not self.balancer.observes:
            return super().step(*batches)
        batch = batches[0]
        device = batch.inputs[0].device
        before = _generator_state(device)
        statistics = super().step(*batches)
        _set_generator_state(device, before)
        with torch.no_grad():
            self.balancer.observe(self.problem.losses(self.network(*batch.inputs), batch.targets))
        return statistics

    def state_dict(self) -> dict[str, Any]:
        """With the balancer's."""
        return super().state_dict() | {"balancer": self.balancer.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """With the balancer's."""
        super().load_state_dict(saved)
        self.balancer.load_state_dict(saved["balancer"])


class SingleTask(Learner):
    """Every task on a network of its own, all in the same steps."""

    def gradients(self, *batches: Batch) -> tuple[Tensor, Statistics]:
        """Plain: no parameter is shared."""
        (batch,) = batches
        self.network.zero_grad()
        losses = self.problem.losses(self.network(*batch.inputs), batch.targets)
        losses.sum().backward()
        return losses.detach(), {}


class Rotated(Learner):
    """Equal weights with RotoGrad between trunk and heads; the rotations have an optimiser of their own."""

    def __init__(
        self, network: TaskNetwork, problem: Problem, options: RotoGradOptions, dim: int, *, learning_rate: float
    ) -> None:
        rotation = RotoGrad(network.num_tasks, dim, scale=options.scale).to(next(network.parameters()).device)
        super().__init__(_RotatedNetwork(network, rotation), problem, learning_rate=learning_rate)
        rate = learning_rate * options.rate
        self.optimizers.append(torch.optim.Adam(rotation.rotations(), lr=rate, fused=True))

    def _parameters(self) -> list[nn.Parameter]:
        assert isinstance(self.network, _RotatedNetwork)
        return list(self.network.inner.parameters())

    def gradients(self, *batches: Batch) -> tuple[Tensor, Statistics]:
        """RotoGrad's own backward does the rest."""
        (batch,) = batches
        self.network.zero_grad()
        losses = self.problem.losses(self.network(*batch.inputs), batch.targets)
        losses.sum().backward()
        return losses.detach(), {}


class _RotatedNetwork(nn.Module):
    def __init__(self, inner: TaskNetwork, rotation: RotoGrad) -> None:
        super().__init__()
        self.inner, self.rotation = inner, rotation

    def forward(self, *inputs: Tensor) -> Outputs:
        (representation,) = self.inner.represent(inputs)
        outputs: Outputs = self.inner.heads([self.rotation(representation)])
        return outputs


def make_learner(
    problem: Problem,
    name: str,
    options: dict[str, Any],
    *,
    seed: int,
    learning_rate: float,
    gradients: Gradients,
    epoch_steps: int,
    device: torch.device,
) -> Learner:
    """The learner behind a name in `methods()`; initial values come from torch's generator.

    Options that a paper gives in epochs are so many of `epoch_steps`, where none of them is given.

    Raises:
        UserError: a method that does not fit the problem's network.
    """
    num_tasks = len(problem.tasks)
    if name == SINGLE_TASK:
        networks = SingleTaskNetworks(problem.network([task]) for task in range(num_tasks))
        return SingleTask(networks.to(device), problem, learning_rate=learning_rate)
    network = problem.network(range(num_tasks)).to(device)
    if name == ROTOGRAD:
        dim = _vector_size(network, next(problem.test.batches(2)).inputs, device)
        return Rotated(network, problem, RotoGradOptions(**options), dim, learning_rate=learning_rate)
    in_epochs = balancers.get(name).in_epochs
    if not in_epochs.keys() & options:
        options = {**options, **{option: count * epoch_steps for option, count in in_epochs.items()}}
    balancer = balancers.make(name, num_tasks, seed=seed, task_names=problem.tasks, **options)
    check(balancer, gradients)
    return Balanced(network, problem, balancer, learning_rate=learning_rate, gradients=gradients)


def _vector_size(network: TaskNetwork, inputs: Sequence[Tensor], device: torch.device) -> int:
    network.eval()
    with torch.no_grad():
        representation: Representation = network.represent([part.to(device) for part in inputs])
    network.train()
    if not isinstance(network.heads, BatchedHeads) or representation[0].dim() != 2:
        raise UserError("rotograd turns a vector: this network's representation is no single vector per row")
    return representation[0].shape[1]


def _generator_state(device: torch.device) -> list[Tensor]:
    return [torch.get_rng_state()] + ([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])


def _set_generator_state(device: torch.device, states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
