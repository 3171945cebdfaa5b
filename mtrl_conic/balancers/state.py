"""The state of a balancer: tensors that are updated in place."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from mtrl_conic.balancers.random import uniform
from mtrl_conic.errors import UserError

Result = TypeVar("Result")

_METHOD = "method"
"""The entry of a saved state that holds the method's name, as bytes."""


class State:
    """The state of a method for one problem or for a batch of problems.

    Args:
        num_tasks: K, at least 1.
        seed: seed of the method's random numbers, if it draws any.
    """

    name: ClassVar[str]
    """The registered name, or the name of the class if it is not registered."""
    draws: bool = False
    """Whether the method draws random numbers."""

    is_users: bool = False
    """Whether the method, or one that it contains, is not one of this package's."""

    def __init_subclass__(cls) -> None:
        cls.name = cls.__name__
        cls.is_users = not cls.__module__.startswith(f"{__package__}.")

    def __init__(self, num_tasks: int, *, seed: int = 0) -> None:
        try:
            self.num_tasks = operator.index(num_tasks)
        except TypeError:
            raise UserError(f"num_tasks must be a whole number, not {num_tasks!r}") from None
        if self.num_tasks < 1:
            raise UserError(f"num_tasks must be at least 1, not {num_tasks}")
        self.seed = seed
        self.batch_shape: tuple[int, ...] = ()
        self.state: dict[str, Tensor] = {}
        self.reset()

    def initial_state(self) -> dict[str, Tensor]:
        """Return the tensors of the state before the first update.

        The constructor calls this method, so set the options that it uses before `super().__init__`.
        """
        return {}

    def reset(self, batch_shape: tuple[int, ...] | None = None) -> None:
        """Reset the state and the random numbers to their initial values.

        Args:
            batch_shape: leading dimensions of the following problems; unchanged by default.
        """
        if batch_shape is not None:
            self.batch_shape = tuple(batch_shape)
        self.state = self.initial_state()
        if self.draws:
            self.state["draws"] = torch.zeros((), dtype=torch.int64)

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that the next call depends on except the options and the seed."""
        kept = {name: tensor.clone() for name, tensor in self.state.items()}
        return kept | ({_METHOD: torch.tensor(list(self.name.encode()), dtype=torch.uint8)} if kept else {})

    def load_state_dict(self, saved: dict[str, Tensor]) -> None:
        """Continue from a `state_dict` of the same method with the same options and seed.

        Raises:
            UserError: the state belongs to another method or another number of tasks.
        """
        values = {name: tensor for name, tensor in saved.items() if name != _METHOD}
        method = bytes(saved[_METHOD].tolist()).decode() if _METHOD in saved else self.name
        shapes = {name: tensor.shape for name, tensor in self.state.items()}
        if method != self.name or {name: tensor.shape for name, tensor in values.items()} != shapes:
            by = "another balancer" if method == self.name else method
            raise UserError(f"this state was saved by {by}, not by this {self.name} of {self.num_tasks} tasks")
        self._store(**values)

    def _store(self, **values: Tensor) -> None:
        """Overwrite entries of the state in place."""
        for name, value in values.items():
            self.state[name].copy_(value)

    def _full(self, value: float) -> Tensor:
        """Return a float64 tensor with one value per problem and task."""
        return torch.full((*self.batch_shape, self.num_tasks), value, dtype=torch.float64)

    def _count(self) -> Tensor:
        """Return a count of updates per problem, zero; a skipped problem must not count."""
        return torch.zeros(self.batch_shape, dtype=torch.int64)

    def _uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Return new float64 draws from (0, 1) on the device of the state; requires `draws`."""
        return uniform(self.seed, self.state["draws"].add_(1), shape)

    def _follow(self, device: torch.device) -> None:
        if any(tensor.device != device for tensor in self.state.values()):
            self.state = {name: tensor.to(device) for name, tensor in self.state.items()}

    def _only_where(self, sound: Tensor, work: Callable[[], Result]) -> Result:
        """Call `work`, then restore the state of the problems (...) that are not `sound`, on the device alone."""
        before = {name: value.clone() for name, value in self.state.items()}
        result = work()
        some, own = sound.any(), self._own_to_a_problem()
        for name, value in self.state.items():
            mask = sound.view(*sound.shape, *[1] * (value.dim() - sound.dim())) if name in own else some
            value.copy_(torch.where(mask, value, before[name]))
        return result

    def _own_to_a_problem(self) -> set[str]:
        """Return the entries of the state that exist once per problem: those that grow with a further batch axis."""
        batch_shape = self.batch_shape
        if not batch_shape:
            return set()
        try:
            self.batch_shape = (*batch_shape, 1)
            return {name for name, value in self.initial_state().items() if value.dim() > self.state[name].dim()}
        finally:
            self.batch_shape = batch_shape
