"""Quality of a set of points as a Pareto front: nondominated points and hypervolume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def nondominated(points: Array) -> NDArray[np.bool_]:
    """Return whether each point (N, J) is nondominated: no other point is as low everywhere and lower somewhere."""
    no_higher = np.all(points[None] <= points[:, None], axis=-1)
    lower = np.any(points[None] < points[:, None], axis=-1)
    beaten: NDArray[np.bool_] = np.any(no_higher & lower, axis=1)
    return ~beaten


def hypervolume(points: Array, reference: Array) -> float:
    """Return the exact volume that the points dominate, up to the reference point (Zitzler and Thiele, 1999).

    Args:
        points: (N, J), lower is better; points that do not dominate the reference add nothing.
        reference: (J,)
    """
    points = points[(points < reference).all(1)]
    points = np.unique(points[nondominated(points)], axis=0)
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(reference[0] - points.min())
    # Slices along the last axis: up to the next point, those before it cover what they do in the other axes.
    points = points[points[:, -1].argsort(kind="stable")]
    ends = np.append(points[1:, -1], reference[-1])
    if points.shape[1] == 2:
        return float((ends - points[:, 1]) @ (reference[0] - np.minimum.accumulate(points[:, 0])))
    return float(
        sum(
            (end - point[-1]) * hypervolume(points[: place + 1, :-1], reference[:-1])
            for place, (point, end) in enumerate(zip(points, ends, strict=True))
            if end > point[-1]
        )
    )
