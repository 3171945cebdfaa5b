"""The V2 rewards of Meta-World 3.1.1, one function a task, in Meta-World's own order of operations."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from mtrl_conic.envs.fast.arithmetic import (
    Vector,
    clip,
    closing,
    distance,
    distance_xz,
    gaussian,
    grip,
    hamacher,
    in_prism,
    long_tail,
    narrow,
    norm,
    pad_caging,
    prism_tolerance,
    scaled,
    subtract,
)
from mtrl_conic.envs.fast.native import compiled


class State(NamedTuple):
    """What a reward reads: positions in metres, constants of the episode last."""

    hand: Vector
    opened: float
    obj: Vector
    tcp: Vector
    left_pad: Vector
    right_pad: Vector
    effort: float
    """The action's last component, a float32 in Meta-World."""
    joint: float
    points: Any
    """(P, 3), the task's further sites."""
    target: Vector
    obj_init: Vector
    tcp_init: Vector
    constants: Any
    """(C,), what else the episode fixes."""


class Outcome(NamedTuple):
    """A reward and the values of Meta-World's `info`."""

    reward: float
    success: bool
    near_object: float
    grasp_success: float
    grasp_reward: float
    in_place_reward: float
    obj_to_target: float


@compiled
def _flag(condition: bool) -> float:
    return 1.0 if condition else 0.0


@compiled
def _vector(row: Any) -> Vector:
    return row[0], row[1], row[2]


@compiled
def _caging(s: State, radius: float, threshold: float, xz_threshold: float) -> tuple[float, bool]:
    """`_gripper_caging_reward` of the base class with high density, and whether it is a float32."""
    left = pad_caging(s.left_pad[1], s.obj[1], s.obj_init[1], radius, threshold)
    right = pad_caging(s.right_pad[1], s.obj[1], s.obj_init[1], radius, threshold)
    xz_margin = distance_xz(s.obj_init, s.tcp_init) - xz_threshold
    xz = long_tail(distance_xz(s.tcp, s.obj), 0, xz_threshold, xz_margin)
    return grip(hamacher(hamacher(left, right), xz), s.effort)


@compiled
def reach(s: State) -> Outcome:
    """reach-v3"""
    tcp_to_target = distance(s.tcp, s.target)
    in_place = long_tail(tcp_to_target, 0, 0.05, distance(_vector(s.constants), s.target))
    return Outcome(10 * in_place, tcp_to_target <= 0.05, tcp_to_target, 1.0, tcp_to_target, in_place, tcp_to_target)


@compiled
def push(s: State) -> Outcome:
    """push-v3"""
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = distance(s.obj, s.target)
    in_place = long_tail(target_to_obj, 0, 0.05, distance(s.obj_init, s.target))
    grasped, single = _caging(s, 0.015, 0.05, 0.005)
    reward = narrow(2 * grasped, single)
    if tcp_to_obj < 0.02 and s.opened > 0:
        bonus = narrow(narrow(1.0 + reward, single) + narrow(5.0 * in_place, single), single)
        reward = narrow(reward + bonus, single)
    if target_to_obj < 0.05:
        reward = 10.0
    lifted = s.opened > 0 and s.obj[2] - 0.02 > s.obj_init[2]
    return Outcome(
        reward, target_to_obj <= 0.05, _flag(tcp_to_obj <= 0.03), _flag(lifted), grasped, in_place, target_to_obj
    )


@compiled
def pick_place(s: State) -> Outcome:
    """pick-place-v3

    Meta-World keeps views of the pads' positions as their first ones, so that the margins along y follow
    the pads.
    """
    target_to_obj = distance(s.obj, s.target)
    tcp_to_obj = distance(s.obj, s.tcp)
    in_place = long_tail(target_to_obj, 0, 0.05, distance(s.obj_init, s.target))

    left_margin = abs(abs(s.obj[1] - s.left_pad[1]) - 0.05)
    right_margin = abs(abs(s.obj[1] - s.right_pad[1]) - 0.05)
    left = long_tail(s.left_pad[1] - s.obj[1], 0.015, 0.05, left_margin)
    right = long_tail(s.obj[1] - s.right_pad[1], 0.015, 0.05, right_margin)
    xz_margin = distance_xz(s.obj_init, s.tcp_init) - 0.005
    xz = long_tail(distance_xz(s.tcp, s.obj), 0, 0.005, xz_margin)
    grasped, single = grip(hamacher(hamacher(left, right), xz), s.effort)

    reward = hamacher(grasped, in_place, single)
    if tcp_to_obj < 0.02 and s.opened > 0 and s.obj[2] - 0.01 > s.obj_init[2]:
        reward = narrow(reward + narrow(1.0 + 5.0 * in_place, single), single)
    if target_to_obj < 0.05:
        reward = 10.0
    lifted = s.opened > 0 and s.obj[2] - 0.02 > s.obj_init[2]
    return Outcome(
        reward, target_to_obj <= 0.07, _flag(tcp_to_obj <= 0.03), _flag(lifted), grasped, in_place, target_to_obj
    )


