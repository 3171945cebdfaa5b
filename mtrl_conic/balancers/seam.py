"""What a balancer and the gradients that it combines know of each other."""

from __future__ import annotations

from typing import Generic, NamedTuple, Protocol, TypeVar

from torch import Tensor

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
