"""Meta-World's reward arithmetic in compiled code, operation by operation.

Meta-World mixes Python floats with the float32 numbers of an action. NumPy converts a Python float to
the type of the other operand, so an expression with one float32 in it is computed in float32. Such
expressions take the argument `single` here: every result is rounded to float32 and kept in a float64.
A float64 sum, product or quotient of float32 numbers, rounded once, is exactly the float32 result.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mtrl_conic.envs.metaworld.fast.native import compiled

Vector = tuple[float, float, float]

_GAUSSIAN_SCALE = math.sqrt(-2 * math.log(0.1))
_LONG_TAIL_SCALE = math.sqrt(1 / 0.1 - 1)


@compiled
def subtract(a: Vector, b: Vector) -> Vector:
    """a - b"""
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@compiled
def norm(a: Vector) -> float:
    """The Euclidean length."""
    return math.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2])


@compiled
def vector(row: Any) -> Vector:
    """The first three numbers of an array."""
    return row[0], row[1], row[2]


@compiled
def moved(a: Vector, x: float, y: float, z: float) -> Vector:
    """The vector moved by x, y and z."""
    return a[0] + x, a[1] + y, a[2] + z


@compiled
def scaled(a: Vector, x: float, y: float, z: float) -> Vector:
    """The vector with its components multiplied by x, y and z."""
    return a[0] * x, a[1] * y, a[2] * z


@compiled
def distance(a: Vector, b: Vector) -> float:
    """The Euclidean distance of two points."""
    return norm(subtract(a, b))


@compiled
def distance_xz(a: Vector, b: Vector) -> float:
    """The distance of two points in the plane of x and z."""
    return norm((a[0] - b[0], 0.0, a[2] - b[2]))


@compiled
def distance_xy(a: Vector, b: Vector) -> float:
    """The distance of two points in the horizontal plane."""
    return norm((a[0] - b[0], a[1] - b[1], 0.0))


@compiled
def clip(x: float, lower: float, upper: float) -> float:
    """`numpy.clip`; NaN stays NaN."""
    if x < lower:
        return lower
    return upper if x > upper else x


@compiled
def narrow(x: float, single: bool) -> float:
    """x, rounded to float32 if `single`."""
    return float(np.float32(x)) if single else x


@compiled
def plus(a: float, b: float, single: bool) -> float:
    """a + b, in float32 if `single`."""
    return narrow(narrow(a, single) + narrow(b, single), single)


@compiled
def times(a: float, b: float, single: bool) -> float:
    """a b, in float32 if `single`."""
    return narrow(narrow(a, single) * narrow(b, single), single)


@compiled
def flag(condition: bool) -> float:
    """1 where the condition holds, else 0."""
    return 1.0 if condition else 0.0


@compiled
def long_tail(x: float, lower: float, upper: float, margin: float) -> float:
    """`tolerance` with a long tail: 1 within the bounds, .1 at the margin."""
    if lower <= x <= upper:
        return 1.0
    if margin == 0:
        return 0.0
    outside = (lower - x if x < lower else x - upper) / margin
    return 1 / ((outside * _LONG_TAIL_SCALE) ** 2 + 1)


@compiled
def gaussian(x: float, lower: float, upper: float, margin: float) -> float:
    """`tolerance` with a Gaussian tail: 1 within the bounds, .1 at the margin."""
    if lower <= x <= upper:
        return 1.0
    if margin == 0:
        return 0.0
    outside = (lower - x if x < lower else x - upper) / margin
    return math.exp(-0.5 * (outside * _GAUSSIAN_SCALE) ** 2)


@compiled
def alignment(quaternion: tuple[float, float, float, float], first: float, last: float, width: float) -> float:
    """1 where a quaternion is (first, 0, 0, last), falling to 0 at a distance of `width`."""
    a, b, c, d = quaternion
    error = math.sqrt((a - first) * (a - first) + b * b + c * c + (d - last) * (d - last))
    return max(1.0 - error / width, 0.0)


@compiled
def hamacher(a: float, b: float, single: bool = False) -> float:
    """The Hamacher product a b / (a + b - a b), 0 where both are 0."""
    a, b = narrow(a, single), narrow(b, single)
    product = narrow(a * b, single)
    denominator = narrow(narrow(a + b, single) - product, single)
    return narrow(product / denominator, single) if denominator > 0 else 0.0


@compiled
def _between(x: float, a: float, b: float) -> bool:
    return min(a, b) <= x <= max(a, b)


@compiled
def in_prism(point: Vector, zero: Vector, one: Vector) -> bool:
    """Whether a point lies in the rectangular prism between two corners."""
    inside = _between(point[0], zero[0], one[0]) and _between(point[1], zero[1], one[1])
    return inside and _between(point[2], zero[2], one[2])


@compiled
def prism_tolerance(point: Vector, zero: Vector, one: Vector) -> float:
    """0 at the corner `zero` of a prism rising to 1 at the corner `one`; 1 outside."""
    if not in_prism(point, zero, one):
        return 1.0
    place, size = subtract(point, zero), subtract(one, zero)
    return place[0] / size[0] * (place[1] / size[1]) * (place[2] / size[2])
