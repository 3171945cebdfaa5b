"""The physics of one step of an environment, in compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtrl_conic.envs.metaworld.fast import native
from mtrl_conic.envs.metaworld.fast.arithmetic import clip
from mtrl_conic.envs.metaworld.fast.native import compiled, doubles

SUBSTEPS = 5
"""The number of physics steps in a step of an environment."""
_LARGEST = 1e10
"""MuJoCo resets a state that exceeds this value (`mjMAXVAL`)."""


@compiled
def _sound(numbers: Any, count: int) -> bool:
    """Return whether MuJoCo accepts the numbers (`mju_isBad`)."""
    sound = True
    for i in range(count):
        sound = sound and abs(numbers[i]) <= _LARGEST
    return sound


@compiled
def act(env: Any, action: Any) -> bool:
    """Move the mocap body and set the gripper's controls as `SawyerXYZEnv.step`; return whether the body turned."""
    mocap, quaternion, control = doubles(env.mocap), doubles(env.mocap_quaternion), doubles(env.control)
    for i in range(3):
        move = np.float32(clip(action[i], -1.0, 1.0)) * env.action_scale
        mocap[i] = clip(mocap[i] + float(move), env.mocap_low[i], env.mocap_high[i])
    turned = False
    for i in range(4):
        value = 1.0 - i % 2
        turned = turned or quaternion[i] != value
        quaternion[i] = value
    control[0], control[1] = action[3], -action[3]
    return turned


@compiled
def _first_substep(env: Any) -> None:
    """`mj_step` after an `mj_forward` since which only the mocap body was moved and the controls set.

    Quantities that depend on neither remain valid: positions of the arm and of objects, inertias, contacts and
    velocities. Only the position of the mocap body must be updated, as `mj_kinematics` would; no other body is attached
    to it.
    """
    model, data = env.model, env.data
    mocap, body = doubles(env.mocap), doubles(env.mocap_body)
    for i in range(3):
        body[i] = mocap[i]
    native.mj_make_constraint(model, data)
    native.mj_project_constraint(model, data)
    native.mj_reference_constraint(model, data)
    native.mj_fwd_actuation(model, data)
    native.mj_fwd_acceleration(model, data)
    native.mj_fwd_constraint(model, data)
    native.mj_check_acc(model, data)
    native.mj_euler(model, data)


@compiled
def simulate(env: Any, action: Any) -> None:
    """Apply an action and simulate one step of the environment."""
    # MuJoCo turns the body when it resets a bad state, after which no computed quantity is valid
    turned = act(env, action)
    sound = _sound(doubles(env.qpos), env.nq) and _sound(doubles(env.qvel), env.nv)
    if env.fresh or turned or not sound:
        native.mj_step(env.model, env.data)
        env.fresh = 0
    else:
        _first_substep(env)
    for _ in range(SUBSTEPS - 1):
        native.mj_step(env.model, env.data)
    # the warm start of the next step's solver comes from here
    native.mj_forward(env.model, env.data)