@compiled
def door_open(s: State) -> Outcome:
    """door-open-v3"""
    grab = narrow(narrow(clip(s.effort, -1.0, 1.0) + 1.0, True) / 2.0, True)

    door = s.obj[0] - 0.05, s.obj[1], s.obj[2]
    radius = norm((s.hand[0] - door[0], s.hand[1] - door[1], 0.0))
    floor = 0.0 if radius <= 0.12 else 0.04 * math.log(radius - 0.12) + 0.4
    above_floor = 1.0 if s.hand[2] >= floor else long_tail(floor - s.hand[2], 0.0, 0.01, floor / 2.0)
    in_place = long_tail(norm(subtract(subtract(s.hand, door), (0.05, 0.03, -0.01))), 0, 0.12 / 2.0, 0.5)
    ready = hamacher(above_floor, in_place)

    angle = long_tail(math.pi / 2.0 + math.pi / 6 + s.joint, 0, 0.5, math.pi / 3.0)
    opened = 0.2 * _flag(s.joint < -math.pi / 90.0) + 0.8 * angle
    success = abs(s.obj[0] - s.target[0]) <= 0.08
    reward = 10.0 if success else 2.0 * hamacher(ready, grab) + 8.0 * opened
    return Outcome(reward, success, ready, _flag(grab >= 0.5), grab, opened, 0.0)


@compiled
def drawer_open(s: State) -> Outcome:
    """drawer-open-v3"""
    handle_error = distance(s.obj, s.target)
    opening = long_tail(handle_error, 0, 0.02, 0.2)
    handle_init = s.target[0], s.target[1] + 0.2, s.target[2]
    error = norm(scaled(subtract(s.obj, s.hand), 3.0, 3.0, 1.0))
    error_init = norm(scaled(subtract(handle_init, s.tcp_init), 3.0, 3.0, 1.0))
    caging = long_tail(error, 0, 0.01, error_init)
    near = _flag(distance(s.obj, s.hand) <= 0.03)
    reward = (caging + opening) * 5.0
    return Outcome(reward, handle_error <= 0.03, near, _flag(s.opened > 0), caging, opening, handle_error)


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
    reward = 10.0 if success else narrow(hamacher(grasped, in_place, single) * 10, single)
    return Outcome(reward, success, _flag(tcp_to_obj <= 0.01), 1.0, grasped, in_place, target_to_obj)


@compiled
def button_press_topdown(s: State) -> Outcome:
    """button-press-topdown-v3"""
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = abs(s.target[2] - s.obj[2])
    near = long_tail(tcp_to_obj, 0, 0.01, distance(s.obj, s.tcp_init))
    pressed = long_tail(target_to_obj, 0, 0.005, s.constants[0])
    reward = 5 * hamacher(1 - s.opened, near)
    if tcp_to_obj <= 0.03:
        reward += 5 * pressed
    success = target_to_obj <= 0.024
    return Outcome(reward, success, _flag(tcp_to_obj <= 0.05), _flag(s.opened > 0), near, pressed, target_to_obj)


@compiled
def peg_insert_side(s: State) -> Outcome:
    """peg-insert-side-v3"""
    head = _vector(s.points[0])
    tcp_to_obj = distance(s.obj, s.tcp)
    target_to_obj = norm(scaled(subtract(head, s.target), 1.0, 2.0, 2.0))
    margin = norm(scaled(subtract(_vector(s.constants), s.target), 1.0, 2.0, 2.0))
    in_place = long_tail(target_to_obj, 0, 0.07, margin)

    zero_1, one_1 = _vector(s.points[1]), _vector(s.points[2])
    zero_2, one_2 = _vector(s.points[3]), _vector(s.points[4])
    boxes = hamacher(prism_tolerance(head, zero_2, one_2), prism_tolerance(head, zero_1, one_1))
    in_place = hamacher(in_place, boxes)

    grasped, single = _caging(s, 0.0075, 0.03, 0.005)
    # inside a box Meta-World's tolerance is a NumPy float64, to which a float32 gives way
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
    held = _flag(tcp_to_obj < 0.02 and lifted)
    return Outcome(reward, success, _flag(tcp_to_obj <= 0.03), held, grasped, in_place, target_to_obj)


@compiled
def window_open(s: State) -> Outcome:
    """window-open-v3"""
    target_to_obj = abs(s.obj[0] - s.target[0])
    in_place = long_tail(target_to_obj, 0, 0.05, abs(abs(s.obj_init[0] - s.target[0]) - 0.05))
    tcp_to_obj = distance(s.obj, s.tcp)
    margin = abs(distance(_vector(s.constants), s.tcp_init) - 0.02)
    reaching = long_tail(tcp_to_obj, 0, 0.02, margin)
    reward = 10 * hamacher(reaching, in_place)
    return Outcome(reward, target_to_obj <= 0.05, _flag(tcp_to_obj <= 0.05), 1.0, reaching, in_place, target_to_obj)


@compiled
def window_close(s: State) -> Outcome:
    """window-close-v3"""
    handle_init = _vector(s.constants)
    target_to_obj = abs(s.obj[0] - s.target[0])
    in_place = long_tail(target_to_obj, 0, 0.05, abs(abs(handle_init[0] - s.target[0]) - 0.05))
    tcp_to_obj = distance(s.obj, s.tcp)
    reaching = gaussian(tcp_to_obj, 0, 0.02, abs(distance(handle_init, s.tcp_init) - 0.02))
    reward = 10 * hamacher(reaching, in_place)
    return Outcome(reward, target_to_obj <= 0.05, _flag(tcp_to_obj <= 0.05), 1.0, reaching, in_place, target_to_obj)
