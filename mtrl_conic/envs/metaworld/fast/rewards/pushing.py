"""Pushing, pulling and sweeping a puck, a ball or a mug over the table."""

from __future__ import annotations

from mtrl_conic.envs.metaworld.fast.arithmetic import (
    clip,
    distance,
    flag,
    hamacher,
    long_tail,
    norm,
    plus,
    scaled,
    subtract,
    times,
)
from mtrl_conic.envs.metaworld.fast.native import compiled
from mtrl_conic.envs.metaworld.fast.rewards.grasping import caged, grip_and_reach, held, lifted, pinched
from mtrl_conic.envs.metaworld.fast.rewards.state import Outcome, State
from mtrl_conic.envs.metaworld.fast.rewards.walls import at_point, carried


@compiled
def push(s: State) -> Outcome:
    """push-v3"""
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = distance(s.obj, s.target)
    in_place = long_tail(target_to_obj, 0, 0.05, distance(s.obj_init, s.target))
    grasped, single = held(s, 0.015, 0.05, 0.005)
    reward = times(2, grasped, single)
    if tcp_to_obj < 0.02 and s.opened > 0:
        reward = plus(reward, plus(plus(1.0, reward, single), 5.0 * in_place, single), single)
    if target_to_obj < 0.05:
        reward = 10.0
    return Outcome(
        reward, target_to_obj <= 0.05, flag(tcp_to_obj <= 0.03), lifted(s, 0.02), grasped, in_place, target_to_obj
    )


@compiled
def push_wall(s: State) -> Outcome:
    """push-wall-v3"""
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = distance(s.obj, s.target)
    midpoint = -0.05, 0.77, s.obj[2]
    at_midpoint = at_point(s, midpoint, 3.0, 1.0, 1.0)
    in_place = long_tail(target_to_obj, 0, 0.05, distance(s.obj_init, s.target))
    grasped, single = held(s, 0.015, 0.05, 0.005)
    reward = times(2.0, grasped, single)
    if tcp_to_obj < 0.02 and s.opened > 0:
        reward = carried(s, reward, at_midpoint, in_place, single)
    if target_to_obj < 0.05:
        reward = 10.0
    return Outcome(
        reward, target_to_obj <= 0.07, flag(tcp_to_obj <= 0.03), lifted(s, 0.02), grasped, in_place, target_to_obj
    )


@compiled
def push_back(s: State) -> Outcome:
    """push-back-v3"""
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = distance(s.obj, s.target)
    target_to_obj_init = distance(s.obj_init, s.target)
    in_place = long_tail(target_to_obj, 0, 0.05, target_to_obj_init)
    grasped = pinched(s, 0.007, 0.003, 0.01)
    reward = hamacher(grasped, in_place)
    if tcp_to_obj < 0.01 and 0 < s.opened < 0.55 and target_to_obj_init - target_to_obj > 0.01:
        reward += 1.0 + 5.0 * in_place
    if target_to_obj < 0.05:
        reward = 10.0
    return Outcome(
        reward, target_to_obj <= 0.07, flag(tcp_to_obj <= 0.03), lifted(s, 0.02), grasped, in_place, target_to_obj
    )


@compiled
def _sweep(s: State, target_to_obj: float, margin: float, slack: float, xz_threshold: float) -> Outcome:
    tcp_to_obj = distance(s.obj, s.tcp)
    in_place = long_tail(target_to_obj, 0, 0.05, margin)
    grasped = pinched(s, 0.02, slack, xz_threshold)
    reward = 2 * grasped + 6 * hamacher(grasped, in_place)
    if target_to_obj < 0.05:
        reward = 10.0
    touched = flag(s.opened > 0)
    return Outcome(reward, target_to_obj <= 0.05, flag(tcp_to_obj <= 0.03), touched, grasped, in_place, target_to_obj)


@compiled
def sweep(s: State) -> Outcome:
    """sweep-v3"""
    return _sweep(s, distance(s.obj, s.target), distance(s.obj_init, s.target), 0.01, 0.005)


@compiled
def sweep_into(s: State) -> Outcome:
    """sweep-into-v3"""
    target = s.target[0], s.target[1], s.obj[2]
    return _sweep(s, distance(s.obj, target), distance(s.obj_init, target), 0.005, 0.01)


@compiled
def soccer(s: State) -> Outcome:
    """soccer-v3"""
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = norm(scaled(subtract(s.obj, s.target), 3.0, 1.0, 1.0))
    moved_by = norm(scaled(subtract(s.obj, s.obj_init), 3.0, 1.0, 1.0))
    in_place = long_tail(target_to_obj, 0, 0.07, moved_by)
    goal_line = s.target[1] - 0.1
    if s.obj[1] > goal_line and abs(s.obj[0] - s.target[0]) > 0.1:
        in_place = clip(in_place - 2 * ((s.obj[1] - goal_line) / (1 - goal_line)), 0.0, 1.0)
    grasped = pinched(s, 0.013, 0.01, 0.005)
    reward = 10.0 if target_to_obj < 0.07 else 3 * grasped + 6.5 * in_place
    error = distance(s.obj, s.target)
    up = lifted(s, 0.02)
    return Outcome(reward, error <= 0.07, flag(tcp_to_obj <= 0.03), up, grasped, in_place, error)


@compiled
def coffee_mug(s: State) -> Outcome:
    """coffee-pull-v3 and coffee-push-v3"""
    tcp_to_obj = distance(s.obj, s.tcp)
    error = norm(scaled(subtract(s.obj, s.target), 2.0, 2.0, 1.0))
    in_place = long_tail(error, 0, 0.05, norm(scaled(subtract(s.obj_init, s.target), 2.0, 2.0, 1.0)))
    grasped, single = grip_and_reach(caged(s, s.obj, s.obj_init, 0.02, 0.05, 0.05), s, s.obj, 0.04, 0.7)
    reward = hamacher(grasped, in_place, single)
    if tcp_to_obj < 0.04 and s.opened > 0:
        reward = plus(reward, 1.0 + 5.0 * in_place, single)
    if error < 0.05:
        reward = 10.0
    target_to_obj = distance(s.obj, s.target)
    touched = flag(s.opened > 0)
    return Outcome(reward, target_to_obj <= 0.07, flag(tcp_to_obj <= 0.03), touched, grasped, in_place, target_to_obj)
