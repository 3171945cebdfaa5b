"""Methods inside another method, which keeps their state as part of its own."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balancer
from mtrl_conic.balancers.inner import inner_label
from mtrl_conic.balancers.notation import parse_inner
from mtrl_conic.balancers.registry import get, make
from mtrl_conic.errors import UserError

_TRAITS = (
    "needs_losses",
    "compares_gradients",
    "positive_losses",
    "refuses_negative",
    "observes",
    "every_task",
    "draws",
    "waits",
)
"""Traits that a method has if one of the methods that it contains has them."""


def canonical(text: str, fits: Callable[[type[Balancer]], bool], refusal: str) -> str:
    """Return a method in canonical notation.

    Args:
        text: the method in the notation of `parse_inner`.
        fits: returns whether a method can be contained.
        refusal: the rest of an error message that begins with the name of a method that does not fit.

    Raises:
        UserError: the method does not fit, a name or option is unknown, or a value is out of range.
    """
    name, options = parse_inner(text)
    if not fits(get(name)):
        raise UserError(f"{name} {refusal}")
    return inner_label(name, options)


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
        self._has_preference = self.method.preference is not None
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
        if self._has_preference:  # that of `outer` may be restricted to some tasks, and then restored
            method.preference = outer.preference
        method.state = {name.removeprefix(self._prefix): value for name, value in state.items() if self._owns(name)}
        if "draws" in state:
            method.state["draws"] = state["draws"]
        return method

    def _owns(self, name: str) -> bool:
        return name.startswith(self._prefix)


class Container(Balancer):
    """Base class of methods that contain others; the last one combines the gradients."""

    def __init__(self, num_tasks: int, *contained: Contained, seed: int) -> None:
        self.contained = contained
        methods = [each.method for each in contained]
        self.needs = methods[-1].needs
        given = [method for method in methods if method.preference is not None]
        if len(given) > 1:
            raise UserError(f"{' and '.join(method.name for method in given)} both have a preference: give one of them")
        self.preference = given[0].preference if given else None
        for trait in _TRAITS:
            setattr(self, trait, any(getattr(method, trait) for method in methods))
        self.is_users = type(self).is_users or any(method.is_users for method in methods)
        super().__init__(num_tasks, seed=seed)

    @property
    @override
    def traceable(self) -> bool:
        return super().traceable and all(each.method.traceable for each in self.contained)

    @property
    @override
    def scaling(self) -> float:
        return self.contained[-1].method.scaling

    @override
    def initial_state(self) -> dict[str, Tensor]:
        return {name: value for each in self.contained for name, value in each.initial_state(self).items()}

    @override
    def adapt(self, losses: Tensor) -> None:
        self.contained[0].bound(self).adapt(losses)
