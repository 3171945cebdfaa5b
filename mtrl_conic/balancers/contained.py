"""Methods inside another method, which keeps their state as part of its own."""

from __future__ import annotations

from torch import Tensor

from mtrl_conic.balancers.base import Balancer
from mtrl_conic.balancers.notation import parse_inner
from mtrl_conic.balancers.registry import make


class Contained:
    """A method that another one contains.

    The outer method keeps the state of the contained one under names with a prefix. Both use one count of random draws,
    so that several contained methods never draw the same numbers.

    Args:
        role: name of the option that names the method; the prefix is this name with a dot.
        written: the method in the notation of `parse_inner`.
        num_tasks: K.
        seed: seed of the method's random numbers.

    Raises:
        UserError: an unknown method or option, or a value out of range.
    """

    def __init__(self, role: str, written: str, num_tasks: int, seed: int) -> None:
        name, options = parse_inner(written)
        self.method = make(name, num_tasks, seed=seed, **options)
        self._prefix = f"{role}."

    def initial_state(self, outer: Balancer) -> dict[str, Tensor]:
        """Return the method's part of the initial state of `outer`."""
        return {self._prefix + name: value for name, value in self.bound(outer, {}).initial_state().items()}

    def bound(self, outer: Balancer, state: dict[str, Tensor] | None = None) -> Balancer:
        """Return the method for the tasks and the problems of `outer`, with its part of the state, by default outer's.

        The tensors are shared: the method updates them in place.
        """
        state = outer.state if state is None else state
        method = self.method
        method.num_tasks, method.seed, method.batch_shape = outer.num_tasks, outer.seed, outer.batch_shape
        if method.preference is not None:  # that of `outer` may be restricted to some tasks
            method.preference = outer.preference
        method.state = {name.removeprefix(self._prefix): value for name, value in state.items() if self._owns(name)}
        if "draws" in state:
            method.state["draws"] = state["draws"]
        return method

    def _owns(self, name: str) -> bool:
        return name.startswith(self._prefix)
