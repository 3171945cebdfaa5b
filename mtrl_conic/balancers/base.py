"""What every balancer is: a map from the Gram matrix or the losses of K tasks to K weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.random import uniform
from mtrl_conic.errors import UserError
from mtrl_conic.linalg.gram import combine, gramian_of


class Balance(NamedTuple):
    """What a balancer decided for one update."""

    weights: Tensor
    """(..., K) float64, one weight per task."""
    statistics: dict[str, Tensor]
    """Figures of the method itself (dual gap, number of conflicts, ...), of shape (...) or (..., K)."""


class Direction(NamedTuple):
    """What a balancer made of a Jacobian."""

    direction: Tensor
    """(..., P), in the type of the Jacobian."""
    statistics: dict[str, Tensor]
    """As in `Balance`."""


Form = TypeVar("Form")
"""The form of a direction: what the gradients that it is made of add up to, a dict by parameter, say."""
Form_co = TypeVar("Form_co", covariant=True)


class Gradients(Protocol[Form_co]):
    """The gradients of K losses, in whatever form they are kept: what `Balancer.combine` takes."""

    @property
    def losses(self) -> Tensor:
        """(K,), detached."""

    @property
    def gramian(self) -> Tensor:
        """(K, K) float64: inner products of the gradients, computed when it is first asked for."""

    def jacobian(self) -> Tensor:
        """(K, P): the gradients side by side, a copy."""

    def combine(self, weights: Tensor) -> Form_co:
        """The sum of the K gradients times weights (K,)."""

    def unflatten(self, direction: Tensor) -> Form_co:
        """A vector (P,), a combination of the rows of `jacobian`, in the gradients' own form."""


class Combined(NamedTuple, Generic[Form]):
    """What a balancer made of gradients."""

    direction: Form
    """In the form of the gradients."""
    statistics: dict[str, Tensor]
    """As in `Balance`, with the weights (K,) as `weight` where the method has any."""


