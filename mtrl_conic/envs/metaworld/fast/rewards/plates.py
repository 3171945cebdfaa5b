"""Sliding a plate."""

from __future__ import annotations

from mtrl_conic.envs.metaworld.fast.arithmetic import distance, flag, hamacher, long_tail
from mtrl_conic.envs.metaworld.fast.native import compiled
from mtrl_conic.envs.metaworld.fast.rewards.state import Outcome, State


@compiled
def plate_slide(s: State) -> Outcome:
    """plate-slide-v3"""
    target_to_obj, tcp_to_obj = distance(s.obj, s.target), distance(s.tcp, s.obj)
    in_place = long_tail(target_to_obj, 0, 0.05, distance(s.obj_init, s.target))
    grasped = long_tail(tcp_to_obj, 0, 0.05, distance(s.tcp_init, s.obj_init))
    reward = 10.0 if target_to_obj < 0.05 else 8 * hamacher(grasped, in_place)
    return Outcome(reward, target_to_obj <= 0.07, flag(tcp_to_obj <= 0.03), 0.0, grasped, in_place, target_to_obj)


@compiled
def plate_slide_otherwise(s: State) -> Outcome:
    """plate-slide-side-v3, plate-slide-back-v3 and plate-slide-back-side-v3"""
    target_to_obj, tcp_to_obj = distance(s.obj, s.target), distance(s.tcp, s.obj)
    in_place = long_tail(target_to_obj, 0, 0.05, distance(s.obj_init, s.target) - 0.05)
    grasped = long_tail(tcp_to_obj, 0, 0.05, distance(s.tcp_init, s.obj_init) - 0.05)
    reward = 1.5 * grasped
    if s.tcp[2] <= 0.03 and tcp_to_obj < 0.07:
        reward = 2.0 + 7.0 * in_place
    if target_to_obj < 0.05:
        reward = 10.0
    return Outcome(reward, target_to_obj <= 0.07, flag(tcp_to_obj <= 0.03), 0.0, grasped, in_place, target_to_obj)
