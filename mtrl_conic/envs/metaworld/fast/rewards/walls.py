"""A wall between an object and its target: the object must pass a point above or beside the wall."""

from __future__ import annotations

from mtrl_conic.envs.metaworld.fast.arithmetic import Vector, long_tail, norm, plus, scaled, subtract
from mtrl_conic.envs.metaworld.fast.native import compiled
from mtrl_conic.envs.metaworld.fast.rewards.state import State

_BEHIND = 0.75
"""Where the wall is behind the object, m."""


@compiled
def at_point(s: State, point: Vector, x: float, y: float, z: float) -> float:
    """How near the object is to a point, in space scaled by x, y and z: 1 there, .1 where it started."""
    start = norm(scaled(subtract(s.obj_init, point), x, y, z))
    return long_tail(norm(scaled(subtract(s.obj, point), x, y, z)), 0, 0.05, start)


@compiled
def carried(s: State, reward: float, at_midpoint: float, in_place: float, single: bool) -> float:
    """The reward of an object in the fingers: before the wall for the midpoint, behind it for the target."""
    reward = plus(reward, 1.0, single)
    if s.obj[1] > _BEHIND:
        return plus(plus(reward, 4.0, single), 3.0 * in_place, single)
    return plus(reward, 4.0 * at_midpoint, single)
