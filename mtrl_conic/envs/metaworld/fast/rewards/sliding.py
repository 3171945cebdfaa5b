"""Drawers and windows."""

from __future__ import annotations

from mtrl_conic.envs.metaworld.fast.arithmetic import (
    distance,
    flag,
    gaussian,
    hamacher,
    long_tail,
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
def drawer_open(s: State) -> Outcome:
    """drawer-open-v3"""
    handle_error = distance(s.obj, s.target)
    opening = long_tail(handle_error, 0, 0.02, 0.2)
    handle_init = s.target[0], s.target[1] + 0.2, s.target[2]
    error = norm(scaled(subtract(s.obj, s.hand), 3.0, 3.0, 1.0))
    error_init = norm(scaled(subtract(handle_init, s.tcp_init), 3.0, 3.0, 1.0))
    caging = long_tail(error, 0, 0.01, error_init)
    near = flag(distance(s.obj, s.hand) <= 0.03)
    reward = (caging + opening) * 5.0
    return Outcome(reward, handle_error <= 0.03, near, flag(s.opened > 0), caging, opening, handle_error)


@compiled
def drawer_close(s: State) -> Outcome:
    """drawer-close-v3"""
    target_to_obj = distance(s.obj, s.target)
    in_place = long_tail(target_to_obj, 0, 0.05, abs(distance(s.obj_init, s.target) - 0.05))
    tcp_to_obj = distance(s.obj, s.tcp)
    reaching = gaussian(tcp_to_obj, 0, 0.005, abs(distance(s.obj_init, s.tcp_init) - 0.005))
    closed, single = closing(s.effort)
    grasped = hamacher(reaching, closed, single)
    success = target_to_obj <= 0.05 + 0.015
    reward = 10.0 if success else times(10, hamacher(grasped, in_place, single), single)
    return Outcome(reward, success, flag(tcp_to_obj <= 0.01), 1.0, grasped, in_place, target_to_obj)


@compiled
def window_open(s: State) -> Outcome:
    """window-open-v3"""
    target_to_obj = abs(s.obj[0] - s.target[0])
    in_place = long_tail(target_to_obj, 0, 0.05, abs(abs(s.obj_init[0] - s.target[0]) - 0.05))
    tcp_to_obj = distance(s.obj, s.tcp)
    margin = abs(distance(vector(s.constants), s.tcp_init) - 0.02)
    reaching = long_tail(tcp_to_obj, 0, 0.02, margin)
    reward = 10 * hamacher(reaching, in_place)
    return Outcome(reward, target_to_obj <= 0.05, flag(tcp_to_obj <= 0.05), 1.0, reaching, in_place, target_to_obj)


@compiled
def window_close(s: State) -> Outcome:
    """window-close-v3"""
    handle_init = vector(s.constants)
    target_to_obj = abs(s.obj[0] - s.target[0])
    in_place = long_tail(target_to_obj, 0, 0.05, abs(abs(handle_init[0] - s.target[0]) - 0.05))
    tcp_to_obj = distance(s.obj, s.tcp)
    reaching = gaussian(tcp_to_obj, 0, 0.02, abs(distance(handle_init, s.tcp_init) - 0.02))
    reward = 10 * hamacher(reaching, in_place)
    return Outcome(reward, target_to_obj <= 0.05, flag(tcp_to_obj <= 0.05), 1.0, reaching, in_place, target_to_obj)
