"""How well the gripper holds an object, following the versions of Meta-World's `_gripper_caging_reward`.

Values that depend on the gripper's action are float32 in Meta-World if the action itself was not converted. Such
functions return this as a flag beside their value.
"""

from __future__ import annotations

from mtrl_conic.envs.metaworld.fast.arithmetic import (
    Vector,
    distance,
    distance_xz,
    flag,
    hamacher,
    long_tail,
    narrow,
    plus,
)
from mtrl_conic.envs.metaworld.fast.native import compiled
from mtrl_conic.envs.metaworld.fast.rewards.state import State


@compiled
def closing(effort: float, desired: float = 1.0) -> tuple[float, bool]:
    """The commanded closing of the gripper, in [0, 1] of `desired`, and whether it is a float32 in Meta-World."""
    if not effort > 0:
        return 0.0, False
    if effort > narrow(desired, True):
        return 1.0, False
    return narrow(effort / narrow(desired, True), True), True


@compiled
def caged(
    s: State,
    obj: Vector,
    obj_init: Vector,
    radius: float,
    threshold: float,
    xz_threshold: float,
) -> float:
    """How well the gripper stands around an object that began at `obj_init`.

    Both pads are to be farther than `radius` and nearer than `threshold` along y, the fingers nearer than
    `xz_threshold` in the plane across.
    """
    left_margin = abs(abs(s.left_pad[1] - obj_init[1]) - threshold)
    right_margin = abs(abs(s.right_pad[1] - obj_init[1]) - threshold)
    left = long_tail(abs(s.left_pad[1] - obj[1]), radius, threshold, left_margin)
    right = long_tail(abs(s.right_pad[1] - obj[1]), radius, threshold, right_margin)
    xz_margin = distance_xz(obj_init, s.tcp_init) - xz_threshold
    xz = long_tail(distance_xz(s.tcp, obj), 0, xz_threshold, xz_margin)
    return hamacher(hamacher(left, right), xz)


@compiled
def gripped(caging: float, effort: float, desired: float = 1.0) -> tuple[float, bool]:
    """Caging with gripping, where the gripper closes around what it cages ("low density")."""
    gripping, single = closing(effort, desired) if caging > 0.97 else (0.0, False)
    return hamacher(caging, gripping, single), single


@compiled
def grip(caging: float, effort: float, desired: float = 1.0) -> tuple[float, bool]:
    """The mean of caging and of caging with gripping ("high density")."""
    both, single = gripped(caging, effort, desired)
    return narrow(plus(both, caging, single) / 2, single), single


@compiled
def grip_and_reach(
    caging: float, s: State, obj: Vector, reach_radius: float, desired: float = 1.0
) -> tuple[float, bool]:
    """The mean of caging with gripping and of how near the fingers are to the object ("medium density")."""
    both, single = gripped(caging, s.effort, desired)
    margin = abs(distance(s.obj_init, s.tcp_init) - reach_radius)
    reach = long_tail(distance(obj, s.tcp), 0, reach_radius, margin)
    return narrow(plus(both, reach, single) / 2, single), single


@compiled
def held(s: State, radius: float, threshold: float, xz_threshold: float) -> tuple[float, bool]:
    """`grip` of the task's object where it is."""
    return grip(caged(s, s.obj, s.obj_init, radius, threshold, xz_threshold), s.effort)


@compiled
def handle_before_hand(s: State, length: float) -> Vector:
    """The point at which to grasp a handle of `length` along x: at the hand's x if it is there, else the centre."""
    return (s.hand[0] if abs(s.obj[0] - s.hand[0]) < length / 2.0 else s.obj[0]), s.obj[1], s.obj[2]


@compiled
def beside(s: State, radius: float, limit: float) -> float:
    """Whether each pad stands on its own side of the object, farther than `radius` and nearer than `limit`.

    Meta-World means the margins to be those of the pads' first positions, but keeps views of the positions,
    which follow the pads.
    """
    right_gap, left_gap = s.obj[1] - s.right_pad[1], s.left_pad[1] - s.obj[1]
    right = long_tail(right_gap, radius, limit, abs(abs(right_gap) - 0.05))
    left = long_tail(left_gap, radius, limit, abs(abs(left_gap) - 0.05))
    return hamacher(right, left)


@compiled
def caged_beside(s: State, radius: float, xz_threshold: float) -> float:
    """`caged` with each pad on its own side of the object."""
    xz_margin = distance_xz(s.obj_init, s.tcp_init) - xz_threshold
    xz = long_tail(distance_xz(s.tcp, s.obj), 0, xz_threshold, xz_margin)
    return hamacher(beside(s, radius, 0.05), xz)


@compiled
def pinched(s: State, radius: float, slack: float, xz_threshold: float) -> float:
    """The mean of caging and, once the object is caged, of how near the pads are to it."""
    caging = caged_beside(s, radius, xz_threshold)
    gripping = beside(s, radius, radius + slack) if caging > 0.95 else 0.0
    return (caging + gripping) / 2


@compiled
def lifted(s: State, height: float) -> float:
    """1 where the fingers are open and the object is more than `height` (m) above where it was, else 0."""
    return flag(s.opened > 0 and s.obj[2] - height > s.obj_init[2])
