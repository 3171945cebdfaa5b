"""Faucets, a dial and a lever."""

from __future__ import annotations

import math

from mtrl_conic.envs.metaworld.fast.arithmetic import (
    Vector,
    distance,
    flag,
    gaussian,
    hamacher,
    long_tail,
    moved,
    norm,
    scaled,
    subtract,
    times,
    vector,
)
from mtrl_conic.envs.metaworld.fast.native import compiled
from mtrl_conic.envs.metaworld.fast.rewards.grasping import closing
from mtrl_conic.envs.metaworld.fast.rewards.state import Outcome, State


@compiled
def faucet_open(s: State) -> Outcome:
    """faucet-open-v3"""
    return _faucet(s, moved(s.obj, -0.04, 0.0, 0.03))


@compiled
def faucet_close(s: State) -> Outcome:
    """faucet-close-v3"""
    return _faucet(s, s.obj)


@compiled
def _faucet(s: State, handle: Vector) -> Outcome:
    target_to_obj = distance(handle, s.target)
    in_place = long_tail(target_to_obj, 0, 0.07, abs(distance(s.obj_init, s.target) - 0.07))
    tcp_to_obj = distance(handle, s.tcp)
    reach = gaussian(tcp_to_obj, 0, 0.01, abs(distance(s.obj_init, s.tcp_init) - 0.01))
    success = target_to_obj <= 0.07
    reward = 10.0 if success else (2 * reach + 3 * in_place) * 2
    return Outcome(reward, success, flag(tcp_to_obj <= 0.01), 1.0, reach, in_place, target_to_obj)


@compiled
def dial_turn(s: State) -> Outcome:
    """dial-turn-v3"""
    target_to_obj = distance(s.obj, s.target)
    push_init = vector(s.constants)
    in_place = long_tail(target_to_obj, 0, 0.07, abs(distance(push_init, s.target) - 0.07))
    tcp_to_obj = distance(moved(s.obj, 0.05, 0.02, 0.09), s.tcp)
    near = gaussian(tcp_to_obj, 0, 0.005, abs(distance(push_init, s.tcp_init) - 0.005))
    closed, single = closing(s.effort)
    reach = hamacher(near, closed, single)
    reward = times(10, hamacher(reach, in_place, single), single)
    return Outcome(reward, target_to_obj <= 0.07, flag(tcp_to_obj <= 0.01), 1.0, reach, in_place, target_to_obj)


@compiled
def lever_pull(s: State) -> Outcome:
    """lever-pull-v3"""
    lever_init = vector(s.constants)
    shoulder = norm(scaled(subtract(moved(s.hand, 0.0, 0.055, 0.07), s.obj), 4.0, 1.0, 4.0))
    margin = norm(scaled(subtract(moved(s.tcp_init, 0.0, 0.055, 0.07), lever_init), 4.0, 1.0, 4.0))
    ready = long_tail(shoulder, 0, 0.02, margin)
    error = abs(-s.joint - math.pi / 2.0)
    engaged = long_tail(error, 0, math.pi / 48.0, math.pi / 2.0 - math.pi / 12.0)
    in_place = long_tail(distance(s.obj, s.target), 0, 0.04, distance(lever_init, s.target))
    reward = 10.0 * hamacher(ready, in_place)
    return Outcome(reward, error <= math.pi / 24, flag(shoulder < 0.03), flag(ready > 0.9), ready, engaged, shoulder)
