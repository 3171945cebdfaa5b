"""What a balancer carries from update to update: tensors written in place."""

from __future__ import annotations

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
    """The state of one method, of one problem or of a batch of them.

    Args:
        num_tasks: K, at least 1.
        seed: of the method's own random numbers, where it draws.
    """

    name: ClassVar[str]
    """The registered name; the class's own where it has none."""
    draws: bool = False
    """Whether the method draws random numbers."""

    def __init_subclass__(cls) -> None:
        cls.name = cls.__name__

    def __init__(self, num_tasks: int, *, seed: int = 0) -> None:
        if num_tasks < 1:
            raise UserError(f"num_tasks must be at least 1, not {num_tasks}")
        self.num_tasks = num_tasks
        self.seed = seed
        self.batch_shape: tuple[int, ...] = ()
        self.state: dict[str, Tensor] = {}
        self.reset()

    def initial_state(self) -> dict[str, Tensor]:
        """The tensors a method carries from update to update, as they are before the first.

        Called by the constructor: an option that it depends on is set before `super().__init__`.
        """
        return {}

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
        """Everything that the next call depends on, but for the options and the seed; and the method's name."""
        kept = {name: tensor.clone() for name, tensor in self.state.items()}
        return kept | ({_METHOD: torch.tensor(list(self.name.encode()), dtype=torch.uint8)} if kept else {})

    def load_state_dict(self, saved: dict[str, Tensor]) -> None:
        """Continue from a `state_dict` of the same method with the same options and seed.

        Raises:
            UserError: the state is another method's or has another number of tasks.
        """
        values = {name: tensor for name, tensor in saved.items() if name != _METHOD}
        method = bytes(saved[_METHOD].tolist()).decode() if _METHOD in saved else self.name
        shapes = {name: tensor.shape for name, tensor in self.state.items()}
        if method != self.name or {name: tensor.shape for name, tensor in values.items()} != shapes:
            by = "another balancer" if method == self.name else method
            raise UserError(f"this state was saved by {by}, not by this {self.name} of {self.num_tasks} tasks")
        self._store(**values)

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

    def _follow(self, device: torch.device) -> None:
        if any(tensor.device != device for tensor in self.state.values()):
            self.state = {name: tensor.to(device) for name, tensor in self.state.items()}

    def _only_where(self, sound: Tensor, work: Callable[[], Result]) -> Result:
        """Do `work`, and leave the state of problems (...) that are not `sound` as it was; on the device alone."""
        before = {name: value.clone() for name, value in self.state.items()}
        result = work()
        some, own = sound.any(), self._own_to_a_problem()
        for name, value in self.state.items():
            mask = sound.view(*sound.shape, *[1] * (value.dim() - sound.dim())) if name in own else some
            value.copy_(torch.where(mask, value, before[name]))
        return result

    def _own_to_a_problem(self) -> set[str]:
        """The entries of the state that each problem of a batch has its own of: those that grow with a further axis."""
        batch_shape = self.batch_shape
        if not batch_shape:
            return set()
        try:
            self.batch_shape = (*batch_shape, 1)
            return {name for name, value in self.initial_state().items() if value.dim() > self.state[name].dim()}
        finally:
            self.batch_shape = batch_shape
