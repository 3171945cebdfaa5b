"""Pressing buttons."""

from __future__ import annotations

from mtrl_conic.envs.metaworld.fast.arithmetic import distance, flag, hamacher, long_tail
from mtrl_conic.envs.metaworld.fast.native import compiled
from mtrl_conic.envs.metaworld.fast.rewards.state import Outcome, State


@compiled
def button_press_topdown(s: State) -> Outcome:
    """button-press-topdown-v3"""
    return _topdown(s, 1 - s.opened)


@compiled
def button_press_topdown_wall(s: State) -> Outcome:
    """button-press-topdown-wall-v3"""
    return _topdown(s, max(s.opened, 0.0))


@compiled
def _topdown(s: State, closed: float) -> Outcome:
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = abs(s.target[2] - s.obj[2])
    near = long_tail(tcp_to_obj, 0, 0.01, distance(s.obj, s.tcp_init))
    pressed = long_tail(target_to_obj, 0, 0.005, s.constants[0])
    reward = 5 * hamacher(closed, near)
    if tcp_to_obj <= 0.03:
        reward += 5 * pressed
    success = target_to_obj <= 0.024
    return Outcome(reward, success, flag(tcp_to_obj <= 0.05), flag(s.opened > 0), near, pressed, target_to_obj)


@compiled
def button_press(s: State) -> Outcome:
    """button-press-v3"""
    return _press(s, s.constants[0])


@compiled
def coffee_button(s: State) -> Outcome:
    """coffee-button-v3"""
    return _press(s, 0.03)


@compiled
def _press(s: State, travel: float) -> Outcome:
    """A button that is pressed along y by `travel`."""
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = abs(s.target[1] - s.obj[1])
    near = long_tail(tcp_to_obj, 0, 0.05, distance(s.obj, s.tcp_init))
    pressed = long_tail(target_to_obj, 0, 0.005, travel)
    reward = 2 * hamacher(max(s.opened, 0.0), near)
    if tcp_to_obj <= 0.05:
        reward += 8 * pressed
    success = target_to_obj <= 0.02
    return Outcome(reward, success, flag(tcp_to_obj <= 0.05), flag(s.opened > 0), near, pressed, target_to_obj)


@compiled
def button_press_wall(s: State) -> Outcome:
    """button-press-wall-v3"""
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = abs(s.target[1] - s.obj[1])
    near = long_tail(tcp_to_obj, 0, 0.01, distance(s.obj, s.tcp_init))
    pressed = long_tail(target_to_obj, 0, 0.005, s.constants[0])
    if tcp_to_obj > 0.07:
        reward = 2 * hamacher((1 - s.opened) / 2.0, near)
    else:
        reward = 2 + 2 * (1 + s.opened) + 4 * pressed**2
    success = target_to_obj <= 0.03
    return Outcome(reward, success, flag(tcp_to_obj <= 0.05), flag(s.opened > 0), near, pressed, target_to_obj)
