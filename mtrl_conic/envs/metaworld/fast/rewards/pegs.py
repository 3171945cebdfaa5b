"""Pegs, and nuts on a peg."""

from __future__ import annotations

import math

from mtrl_conic.envs.metaworld.fast.arithmetic import (
    alignment,
    distance,
    distance_xy,
    flag,
    hamacher,
    in_prism,
    long_tail,
    moved,
    norm,
    plus,
    prism_tolerance,
    scaled,
    subtract,
    times,
    vector,
)
from mtrl_conic.envs.metaworld.fast.native import compiled
from mtrl_conic.envs.metaworld.fast.rewards.grasping import caged, grip, grip_and_reach, handle_before_hand, held
from mtrl_conic.envs.metaworld.fast.rewards.state import Outcome, State


@compiled
def peg_insert_side(s: State) -> Outcome:
    """peg-insert-side-v3"""
    head = vector(s.points[0])
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = norm(scaled(subtract(head, s.target), 1.0, 2.0, 2.0))
    margin = norm(scaled(subtract(vector(s.constants), s.target), 1.0, 2.0, 2.0))
    in_place = long_tail(target_to_obj, 0, 0.07, margin)

    zero_1, one_1 = vector(s.points[1]), vector(s.points[2])
    zero_2, one_2 = vector(s.points[3]), vector(s.points[4])
    boxes = hamacher(prism_tolerance(head, zero_2, one_2), prism_tolerance(head, zero_1, one_1))
    in_place = hamacher(in_place, boxes)

    grasped, single = held(s, 0.0075, 0.03, 0.005)
    # inside a box Meta-World's tolerance is a NumPy float64, to which NumPy promotes a float32
    single = single and not in_prism(head, zero_1, one_1) and not in_prism(head, zero_2, one_2)
    lifted = s.opened > 0 and s.obj[2] - 0.01 > s.obj_init[2]
    if tcp_to_obj < 0.08 and lifted:
        grasped = 1.0
        reward = hamacher(grasped, in_place) + (1.0 + 5 * in_place)
    else:
        reward = hamacher(grasped, in_place, single)
    success = target_to_obj <= 0.07
    if success:
        reward = 10.0
    kept = flag(tcp_to_obj < 0.02 and lifted)
    return Outcome(reward, success, flag(tcp_to_obj <= 0.03), kept, grasped, in_place, target_to_obj)


@compiled
def peg_unplug_side(s: State) -> Outcome:
    """peg-unplug-side-v3"""
    tcp_to_obj, target_to_obj = distance(s.obj, s.tcp), distance(s.obj, s.target)
    grasped, single = grip(caged(s, s.obj, s.obj_init, 0.025, 0.05, 0.005), s.effort, 0.8)
    in_place = long_tail(target_to_obj, 0, 0.05, distance(s.obj_init, s.target))
    pulled = s.opened > 0.5 and s.obj[0] - s.obj_init[0] > 0.015
    reward = times(2, grasped, single)
    if pulled and tcp_to_obj < 0.035:
        reward = plus(plus(1, reward, single), 5 * in_place, single)
    if target_to_obj <= 0.05:
        reward = 10.0
    return Outcome(
        reward, target_to_obj <= 0.07, flag(tcp_to_obj <= 0.03), flag(pulled), grasped, in_place, target_to_obj
    )


@compiled
def assembly(s: State) -> Outcome:
    """assembly-v3"""
    handle, upright = handle_before_hand(s, 0.02), alignment(s.quaternion, 0.707, 0.707, 0.4)
    caging = caged(s, handle, s.obj_init, 0.015, 0.02, 0.01)
    grab, single = grip_and_reach(caging, s, handle, 0.01)

    nut = vector(s.points[0])
    radius = distance_xy(s.target, nut)
    success = radius < 0.02 and s.target[2] - nut[2] > 0.0
    threshold = 0.02 if success else 0.01
    height = 0.02 * math.log(radius - threshold) + 0.2 if radius > threshold else 0.0
    error = norm(scaled((s.target[0] - nut[0], s.target[1] - nut[1], height - nut[2]), 1.0, 1.0, 3.0))
    lifted = nut[2] > 0.02 or radius < threshold
    in_place = 0.1 * flag(lifted) + 0.9 * long_tail(error, 0, 0.02, 0.4)

    reward = times(plus(times(2.0, grab, single), 6.0 * in_place, single), upright, single)
    if success:
        reward = 10.0
    return Outcome(reward, success, upright, flag(grab >= 0.5), grab, in_place, 0.0)


@compiled
def disassemble(s: State) -> Outcome:
    """disassemble-v3"""
    upright = alignment(s.quaternion, 0.707, 0.707, 0.4)
    grab, single = grip(caged(s, handle_before_hand(s, 0.02), s.obj_init, 0.015, 0.02, 0.01), s.effort)
    nut = vector(s.points[0])
    error = distance(moved(s.target, 0.0, 0.0, 0.1), nut)
    in_place = 0.1 * flag(nut[2] > 0.02) + 0.9 * long_tail(error, 0, 0.02, 0.2)
    reward = times(plus(times(2.0, grab, single), 6.0 * in_place, single), upright, single)
    success = s.obj[2] > s.target[2]
    if success:
        reward = 10.0
    return Outcome(reward, success, upright, flag(grab >= 0.5), grab, in_place, 0.0)
