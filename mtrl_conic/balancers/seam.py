"""The interface between a balancer and the gradients that it combines."""

from __future__ import annotations

from typing import Generic, NamedTuple, Protocol, TypeVar

from torch import Tensor

Form = TypeVar("Form")
"""The form of a direction, which is that of the gradients, such as a dict by parameter."""
Form_co = TypeVar("Form_co", covariant=True)


class Gradients(Protocol[Form_co]):
    """The gradients of K losses in any form of storage; the argument of `Balancer.combine`."""

    @property
    def losses(self) -> Tensor:
        """(K,), detached."""

    @property
    def gramian(self) -> Tensor:
        """(K, K) float64: inner products of the gradients, computed on first access."""

    def jacobian(self) -> Tensor:
        """(K, P): the flattened gradients, a copy."""

    def combine(self, weights: Tensor) -> Form_co:
        """Return the sum of the K gradients with weights (K,)."""

    def unflatten(self, direction: Tensor) -> Form_co:
        """Convert a vector (P,), a combination of the rows of `jacobian`, to the form of the gradients."""


class Combined(NamedTuple, Generic[Form]):
    """The result of a balancer on given gradients."""

    direction: Form
    """In the form of the gradients."""
    statistics: dict[str, Tensor]
    """As in `Balance`, with the weights (K,) as `weight` if the method has weights."""
