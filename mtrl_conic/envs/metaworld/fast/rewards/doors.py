"""Doors, their locks, and the lid of a box."""

from __future__ import annotations

import math

from mtrl_conic.envs.metaworld.fast.arithmetic import (
    Vector,
    alignment,
    clip,
    distance,
    distance_xy,
    flag,
    gaussian,
    hamacher,
    long_tail,
    moved,
    narrow,
    norm,
    scaled,
    subtract,
    vector,
)
from mtrl_conic.envs.metaworld.fast.native import compiled
from mtrl_conic.envs.metaworld.fast.rewards.state import Outcome, State


@compiled
def _grab_effort(effort: float) -> float:
    """The commanded closing of the gripper, 0 to 1, a float32 converted to a Python float."""
    return narrow(narrow(clip(effort, -1.0, 1.0) + 1.0, True) / 2.0, True)


@compiled
def _above_funnel(hand: Vector, centre: Vector, radius: float) -> float:
    """1 where the hand is above a funnel that is open within `radius` of its centre, less below it."""
    outside = distance_xy(hand, centre)
    floor = 0.0 if outside <= radius else 0.04 * math.log(outside - radius) + 0.4
    return 1.0 if hand[2] >= floor else long_tail(floor - hand[2], 0.0, 0.01, floor / 2.0)


@compiled
def door_open(s: State) -> Outcome:
    """door-open-v3"""
    grab = _grab_effort(s.effort)
    door = moved(s.obj, -0.05, 0.0, 0.0)
    in_place = long_tail(norm(subtract(subtract(s.hand, door), (0.05, 0.03, -0.01))), 0, 0.12 / 2.0, 0.5)
    ready = hamacher(_above_funnel(s.hand, door, 0.12), in_place)

    angle = long_tail(math.pi / 2.0 + math.pi / 6 + s.joint, 0, 0.5, math.pi / 3.0)
    opened = 0.2 * flag(s.joint < -math.pi / 90.0) + 0.8 * angle
    success = abs(s.obj[0] - s.target[0]) <= 0.08
    reward = 10.0 if success else 2.0 * hamacher(ready, grab) + 8.0 * opened
    return Outcome(reward, success, ready, flag(grab >= 0.5), grab, opened, 0.0)


@compiled
def door_close(s: State) -> Outcome:
    """door-close-v3"""
    target_to_obj = distance(s.obj, s.target)
    in_place = gaussian(target_to_obj, 0, 0.05, distance(s.obj_init, s.target))
    hand_margin = distance(vector(s.constants), s.obj) + 0.1
    hand_in_place = gaussian(distance(s.tcp, s.target), 0, 0.25 * 0.05, hand_margin)
    reward = 10.0 if target_to_obj < 0.05 else 3 * hand_in_place + 6 * in_place
    return Outcome(reward, target_to_obj <= 0.08, 0.0, 1.0, 1.0, hand_in_place, target_to_obj)


@compiled
def door_lock(s: State) -> Outcome:
    """door-lock-v3

    Meta-World means the margin to be the left pad's first distance, but keeps a view of the pad's position.
    """
    target_to_obj = abs(s.target[2] - s.obj[2])
    pad_to_obj = norm(scaled(subtract(s.obj, s.left_pad), 0.25, 1.0, 0.5))
    near = long_tail(pad_to_obj, 0, 0.01, pad_to_obj)
    pressed = long_tail(target_to_obj, 0, 0.005, 0.1)
    reward = 2 * hamacher(max(s.opened, 0.0), near) + 8 * pressed
    success = target_to_obj <= 0.02
    return Outcome(reward, success, flag(pad_to_obj <= 0.05), flag(s.opened > 0), near, pressed, target_to_obj)


@compiled
def door_unlock(s: State) -> Outcome:
    """door-unlock-v3

    Meta-World means the margin to be the lock's first distance, but keeps a view of the lock's position.
    """
    target_to_obj = abs(s.target[0] - s.obj[0])
    shoulder = norm(scaled(subtract(moved(s.hand, 0.0, 0.055, 0.07), s.obj), 0.25, 1.0, 0.5))
    margin = norm(scaled(subtract(moved(s.tcp_init, 0.0, 0.055, 0.07), vector(s.points[0])), 0.25, 1.0, 0.5))
    ready = long_tail(shoulder, 0, 0.02, margin)
    pushed = long_tail(target_to_obj, 0, 0.005, 0.1)
    reward = 2 * ready + 8 * pushed
    success = target_to_obj <= 0.02
    return Outcome(reward, success, flag(shoulder <= 0.05), flag(s.opened > 0), ready, pushed, target_to_obj)


@compiled
def box_close(s: State) -> Outcome:
    """box-close-v3"""
    grab = _grab_effort(s.effort)
    level = alignment(s.quaternion, 0.707, 0.707, 0.2)
    lid = moved(s.obj, 0.0, 0.0, 0.02)
    ready = hamacher(_above_funnel(s.hand, lid, 0.02), long_tail(distance(s.hand, lid), 0, 0.02, 0.5))
    error = norm(scaled(subtract(s.target, lid), 1.0, 1.0, 3.0))
    lifted = 0.2 * flag(lid[2] > 0.04) + 0.8 * long_tail(error, 0, 0.05, 0.25)
    success = distance(s.obj, s.target) < 0.08
    reward = (10.0 if success else 2.0 * hamacher(grab, ready) + 8.0 * lifted) * level
    return Outcome(reward, success, ready, flag(grab >= 0.5), grab, lifted, 0.0)
