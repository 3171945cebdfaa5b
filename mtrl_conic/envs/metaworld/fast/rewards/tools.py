"""Hammering, and working with a stick."""

from __future__ import annotations

from mtrl_conic.envs.metaworld.fast.arithmetic import (
    alignment,
    distance,
    flag,
    hamacher,
    long_tail,
    moved,
    norm,
    plus,
    scaled,
    subtract,
    times,
    vector,
)
from mtrl_conic.envs.metaworld.fast.native import compiled
from mtrl_conic.envs.metaworld.fast.rewards.grasping import caged, grip, handle_before_hand, held, lifted
from mtrl_conic.envs.metaworld.fast.rewards.state import Outcome, State


@compiled
def hammer(s: State) -> Outcome:
    """hammer-v3"""
    level = alignment(s.quaternion, 1.0, 0.0, 0.4)
    handle = handle_before_hand(s, 0.14)
    grab, single = grip(caged(s, handle, s.obj_init, 0.015, 0.02, 0.01), s.effort)
    head = moved(s.obj, 0.16, 0.06, 0.0)
    in_place = 0.1 * flag(head[2] > 0.02) + 0.9 * long_tail(distance(s.target, head), 0, 0.02, 0.2)
    reward = times(plus(times(2.0, grab, single), 6.0 * in_place, single), level, single)
    success = s.joint > 0.09
    if success and reward > 5.0:
        reward = 10.0
    return Outcome(reward, success, level, flag(grab >= 0.5), grab, in_place, 0.0)


@compiled
def stick_push(s: State) -> Outcome:
    """stick-push-v3; success also requires that the stick is held, which the stepper checks"""
    stick_init = vector(s.constants)
    stick = moved(s.obj, 0.015, 0.0, 0.0)
    tcp_to_stick = distance(stick, s.tcp)
    in_place = long_tail(distance(stick, s.target), 0, 0.12, distance(stick_init, s.target) - 0.12)
    target_to_obj = distance(s.second, s.target)
    container_in_place = long_tail(target_to_obj, 0, 0.12, distance(s.obj_init, s.target) - 0.12)
    grasped, _ = grip(caged(s, stick, stick_init, 0.04, 0.05, 0.01), s.effort)
    reward = grasped
    if tcp_to_stick < 0.02 and s.opened > 0 and stick[2] - 0.01 > stick_init[2]:
        grasped = 1.0
        reward = 10.0 if target_to_obj <= 0.12 else 2.0 + 5.0 * in_place + 3.0 * container_in_place
    lifted = s.opened > 0 and s.obj[2] - 0.01 > stick_init[2]
    success = lifted and target_to_obj <= 0.12
    return Outcome(reward, success, flag(tcp_to_stick <= 0.03), flag(lifted), grasped, in_place, target_to_obj)


@compiled
def stick_pull(s: State) -> Outcome:
    """stick-pull-v3"""
    stick_init, end = vector(s.constants), vector(s.points[0])
    handle = s.second
    container = moved(handle, 0.05, 0.0, 0.0)
    tcp_to_stick = distance(s.obj, s.tcp)
    target_to_handle = distance(handle, s.target)
    margin = norm(scaled(subtract(stick_init, moved(s.obj_init, 0.05, 0.0, 0.0)), 1.0, 1.0, 2.0))
    in_place = long_tail(norm(scaled(subtract(s.obj, container), 1.0, 1.0, 2.0)), 0, 0.05, margin)
    stick_at_target = long_tail(distance(s.obj, s.target), 0, 0.05, distance(stick_init, s.target))
    container_in_place = long_tail(distance(container, s.target), 0, 0.05, distance(s.obj_init, s.target))

    inserted = end[0] >= handle[0] and abs(end[1] - handle[1]) <= 0.04 and abs(end[2] - handle[2]) <= 0.06
    grasped, single = held(s, 0.014, 0.05, 0.01)
    if tcp_to_stick < 0.02 and s.opened > 0 and s.obj[2] - 0.01 > stick_init[2]:
        grasped = 1.0
        both = 1.0 + hamacher(grasped, in_place)
        if not inserted:
            reward = both + 5.0 * in_place
        elif target_to_handle <= 0.12:
            reward = 10.0
        else:
            reward = both + 5.0 + 2.0 * stick_at_target + 1.0 * container_in_place
    else:
        reward = hamacher(grasped, in_place, single)
    success = target_to_handle <= 0.12 and inserted
    up = lifted(s, 0.02)
    return Outcome(reward, success, flag(tcp_to_stick <= 0.03), up, grasped, in_place, target_to_handle)
