"""Reaching a point."""

from __future__ import annotations

from mtrl_conic.envs.metaworld.fast.arithmetic import distance, long_tail, vector
from mtrl_conic.envs.metaworld.fast.native import compiled
from mtrl_conic.envs.metaworld.fast.rewards.state import Outcome, State


@compiled
def reach(s: State) -> Outcome:
    """reach-v3"""
    tcp_to_target = distance(s.tcp, s.target)
    in_place = long_tail(tcp_to_target, 0, 0.05, distance(vector(s.constants), s.target))
    return Outcome(10 * in_place, tcp_to_target <= 0.05, tcp_to_target, 1.0, tcp_to_target, in_place, tcp_to_target)


@compiled
def reach_wall(s: State) -> Outcome:
    """reach-wall-v3"""
    tcp_to_target = distance(s.tcp, s.target)
    in_place = long_tail(tcp_to_target, 0, 0.05, distance(vector(s.constants), s.target))
    return Outcome(10 * in_place, tcp_to_target <= 0.05, 0.0, 0.0, 0.0, in_place, tcp_to_target)
