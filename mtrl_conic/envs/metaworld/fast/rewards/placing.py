"""Picking an object up and placing it."""

from __future__ import annotations

import math

from mtrl_conic.envs.metaworld.fast.arithmetic import (
    Vector,
    clip,
    distance,
    distance_xy,
    flag,
    hamacher,
    long_tail,
    norm,
    plus,
    scaled,
    subtract,
)
from mtrl_conic.envs.metaworld.fast.native import compiled
from mtrl_conic.envs.metaworld.fast.rewards.grasping import caged, caged_beside, grip, gripped, held, lifted
from mtrl_conic.envs.metaworld.fast.rewards.state import Outcome, State
from mtrl_conic.envs.metaworld.fast.rewards.walls import at_point, carried


@compiled
def _above(height: float, floor: float, margin: float) -> float:
    """1 where the gripper is above a funnel's floor, less below it."""
    return 1.0 if height >= floor else long_tail(max(floor - height, 0.0), 0.0, 0.01, margin)


@compiled
def _funnel(place: Vector, centre: Vector, radius: float, slope: float, rim: float) -> float:
    """The floor of a funnel that is open within `radius` of its centre."""
    outside = distance_xy(place, centre)
    return slope * math.log(outside - radius) + rim if outside > radius else 0.0


@compiled
def pick_place(s: State) -> Outcome:
    """pick-place-v3"""
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = distance(s.obj, s.target)
    in_place = long_tail(target_to_obj, 0, 0.05, distance(s.obj_init, s.target))
    grasped, single = grip(caged_beside(s, 0.015, 0.005), s.effort)
    reward = hamacher(grasped, in_place, single)
    if tcp_to_obj < 0.02 and s.opened > 0 and s.obj[2] - 0.01 > s.obj_init[2]:
        reward = plus(reward, 1.0 + 5.0 * in_place, single)
    if target_to_obj < 0.05:
        reward = 10.0
    return Outcome(
        reward, target_to_obj <= 0.07, flag(tcp_to_obj <= 0.03), lifted(s, 0.02), grasped, in_place, target_to_obj
    )


@compiled
def pick_place_wall(s: State) -> Outcome:
    """pick-place-wall-v3"""
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = distance(s.obj, s.target)
    midpoint = s.target[0], 0.77, 0.25
    at_midpoint = at_point(s, midpoint, 1.0, 1.0, 3.0)
    in_place = long_tail(target_to_obj, 0, 0.05, distance(s.obj_init, s.target))
    grasped, single = gripped(caged(s, s.obj, s.obj_init, 0.015, 0.05, 0.005), s.effort)
    reward = hamacher(grasped, at_midpoint, single)
    if tcp_to_obj < 0.02 and s.opened > 0 and s.obj[2] - 0.015 > s.obj_init[2]:
        reward = carried(s, reward, at_midpoint, in_place, single)
    if target_to_obj < 0.05:
        reward = 10.0
    return Outcome(
        reward, target_to_obj <= 0.07, flag(tcp_to_obj <= 0.03), lifted(s, 0.02), grasped, in_place, target_to_obj
    )


@compiled
def pick_out_of_hole(s: State) -> Outcome:
    """pick-out-of-hole-v3"""
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = distance(s.obj, s.target)
    above_floor = _above(s.tcp[2], _funnel(s.tcp, s.obj_init, 0.03, 0.015, 0.15), 0.02)
    grasped, single = grip(caged(s, s.obj, s.obj_init, 0.015, 0.02, 0.03), s.effort, 0.1)
    in_place = long_tail(target_to_obj, 0, 0.02, distance(s.obj_init, s.target))
    reward = hamacher(grasped, in_place, single)
    lifted = tcp_to_obj < 0.04 and s.obj[2] - 0.02 > s.obj_init[2] and not s.opened < 0.33
    if lifted:
        reward = plus(reward, 1.0 + 5.0 * hamacher(in_place, above_floor), single)
    if target_to_obj < 0.05:
        reward = 10.0
    return Outcome(
        reward, target_to_obj <= 0.07, flag(tcp_to_obj <= 0.03), flag(lifted), grasped, in_place, target_to_obj
    )


