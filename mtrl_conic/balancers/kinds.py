"""Balancers that need less than the Gram matrix, or more."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance, Balancer, Decision, Direction
from mtrl_conic.balancers.finite import furthest_from_zero, zero_where
from mtrl_conic.balancers.seam import Combined, Form, Gradients
from mtrl_conic.errors import UserError
from mtrl_conic.linalg.gram import full_precision


class LossBalancer(Balancer):
    """A balancer that weights losses and looks at no gradient."""

    needs = "losses"
    needs_losses = True
    compares_gradients = False

    @abstractmethod
    def weigh(self, losses: Tensor) -> Balance:
        """Weights and statistics from the losses (..., K) float64, finite; advances the state, in place."""

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        return self.weigh(given(losses))


class ConstantBalancer(Balancer):
    """A balancer whose weights depend on nothing but the number of tasks, and its own random numbers."""

    needs = "nothing"
    compares_gradients = False

    @abstractmethod
    def draw(self, like: Tensor) -> Balance:
        """Weights and statistics, of the shape (..., K) and on the device of `like`; advances the state, in place."""

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        return self.draw(gramian[..., 0])

    @override
    def _settle(self, gramian: Tensor, losses: Tensor | None) -> Balance:
        return self.balance(gramian, losses)  # there is nothing that could go wrong


class JacobianBalancer(Balancer):
    """A balancer without a Gram form: it needs the gradients themselves."""

    needs = "jacobian"
    has_weights = False

    @abstractmethod
    def balance_jacobian(self, jacobian: Tensor, losses: Tensor | None) -> Direction:
        """Direction and statistics from the jacobian (..., K, P), finite; advances the state, in place."""

    def prepare(self, jacobian: Tensor) -> None:
        """Make room in the state for gradients like these (..., K, P), before their numbers are looked at."""

    def _make_room(self, saved: dict[str, Tensor], name: str) -> None:
        """Make the entry `name` of the state, one value per task and parameter, as large as the one that was saved."""
        here, there = self.state[name], saved.get(name, self.state[name])
        if there.shape != here.shape and there.shape[:-1] == here.shape[:-1]:
            self.state[name] = torch.zeros_like(full_precision(there), device=here.device)

    @override
    def direct(self, jacobian: Tensor, losses: Tensor | None = None) -> Direction:
        jacobian = self._jacobian(jacobian)
        losses = self._losses(losses, jacobian.device)
        self.prepare(jacobian)
        largest = furthest_from_zero(jacobian)
        finite = largest.isfinite().all(-1)
        finite = finite if losses is None else finite & losses.sum(-1).isfinite()
        if self._known_to_be_sound(finite, largest, losses):
            return _with(self.balance_jacobian(jacobian, losses), skipped=~finite)
        jacobian = torch.where(finite[..., None, None], jacobian, 0.0)
        losses = None if losses is None else torch.where(finite.unsqueeze(-1), losses, 1.0)
        found = self._only_where(finite, lambda: self.balance_jacobian(jacobian, losses))
        return _with(Direction(zero_where(~finite, found.direction), found.statistics), skipped=~finite)

    @override
    def combine(self, gradients: Gradients[Form]) -> Combined[Form]:
        direction, statistics = self.direct(gradients.jacobian(), gradients.losses)
        return Combined(gradients.unflatten(direction), statistics)

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        raise UserError(f"{self.name} needs the gradients themselves: call direction(jacobian)")

    @override
    def _decide(self, gramian: Tensor, losses: Tensor | None) -> Decision:
        return Decision(self.balance(gramian, losses), None)


def _with(direction: Direction, **statistics: Tensor) -> Direction:
    return Direction(direction.direction, {**direction.statistics, **statistics})


def given(losses: Tensor | None) -> Tensor:
    """The losses of a method that was promised them."""
    if losses is None:
        raise UserError("this balancer needs the losses of the tasks")
    return losses
