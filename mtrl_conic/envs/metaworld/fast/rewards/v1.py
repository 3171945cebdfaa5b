"""The V1 rewards of the ten MT10 tasks: reach the object, then move it to its target."""

from __future__ import annotations

import math

from mtrl_conic.envs.metaworld.fast.arithmetic import distance, distance_xy, narrow, vector
from mtrl_conic.envs.metaworld.fast.native import compiled
from mtrl_conic.envs.metaworld.fast.rewards.state import Outcome, State


@compiled
def _approach(error: float, farthest: float) -> float:
    """A term that rises as an error falls from its maximum to 0, steeply near 0."""
    return 1000 * (farthest - error) + 1000 * (math.exp(-(error**2) / 0.01) + math.exp(-(error**2) / 0.001))


@compiled
def _pull(s: State, error: float, success_error: float, grasp_success: float) -> Outcome:
    """Reach the handle, then pull it; the episode's first constant is its largest distance."""
    reach = distance(s.obj, s.tcp)
    pull = max(_approach(error, s.constants[0]), 0.0) if reach < 0.05 else 0.0
    return Outcome(-reach + pull, error <= success_error, 1.0, grasp_success, 0.0, 0.0, error)


@compiled
def reach(s: State) -> Outcome:
    """reach-v3"""
    error = distance(s.tcp, s.target)
    return Outcome(max(_approach(error, s.constants[0]), 0.0), error <= 0.05, error, 1.0, error, 0.0, error)


@compiled
def push(s: State) -> Outcome:
    """push-v3"""
    return _pull(s, distance_xy(s.obj, s.target), 0.05, 0.0)


@compiled
def door_open(s: State) -> Outcome:
    """door-open-v3"""
    pulled = _pull(s, distance_xy(s.obj, s.target), 0.0, 0.0)
    return Outcome(pulled.reward, abs(s.obj[0] - s.target[0]) <= 0.08, 0.0, 0.0, 0.0, 0.0, 0.0)


@compiled
def drawer_open(s: State) -> Outcome:
    """drawer-open-v3"""
    return _pull(s, abs(s.obj[1] - s.target[1]), 0.03, 0.0)


@compiled
def drawer_close(s: State) -> Outcome:
    """drawer-close-v3"""
    return _pull(s, abs(s.obj[1] - s.target[1]), 0.05 + 0.015, 1.0)


@compiled
def button_press_topdown(s: State) -> Outcome:
    """button-press-topdown-v3"""
    return _pull(s, abs(s.obj[2] - s.target[2]), 0.024, 0.0)


@compiled
def window(s: State) -> Outcome:
    """window-open-v3 and window-close-v3, the only tasks with a cost for a handle on the wrong side"""
    error = abs(s.obj[0] - s.target[0])
    reach = distance(s.obj, s.tcp)
    pull = _approach(error, s.constants[0]) if reach < 0.05 else 0.0
    return Outcome(-reach + pull, error <= 0.05, 1.0, 1.0, 0.0, 0.0, error)


@compiled
def pick_place(s: State) -> Outcome:
    """pick-place-v3"""
    return _place(s, distance(s.obj, s.target), 2.0)


@compiled
def peg_insert_side(s: State) -> Outcome:
    """peg-insert-side-v3"""
    head_error = distance(vector(s.points[0]), s.target)
    return _place(s, distance(s.obj, s.target) if head_error <= 0.05 else head_error, 1.0)


@compiled
def _place(s: State, error: float, height_weight: float) -> Outcome:
    """Reach the object, lift it to a height, move it to its target.

    The constants of the episode are that height, the initial height of the object, and its largest distance.
    """
    height, lying, farthest = s.constants[0], s.constants[1], s.constants[2]
    target_to_obj = distance(s.obj, s.target)
    tcp_to_obj, beside = distance(s.obj, s.tcp), distance_xy(s.obj, s.tcp)
    reward = -tcp_to_obj if beside < 0.05 else -beside - height_weight * abs(s.tcp[2] - s.tcp_init[2])
    if tcp_to_obj < 0.05:
        reward = -tcp_to_obj + narrow(max(s.effort, 0.0) / 50, True)

    picked = s.obj[2] >= height - 0.01
    dropped = s.obj[2] < lying + 0.005 and target_to_obj > 0.02 and tcp_to_obj > 0.02
    if picked and not dropped:
        reward += 100 * height
    elif tcp_to_obj < 0.1 and s.obj[2] > lying + 0.005:
        reward += 100 * min(height, s.obj[2])
    if picked and tcp_to_obj < 0.1 and not dropped:
        reward += max(_approach(error, farthest), 0.0)
    return Outcome(reward, target_to_obj <= 0.07, 1.0, 0.0, 0.0, 0.0, target_to_obj)