@compiled
def bin_picking(s: State) -> Outcome:
    """bin-picking-v3

    The margin is the distance at the episode's first step, which the first call writes down.
    """
    target_to_obj = distance(s.obj, s.target)
    if s.constants[0] < 0:
        s.constants[0] = target_to_obj
    in_place = long_tail(target_to_obj, 0, 0.05, s.constants[0])
    floor = min(_funnel(s.hand, s.obj_init, 0.03, 0.02, 0.2), _funnel(s.hand, s.target, 0.03, 0.02, 0.2))
    above_floor = _above(s.hand[2], floor, 0.05)
    grasped, single = grip(caged(s, s.obj, s.obj_init, 0.015, 0.05, 0.01), s.effort, 0.7)
    reward = hamacher(grasped, in_place, single)
    near = distance(s.obj, s.hand) < 0.04
    lifted = near and s.obj[2] - 0.02 > s.obj_init[2] and not s.opened < 0.43
    if lifted:
        reward = plus(reward, 1.0 + 5.0 * hamacher(above_floor, in_place), single)
    if target_to_obj < 0.05:
        reward = 10.0
    return Outcome(reward, target_to_obj <= 0.05, flag(near), flag(lifted), grasped, in_place, target_to_obj)


@compiled
def basketball(s: State) -> Outcome:
    """basketball-v3"""
    tcp_to_obj = distance(s.obj, s.tcp)
    target = s.target[0], s.target[1], 0.3
    target_to_obj = norm(scaled(subtract(s.obj, target), 1.0, 1.0, 2.0))
    in_place = long_tail(target_to_obj, 0, 0.08, norm(scaled(subtract(s.obj_init, target), 1.0, 1.0, 2.0)))
    grasped, single = held(s, 0.025, 0.06, 0.005)
    if tcp_to_obj < 0.035 and s.opened > 0 and s.obj[2] - 0.01 > s.obj_init[2]:
        grasped = 1.0
        reward = hamacher(grasped, in_place) + (1.0 + 5.0 * in_place)
    else:
        reward = hamacher(grasped, in_place, single)
    if target_to_obj < 0.08:
        reward = 10.0
    return Outcome(
        reward, target_to_obj <= 0.08, flag(tcp_to_obj <= 0.05), lifted(s, 0.03), grasped, in_place, target_to_obj
    )


@compiled
def hand_insert(s: State) -> Outcome:
    """hand-insert-v3"""
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = distance(s.obj, s.target)
    in_place = long_tail(target_to_obj, 0, 0.05, distance(s.obj_init, s.target))
    grasped, single = held(s, 0.015, 0.05, 0.005)
    reward = hamacher(grasped, in_place, single)
    if tcp_to_obj < 0.02 and s.opened > 0:
        reward = plus(reward, 1.0 + 7.0 * in_place, single)
    if target_to_obj < 0.05:
        reward = 10.0
    return Outcome(
        reward, target_to_obj <= 0.05, flag(tcp_to_obj <= 0.03), lifted(s, 0.02), grasped, in_place, target_to_obj
    )


@compiled
def shelf_place(s: State) -> Outcome:
    """shelf-place-v3"""
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = distance(s.obj, s.target)
    in_place = long_tail(target_to_obj, 0, 0.05, distance(s.obj_init, s.target))
    grasped, single = gripped(caged(s, s.obj, s.obj_init, 0.02, 0.05, 0.01), s.effort)
    reward = hamacher(grasped, in_place, single)

    front = s.target[1] - 3 * 0.05
    below = 0.0 < s.obj[2] < 0.24 and s.target[0] - 0.15 < s.obj[0] < s.target[0] + 0.15
    if below and front < s.obj[1] < s.target[1]:
        blocked = hamacher((s.obj[1] - front) / (3 * 0.05), (0.24 - s.obj[2]) / 0.24)
        in_place = clip(in_place - blocked, 0.0, 1.0)
        single = False  # in_place is a NumPy float64 from here on, to which NumPy promotes a float32
    if below and s.obj[1] > s.target[1]:
        in_place = 0.0
    if tcp_to_obj < 0.025 and s.opened > 0 and s.obj[2] - 0.01 > s.obj_init[2]:
        reward = plus(reward, 1.0 + 5.0 * in_place, single)
    if target_to_obj < 0.05:
        reward = 10.0
    return Outcome(
        reward, target_to_obj <= 0.07, flag(tcp_to_obj <= 0.03), lifted(s, 0.02), grasped, in_place, target_to_obj
    )
