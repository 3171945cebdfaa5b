"""Ties between means: equal values in another order must not differ by the rounding of their sum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_DIGITS = 12


def without_rounding(values: Array, axis: int = -1) -> Array:
    """Return means without their last digits, so that means of the same values in another order are equal.

    Args:
        values: means of any scale; those along `axis` are compared with each other.
        axis: the axis of one comparison, whose largest absolute value is its scale.
    """
    scale = np.abs(values).max(axis, keepdims=True)
    scale = np.where((scale > 0) & np.isfinite(scale), scale, 1.0)
    return np.asarray(np.round(values / scale, _DIGITS) * scale)
