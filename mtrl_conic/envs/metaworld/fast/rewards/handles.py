"""Pressing and pulling handles."""

from __future__ import annotations

from mtrl_conic.envs.metaworld.fast.arithmetic import distance, flag, hamacher, long_tail, plus, vector
from mtrl_conic.envs.metaworld.fast.native import compiled
from mtrl_conic.envs.metaworld.fast.rewards.grasping import held, lifted
from mtrl_conic.envs.metaworld.fast.rewards.state import Outcome, State


@compiled
def handle_press(s: State) -> Outcome:
    """handle-press-v3 and handle-press-side-v3"""
    handle_init = vector(s.constants)
    target_to_obj = abs(s.obj[2] - s.target[2])
    in_place = long_tail(target_to_obj, 0, 0.02, abs(abs(handle_init[2] - s.target[2]) - 0.02))
    tcp_to_obj = distance(s.obj, s.tcp)
    reach = long_tail(tcp_to_obj, 0, 0.02, abs(distance(handle_init, s.tcp_init) - 0.02))
    success = target_to_obj <= 0.02
    reward = 10.0 if success else hamacher(reach, in_place) * 10
    return Outcome(reward, success, flag(tcp_to_obj <= 0.05), 1.0, reach, in_place, target_to_obj)


@compiled
def handle_pull(s: State) -> Outcome:
    """handle-pull-v3"""
    target_to_obj = abs(s.target[2] - s.obj[2])
    in_place = long_tail(target_to_obj, 0, 0.05, abs(s.target[2] - s.obj_init[2]))
    grasped, single = held(s, 0.022, 0.05, 0.01)
    # Meta-World's code compares y to z here
    pulled = s.obj[1] - 0.01 > s.obj_init[2]
    return _pull(s, target_to_obj, in_place, grasped, single, pulled, 0.05)


@compiled
def handle_pull_side(s: State) -> Outcome:
    """handle-pull-side-v3"""
    target_to_obj = distance(s.obj, s.target)
    in_place = long_tail(target_to_obj, 0, 0.05, distance(s.obj_init, s.target))
    grasped, single = held(s, 0.032, 0.06, 0.01)
    pulled = s.obj[2] - 0.01 > s.obj_init[2]
    return _pull(s, target_to_obj, in_place, grasped, single, pulled, 0.08)


@compiled
def _pull(
    s: State, target_to_obj: float, in_place: float, grasped: float, single: bool, pulled: bool, success_radius: float
) -> Outcome:
    tcp_to_obj = distance(s.obj, s.tcp)
    reward = hamacher(grasped, in_place, single)
    if tcp_to_obj < 0.035 and s.opened > 0 and pulled:
        reward = plus(reward, 1.0 + 5.0 * in_place, single)
    if target_to_obj < 0.05:
        reward = 10.0
    success = target_to_obj <= success_radius
    up = lifted(s, 0.03)
    return Outcome(reward, success, flag(tcp_to_obj <= 0.05), up, grasped, in_place, target_to_obj)
