"""The inputs and the outputs of a reward function."""

from __future__ import annotations

from typing import Any, NamedTuple

from mtrl_conic.envs.metaworld.fast.arithmetic import Vector


class State(NamedTuple):
    """The inputs of a reward: positions in metres, and the constants of the episode."""

    hand: Vector
    opened: float
    """How far the gripper is open, 0 to 1."""
    obj: Vector
    quaternion: tuple[float, float, float, float]
    """The object's orientation as observed."""
    second: Vector
    """The second object's position; zeros where a task has one object."""
    tcp: Vector
    """The midpoint of the fingertips."""
    left_pad: Vector
    right_pad: Vector
    effort: float
    """The action's last component, a float32 in Meta-World."""
    joint: float
    points: Any
    """(P, 3), the task's further points."""
    target: Vector
    obj_init: Vector
    tcp_init: Vector
    constants: Any
    """(C,), further constants of the episode."""


class Outcome(NamedTuple):
    """A reward and the values of Meta-World's `info`."""

    reward: float
    success: bool
    near_object: float
    grasp_success: float
    grasp_reward: float
    in_place_reward: float
    obj_to_target: float
