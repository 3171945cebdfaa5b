"""The record that describes an environment to the kernel."""

from __future__ import annotations

import numpy as np

FRAME = 18
"""The size of one frame of an observation: hand (3), gripper (1), two objects' positions (3) and orientations (4)."""
OBSERVATION = 2 * FRAME + 3
"""The size of an observation: the current frame, the previous one, and the goal."""
MAX_POINTS = 5
MAX_CONSTANTS = 3
NO_ROTATION, UPRIGHT, QUATERNION, MATRIX = range(4)
"""How an orientation is observed: as zeros, as the identity, from a quaternion or from a matrix."""

_VECTOR = (np.float64, 3)
# addresses in MuJoCo's memory: the model, the data, and arrays of float64 in the data
_ADDRESSES = (
    *("model", "data", "qpos", "qvel", "control", "mocap", "mocap_quaternion", "mocap_body"),
    *("hand", "right_claw", "left_claw", "right_tip", "left_tip", "left_pad", "right_pad"),
    *("object", "rotation", "second", "second_rotation", "joint"),
)
ENVIRONMENT = np.dtype(
    [
        *((name, np.int64) for name in _ADDRESSES),
        ("points", np.int64, MAX_POINTS),
        ("nq", np.int64),
        ("nv", np.int64),
        ("num_points", np.int64),
        # constant for a task
        ("reward", np.int64),
        ("rotation_kind", np.int64),
        ("second_rotation_kind", np.int64),
        ("offset", *_VECTOR),
        ("second_offset", *_VECTOR),
        ("radius", np.float64),
        ("mocap_low", *_VECTOR),
        ("mocap_high", *_VECTOR),
        ("low", np.float64, OBSERVATION),
        ("high", np.float64, OBSERVATION),
        ("action_scale", np.float32),
        # constant for an episode
        ("target", *_VECTOR),
        ("object_init", *_VECTOR),
        ("tcp_init", *_VECTOR),
        ("constants", np.float64, MAX_CONSTANTS),
        # changed by each step
        ("previous", np.float64, FRAME),
        ("fresh", np.int64),
    ],
    align=True,
)
"""The data of one environment for the kernel."""

INFO = ("near_object", "grasp_success", "grasp_reward", "in_place_reward", "obj_to_target")
"""The values of Meta-World's `info` that the kernel computes."""