class Balancer(ABC):
    """Chooses how the gradients of K tasks are combined into one direction.

    A balancer sees the Gram matrix M = J J^T of the tasks' gradients with respect to the shared
    parameters (J is K x P) or the tasks' losses, and returns weights w; the direction is J^T w.
    It works in float64 on the device of its input, never branches on the data and never waits for
    the device (one does, and says so, see `waits`), so that an update that holds it can be compiled or
    recorded; its state, the count of its random draws included, consists of tensors written in place for the
    same reason.

    One object serves one component (the critic, say): its state and generator are its own.

    A batch of problems is solved at once where the input has leading dimensions. A method with
    state keeps one state per problem: tell it the leading dimensions by `reset(batch_shape)`.

    Args:
        num_tasks: K, at least 1.
        seed: of the balancer's own random numbers, for the methods that draw.
    """

    name: ClassVar[str]
    """The registered name."""
    paper: ClassVar[str]
    """Authors, title or venue, and year of the source."""
    needs: ClassVar[Literal["gramian", "losses", "jacobian", "nothing"]] = "gramian"
    """What the weights are computed from; `losses` may also be used by a `gramian` method."""
    needs_losses: ClassVar[bool] = False
    """Whether `losses` must be given as well."""
    positive_losses: bool = False
    """Whether the losses must be positive (the actor's are not)."""
    observes: ClassVar[bool] = False
    """Whether `observe` wants the losses of the same batch after the optimiser's step."""
    every_task: ClassVar[bool] = False
    """Whether the method follows each task's loss from update to update, so that no batch may lack one."""
    carries_gradients: ClassVar[bool] = False
    """Whether gradients of earlier batches enter the direction, so that those of rows have no meaning."""
    draws: ClassVar[bool] = False
    """Whether the method draws random numbers."""
    waits: ClassVar[bool] = False
    """Whether the method waits for the device after all, so that its updates cannot be recorded."""

    def __init__(self, num_tasks: int, *, seed: int = 0) -> None:
        if num_tasks < 1:
            raise UserError(f"num_tasks must be at least 1, not {num_tasks}")
        self.num_tasks = num_tasks
        self.seed = seed
        self.batch_shape: tuple[int, ...] = ()
        self.state: dict[str, Tensor] = {}
        self.reset()

    # The part a method writes.

    @abstractmethod
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        """Weights and statistics for one update; advances the state, in place.

        Args:
            gramian: (K, K) or (..., K, K) float64.
            losses: (K,) or (..., K) float64.
        """

    def initial_state(self) -> dict[str, Tensor]:
        """The tensors a method carries from update to update, as they are before the first.

        Called by the constructor: an option that it depends on is set before `super().__init__`.
        """
        return {}

    def adapt(self, losses: Tensor) -> None:
        """Take the (K,) float64 losses of the last batch after the step; written where `observes` is set."""
        raise NotImplementedError(f"{type(self).__name__} sets `observes` and must say how it adapts")

    @property
    def scaling(self) -> float:
        """The p by which the weights are multiplied by s^p when every gradient is multiplied by s."""
        return 0.0

    @property
    def compares_gradients(self) -> bool:
        """Whether the weights depend on the gradients at all."""
        return self.needs in ("gramian", "jacobian")

    # What a user calls.

    def __call__(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        """`balance` on checked float64 input.

        Args:
            gramian: (..., K, K) of any floating type.
            losses: (..., K), needed where `needs_losses` is set.

        Raises:
            UserError: wrong shapes, missing losses, or a method without a Gram form.
        """
        self._check("gramian", gramian, (self.num_tasks, self.num_tasks))
        return self.balance(gramian.detach().to(torch.float64), self._losses(losses, gramian.device))

    def without_gradients(self, losses: Tensor) -> Balance:
        """`balance` from the losses (..., K) alone, for a method that does not compare gradients."""
        assert not self.compares_gradients
        nothing = losses.new_zeros((*losses.shape, self.num_tasks), dtype=torch.float64)
        return self(nothing, losses)

    def weights(self, gramian: Tensor, losses: Tensor | None = None) -> Tensor:
        """The weights (..., K), float64, of the tasks' gradients for this update."""
        return self(gramian, losses).weights

    def direction(self, jacobian: Tensor, losses: Tensor | None = None) -> Tensor:
        """The combined gradient J^T w, shape (..., P), in the type of the jacobian (..., K, P)."""
        return self.direct(jacobian, losses).direction

    def direct(self, jacobian: Tensor, losses: Tensor | None = None) -> Direction:
        """The combined gradient J^T w of a jacobian (..., K, P), with the method's statistics."""
        jacobian = jacobian.detach()
        weights, statistics = self(gramian_of(jacobian), losses)
        return Direction(combine(weights, jacobian), statistics)

    def combine(self, gradients: Gradients[Form]) -> Combined[Form]:
        """One direction for the gradients of K losses, in their own form; what is not needed is not computed."""
        weights, statistics = self._decide(gradients)
        return Combined(gradients.combine(weights), {"weight": weights, **statistics})

    def _decide(self, gradients: Gradients[Form]) -> Balance:
        return self(gradients.gramian, gradients.losses)

    def observe(self, losses: Tensor) -> None:
        """Take the losses (..., K) of the last batch after the optimiser's step.

        Nothing happens where `observes` is not set.
        """
        if self.observes:
            self._check("losses", losses, (self.num_tasks,))
            self.adapt(losses.detach().to(torch.float64))

    def reset(self, batch_shape: tuple[int, ...] | None = None) -> None:
        """Forget everything: state and random numbers begin anew.

        Args:
            batch_shape: leading dimensions of the problems to come; as before if not given.
        """
        if batch_shape is not None:
            self.batch_shape = tuple(batch_shape)
        self.state = self.initial_state()
        if self.draws:
            self.state["draws"] = torch.zeros((), dtype=torch.int64)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that the next call depends on, but for the options and the seed."""
        return {name: tensor.clone() for name, tensor in self.state.items()}

    def load_state_dict(self, saved: dict[str, Tensor]) -> None:
        """Continue from a `state_dict` of the same method with the same options and seed.

        Raises:
            UserError: the state is another method's or has another number of tasks.
        """
        if {k: v.shape for k, v in saved.items()} != {k: v.shape for k, v in self.state.items()}:
            raise UserError(f"this state was saved by another balancer than this {self.name} of {self.num_tasks} tasks")
        for name, tensor in saved.items():
            self.state[name].copy_(tensor)

    # What methods share.

    def _store(self, **values: Tensor) -> None:
        """Write entries of the state, in place."""
        for name, value in values.items():
            self.state[name].copy_(value)

    def _full(self, value: float) -> Tensor:
        """One float64 value per problem and task, for a state."""
        return torch.full((*self.batch_shape, self.num_tasks), value, dtype=torch.float64)

    def _uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Fresh draws from (0, 1) on the state's device, float64; only where `draws` is set."""
        return uniform(self.seed, self.state["draws"].add_(1), shape)

    def _losses(self, losses: Tensor | None, device: torch.device) -> Tensor | None:
        if losses is None:
            if self.needs == "losses" or self.needs_losses:
                raise UserError(f"{self.name} needs the losses of the tasks: pass losses of shape (K,)")
            return None
        self._check("losses", losses, (self.num_tasks,))
        return losses.detach().to(device, torch.float64)

    def _check(self, what: str, value: Tensor, expected: tuple[int, ...]) -> None:
        batch = tuple(value.shape[: -len(expected)])
        if tuple(value.shape[-len(expected) :]) != expected:
            raise UserError(f"{what} must have shape (..., {', '.join(map(str, expected))}), not {tuple(value.shape)}")
        if batch != self.batch_shape and self.state.keys() - {"draws"}:
            raise UserError(f"{self.name} keeps a state for problems of shape {self.batch_shape}: reset({batch}) first")
        self._follow(value.device)

    def _follow(self, device: torch.device) -> None:
        if any(tensor.device != device for tensor in self.state.values()):
            self.state = {name: tensor.to(device) for name, tensor in self.state.items()}


class LossBalancer(Balancer):
    """A balancer that weights losses and looks at no gradient."""

    needs = "losses"

    @abstractmethod
    def weigh(self, losses: Tensor) -> Balance:
        """Weights and statistics from the losses (..., K) float64; advances the state, in place."""

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        return self.weigh(given(losses))

    @override
    def _decide(self, gradients: Gradients[Form]) -> Balance:
        return self.without_gradients(gradients.losses)


class ConstantBalancer(Balancer):
    """A balancer whose weights depend on nothing but the number of tasks, and its own random numbers."""

    needs = "nothing"

    @abstractmethod
    def draw(self, like: Tensor) -> Balance:
        """Weights and statistics, of the shape (..., K) and on the device of `like`; advances the state, in place."""

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        return self.draw(gramian[..., 0])

    @override
    def _decide(self, gradients: Gradients[Form]) -> Balance:
        return self.without_gradients(gradients.losses)


def given(losses: Tensor | None) -> Tensor:
    """The losses of a method that was promised them."""
    if losses is None:
        raise UserError("this balancer needs the losses of the tasks")
    return losses


class JacobianBalancer(Balancer):
    """A balancer without a Gram form: it needs the gradients themselves."""

    needs = "jacobian"

    @abstractmethod
    def balance_jacobian(self, jacobian: Tensor, losses: Tensor | None) -> Direction:
        """Direction and statistics from the jacobian (..., K, P); advances the state, in place."""

    @override
    def direct(self, jacobian: Tensor, losses: Tensor | None = None) -> Direction:
        self._check("jacobian", jacobian, (self.num_tasks, jacobian.shape[-1]))
        jacobian = jacobian.detach()
        return self.balance_jacobian(jacobian, self._losses(losses, jacobian.device))

    @override
    def combine(self, gradients: Gradients[Form]) -> Combined[Form]:
        direction, statistics = self.direct(gradients.jacobian(), gradients.losses)
        return Combined(gradients.unflatten(direction), statistics)

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        raise UserError(f"{self.name} needs the gradients themselves: call direction(jacobian)")
