"""Base classes of balancers that need less than the Gram matrix, or more."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance, Balancer, Decision, Direction, Settle
from mtrl_conic.balancers.finite import furthest_from_zero, zero_where
from mtrl_conic.balancers.seam import Combined, Form, Gradients
from mtrl_conic.errors import UserError
from mtrl_conic.linalg.gram import full_precision


class LossBalancer(Balancer):
    """Base class of balancers whose weights are computed from the losses alone."""

    needs = "losses"
    needs_losses = True
    compares_gradients = False

    @abstractmethod
    def weigh(self, losses: Tensor) -> Balance:
        """Return weights and statistics for finite float64 losses (..., K), and update the state in place."""

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        return self.weigh(given(losses))


class ConstantBalancer(Balancer):
    """Base class of balancers whose weights depend only on the number of tasks and on random numbers."""

    needs = "nothing"
    compares_gradients = False

    @abstractmethod
    def draw(self, like: Tensor) -> Balance:
        """Return weights and statistics with the shape (..., K) and the device of `like`; update the state in place."""

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        return self.draw(gramian[..., 0])

    @override
    def settle(self, gramian: Tensor, losses: Tensor | None) -> Balance:
        proposed = self.balance(gramian, losses)
        self._check_proposal(proposed, gramian.shape[:-1])
        return proposed  # such weights promise nothing that could be missed


class JacobianBalancer(Balancer):
    """Base class of balancers that need the gradients themselves, since the Gram matrix is not enough."""

    needs = "jacobian"
    has_weights = False
    traceable = False
    remembered: ClassVar[str] = ""
    """Entry of the state with one value per task and parameter, if the method has one."""
    remembered_type: ClassVar[torch.dtype | None] = None
    """Type of that entry; by default that of the gradients, but at least float32."""

    @abstractmethod
    def balance_jacobian(self, jacobian: Tensor, losses: Tensor | None) -> Direction:
        """Return direction and statistics for a finite Jacobian (..., K, P), and update the state in place."""

    @override
    def initial_state(self) -> dict[str, Tensor]:
        if not self.remembered:
            return {}
        # P is known at the first call only.
        return {self.remembered: torch.zeros(*self.batch_shape, self.num_tasks, 0, dtype=self.remembered_type)}

    @override
    def load_state_dict(self, saved: dict[str, Tensor]) -> None:
        before = dict(self.state)
        if self.remembered:
            here = self.state[self.remembered]
            there = saved.get(self.remembered, here)
            if there.shape != here.shape and there.shape[:-1] == here.shape[:-1]:
                self.state[self.remembered] = torch.zeros_like(full_precision(there), device=here.device)
        try:
            super().load_state_dict(saved)
        except UserError:
            self.state = before
            raise

    def prepare(self, jacobian: Tensor) -> None:
        """Allocate the state for gradients of this shape (..., K, P), before their values are checked.

        Raises:
            UserError: the state is that of another number of parameters.
        """
        first = jacobian[..., : self.num_tasks, :]
        if self.remembered and self.state[self.remembered].shape != first.shape:
            known, given = self.state[self.remembered].shape[-1], first.shape[-1]
            if known and known != given:
                raise UserError(
                    f"{self.name} remembers gradients of {known} parameters, and these have {given}: call reset() when "
                    "parameters are added or removed"
                )
            kind = self.remembered_type or torch.promote_types(first.dtype, torch.float32)
            self.state[self.remembered] = torch.zeros_like(first, dtype=kind)

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
    def combine(self, gradients: Gradients[Form], settle: Settle | None = None) -> Combined[Form]:
        direction, statistics = self.direct(gradients.jacobian(), gradients.losses)
        return Combined(gradients.unflatten(direction), statistics)

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        raise UserError(f"{self.name} needs the gradients themselves: call direction(jacobian)")

    @override
    def _decide(self, gramian: Tensor, losses: Tensor | None, settle: Settle | None = None) -> Decision:
        return Decision(self.balance(gramian, losses), None)


def _with(direction: Direction, **statistics: Tensor) -> Direction:
    return Direction(direction.direction, {**direction.statistics, **statistics})


def given(losses: Tensor | None) -> Tensor:
    """Return the losses, which the method requires."""
    if losses is None:
        raise UserError("this balancer needs the losses of the tasks")
    return losses
