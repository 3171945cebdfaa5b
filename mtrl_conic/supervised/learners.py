"""The ways to train K tasks: a shared trunk with a balancer, RotoGrad, or one network per task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mtrl_conic import balancers
from mtrl_conic.balancers.registry import in_steps
from mtrl_conic.errors import UserError
from mtrl_conic.gradients.mode import in_evaluation
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
    """Return the names that `--balancers` accepts: every balancer, `rotograd`, and the single-task baseline `stl`."""
    return [*balancers.available(), ROTOGRAD, SINGLE_TASK]


class Learner(ABC):
    """A network with its optimisers, which is trained one step at a time.

    Args:
        network: a network that maps the inputs of the problem to outputs.
        problem: the problem, which defines the losses.
        learning_rate: learning rate of Adam.
    """

    def __init__(self, network: nn.Module, problem: Problem, *, learning_rate: float) -> None:
        self.network, self.problem = network, problem
        self.optimizers = [torch.optim.Adam(self._parameters(), lr=learning_rate, fused=True)]

    def _parameters(self) -> list[nn.Parameter]:
        return list(self.network.parameters())

    batches = 1
    """Number of batches that one step uses."""

    @abstractmethod
    def gradients(self, *batches: Batch) -> tuple[Tensor, Statistics]:
        """Fill every `.grad`, and return the losses (K,) and the statistics."""

    def step(self, *batches: Batch) -> Statistics:
        """Run one optimiser step on `self.batches` batches; return `loss` (K,) and the statistics of the method."""
        losses, statistics = self.gradients(*batches)
        for optimizer in self.optimizers:
            optimizer.step()
        return {"loss": losses, **statistics}

    def predict(self, batch: Batch) -> Outputs:
        """Return the predictions of the network without recording gradients."""
        with torch.no_grad():
            outputs: Outputs = self.network(*batch.inputs)
        return outputs

    def scale_learning_rate(self, factor: float) -> None:
        """Set the learning rates to their initial values times `factor`."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * group.setdefault("initial_lr", group["lr"])

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on, except the state of torch's random generator."""
        return {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore a `state_dict`. The learning rates remain those of this learner."""
        self.network.load_state_dict(saved["network"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            rates = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
            optimizer.load_state_dict(state)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
                group.pop("initial_lr", None)


class Balanced(Learner):
    """A network whose trunk is trained with a balancer, and each head with the gradients of its own task."""

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
        """Compute the gradients with `write_gradients`."""
        forwards = [(partial(self._losses, batch), batch.inputs) for batch in batches]
        return write_gradients(self.network, forwards, self.balancer, mode=self.mode)

    def _losses(self, batch: Batch, outputs: Outputs) -> Tensor:
        return self.problem.losses(outputs, batch.targets)

    def step(self, *batches: Batch) -> Statistics:
        """Run one step. If the balancer observes the new losses, a second forward pass uses the same dropout masks."""
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
        """Return the state of the learner and of the balancer."""
        return super().state_dict() | {"balancer": self.balancer.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore the state of the learner and of the balancer."""
        super().load_state_dict(saved)
        self.balancer.load_state_dict(saved["balancer"])


class SingleTask(Learner):
    """One separate network per task, all trained in the same steps."""

    def gradients(self, *batches: Batch) -> tuple[Tensor, Statistics]:
        """Compute ordinary gradients, because no parameters are shared."""
        (batch,) = batches
        self.network.zero_grad()
        losses = self.problem.losses(self.network(*batch.inputs), batch.targets)
        losses.sum().backward()
        return losses.detach(), {}


class Rotated(Learner):
    """Equal weights, with RotoGrad between trunk and heads. The rotations have their own optimiser."""

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
        """Compute the gradients of the sum of losses; the backward pass of RotoGrad modifies them."""
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
    """Create the learner that `name` stands for, one of `methods()`. Initial parameters use torch's generator.

    Options that a paper states in epochs default to multiples of `epoch_steps`, also those of a method that another one
    contains.

    Raises:
        UserError: the method does not fit the network of the problem.
    """
    num_tasks = len(problem.tasks)
    if name == SINGLE_TASK:
        networks = SingleTaskNetworks(problem.network([task]) for task in range(num_tasks))
        return SingleTask(networks.to(device), problem, learning_rate=learning_rate)
    network = problem.network(range(num_tasks)).to(device)
    if name == ROTOGRAD:
        dim = _vector_size(network, next(problem.test.batches(2)).inputs, device)
        return Rotated(network, problem, RotoGradOptions(**options), dim, learning_rate=learning_rate)
    name, options = in_steps(name, options, epoch_steps)
    balancer = balancers.make(name, num_tasks, seed=seed, task_names=problem.tasks, **options)
    check(balancer, gradients)
    return Balanced(network, problem, balancer, learning_rate=learning_rate, gradients=gradients)


def _vector_size(network: TaskNetwork, inputs: Sequence[Tensor], device: torch.device) -> int:
    with torch.no_grad(), in_evaluation(network):
        representation: Representation = network.represent([part.to(device) for part in inputs])
    if not isinstance(network.heads, BatchedHeads) or representation[0].dim() != 2:
        raise UserError("rotograd needs one vector per row, but the representation of this network is not a vector")
    return representation[0].shape[1]


def _generator_state(device: torch.device) -> list[Tensor]:
    return [torch.get_rng_state()] + ([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])


def _set_generator_state(device: torch.device, states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
