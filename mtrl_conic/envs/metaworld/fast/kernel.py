"""One step of all environments, in compiled code."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba

from mtrl_conic.compilation import compiled_and_kept
from mtrl_conic.envs.metaworld.fast.arithmetic import Vector, clip, distance
from mtrl_conic.envs.metaworld.fast.groups import choose_mt10, choose_mt50, choose_v1
from mtrl_conic.envs.metaworld.fast.layout import FRAME, MATRIX, OBSERVATION, QUATERNION, UPRIGHT
from mtrl_conic.envs.metaworld.fast.native import compiled, doubles
from mtrl_conic.envs.metaworld.fast.physics import simulate
from mtrl_conic.envs.metaworld.fast.rewards.state import State


@compiled
def _read(address: int) -> Vector:
    numbers = doubles(address)
    return numbers[0], numbers[1], numbers[2]


@compiled
def _write_quaternion(address: int, out: Any) -> None:
    """Write the quaternion (x, y, z, w) of a rotation matrix, as `scipy.spatial.transform.Rotation` computes it."""
    m = doubles(address)
    trace = m[0] + m[4] + m[8]
    i = 0
    for j in range(1, 3):
        if m[4 * j] > m[4 * i]:
            i = j
    if trace > m[4 * i]:
        out[0], out[1], out[2], out[3] = m[7] - m[5], m[2] - m[6], m[3] - m[1], 1 + trace
    else:
        j, k = (i + 1) % 3, (i + 2) % 3
        out[i] = 1 - trace + 2 * m[4 * i]
        out[j] = m[3 * j + i] + m[3 * i + j]
        out[k] = m[3 * k + i] + m[3 * i + k]
        out[3] = m[3 * k + j] - m[3 * j + k]
    length = math.sqrt(out[0] * out[0] + out[1] * out[1] + out[2] * out[2] + out[3] * out[3])
    for j in range(4):
        out[j] /= length


@compiled
def _write_rotation(kind: int, address: int, out: Any) -> None:
    """Write an orientation as Meta-World observes it."""
    out[:] = 0.0
    if kind == UPRIGHT:
        out[0] = 1.0
    elif kind == MATRIX:
        _write_quaternion(address, out)
    elif kind == QUATERNION:
        quaternion = doubles(address)
        for i in range(4):
            out[i] = quaternion[i]


@compiled
def _write_frame(env: Any, frame: Any) -> None:
    """Write hand, gripper and objects as in `_get_curr_obs_combined_no_goal`."""
    hand, obj = _read(env.hand), _read(env.object)
    for i in range(3):
        frame[i] = hand[i]
        frame[4 + i] = obj[i] + env.offset[i]
    frame[3] = clip(distance(_read(env.right_claw), _read(env.left_claw)) / 0.1, 0.0, 1.0)
    if env.radius > 0:
        angle = doubles(env.joint)[0]
        frame[4] += math.sin(angle) * env.radius
        frame[5] += -math.cos(angle) * env.radius
    _write_rotation(env.rotation_kind, env.rotation, frame[7:11])
    frame[11:] = 0.0
    if env.second != 0:
        second = _read(env.second)
        for i in range(3):
            frame[11 + i] = second[i] + env.second_offset[i]
        _write_rotation(env.second_rotation_kind, env.second_rotation, frame[14:18])


@compiled
def _observe(env: Any, observation: Any) -> None:
    """Write the frame, the last frame and the goal, clipped to Meta-World's observation space."""
    _write_frame(env, observation[:FRAME])
    observation[FRAME : 2 * FRAME] = env.previous
    observation[2 * FRAME :] = env.target
    env.previous[:] = observation[:FRAME]
    for i in range(OBSERVATION):
        observation[i] = clip(observation[i], env.low[i], env.high[i])


@compiled
def _state(env: Any, observation: Any, action: Any, points: Any) -> State:
    right, left = _read(env.right_tip), _read(env.left_tip)
    for i in range(env.num_points):
        points[i, 0], points[i, 1], points[i, 2] = _read(env.points[i])
    target, start, tcp_start = env.target, env.object_init, env.tcp_init
    return State(
        (observation[0], observation[1], observation[2]),
        observation[3],
        (observation[4], observation[5], observation[6]),
        (observation[7], observation[8], observation[9], observation[10]),
        (observation[11], observation[12], observation[13]),
        ((right[0] + left[0]) / 2.0, (right[1] + left[1]) / 2.0, (right[2] + left[2]) / 2.0),
        _read(env.left_pad),
        _read(env.right_pad),
        float(action[3]),
        doubles(env.joint)[0],
        points,
        (target[0], target[1], target[2]),
        (start[0], start[1], start[2]),
        (tcp_start[0], tcp_start[1], tcp_start[2]),
        env.constants,
    )


@lru_cache
def kernel(parallel: bool, group: str) -> Callable[..., int]:
    """Return the compiled step of all environments for the tasks of a group; if `parallel`, it uses numba's threads.

    Its arguments are the environments (K,) of `ENVIRONMENT` and the actions (K, 4) float32; the arrays that it writes,
    which are observations (K, OBSERVATION), rewards (K,), success (K,), info (K, len(INFO)) and points
    (K, MAX_POINTS, 3); and the order of the environments (K,) with the bounds (T + 1,) of the parts for T threads.
    """
    digest = _digest(parallel, group)
    v1, mt10 = group == "v1", group == "mt10"

    def step_all(
        environments: Any,
        actions: Any,
        observations: Any,
        reward: Any,
        success: Any,
        info: Any,
        points: Any,
        order: Any,
        bounds: Any,
    ) -> int:
        for part in numba.prange(len(bounds) - 1):
            for position in range(bounds[part], bounds[part + 1]):
                k = order[position]
                env = environments[k]
                simulate(env, actions[k])
                _observe(env, observations[k])
                state = _state(env, observations[k], actions[k], points[k])
                # numba leaves out the calls whose conditions are known to be false
                if v1:
                    outcome = choose_v1(env.reward, state)
                elif mt10:
                    outcome = choose_mt10(env.reward, state)
                else:
                    outcome = choose_mt50(env.reward, state)
                reward[k], success[k] = outcome.reward, outcome.success
                info[k, 0], info[k, 1] = outcome.near_object, outcome.grasp_success
                info[k, 2], info[k, 3] = outcome.grasp_reward, outcome.in_place_reward
                info[k, 4] = outcome.obj_to_target
        return digest

    # code from numba's cache is linked by names: two kernels of one name would call each other's parts
    step_all.__qualname__ += f"_{group}" + ("_parallel" if parallel else "")
    return compiled_and_kept(step_all, nogil=True, error_model="numpy", parallel=parallel)


def _digest(parallel: bool, group: str) -> int:
    """Return a hash of this package's sources and of the kernel's compiler options.

    numba's cache detects changes only in the file of a compiled function, not in functions from other files or in the
    options. It does distinguish the values that a function closes over, so the kernel closes over this hash.
    """
    sources = hashlib.blake2b(f"{parallel} {group}".encode(), digest_size=7)
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        sources.update(path.read_bytes())
    return int.from_bytes(sources.digest(), "big")
