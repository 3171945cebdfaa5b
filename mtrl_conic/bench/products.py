"""The matrix products of an update, which bound its time from below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_FIRST_FACTOR = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1}
"""Matrix products, and the position of their first factor among the arguments."""


class MatrixProducts(TorchDispatchMode):
    """Records the matrix products that torch computes while it is active.

    >>> with MatrixProducts() as products:
    ...     _ = torch.ones(2, 3) @ torch.ones(3, 4)
    >>> products.multiplications
    24
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._factors: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **kwargs or {})
        place = _FIRST_FACTOR.get(func.overloadpacket.__name__)
        if place is not None:
            self._factors.append((args[place], args[place + 1]))
        return result

    @property
    def multiplications(self) -> int:
        """The number of scalar multiplications in all products."""
        return sum(left.numel() * right.shape[-1] for left, right in self._factors)

    def again(self) -> Callable[[], None]:
        """Return a function that computes all products of the same shapes, strides and types, of random numbers."""
        pairs = [(torch.randn_like(left), torch.randn_like(right)) for left, right in self._factors]

        def compute() -> None:
            for left, right in pairs:
                _ = left @ right

        return compute
