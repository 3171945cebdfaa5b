"""The MuJoCo model and data of one environment, and the addresses that the kernel reads."""

from __future__ import annotations

import copy
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from mtrl_conic.envs.metaworld.fast.episodes import STATE, Episode, Episodes
from mtrl_conic.envs.metaworld.fast.groups import REWARDS
from mtrl_conic.envs.metaworld.fast.layout import ENVIRONMENT, FRAME, MATRIX, NO_ROTATION, QUATERNION, UPRIGHT
from mtrl_conic.envs.metaworld.fast.tasks import Place, Rotation

_ROBOT = {
    "mocap_body": Place("body", "mocap"),
    "hand": Place("body", "hand"),
    "right_claw": Place("body", "rightclaw"),
    "left_claw": Place("body", "leftclaw"),
    "right_tip": Place("site", "rightEndEffector"),
    "left_tip": Place("site", "leftEndEffector"),
    "left_pad": Place("body", "leftpad"),
    "right_pad": Place("body", "rightpad"),
}
_FINGERS = ("leftpad_geom", "rightpad_geom")


class Simulation:
    """A copy of the physics of `episodes`, described to the kernel by `row`.

    It owns the memory at the addresses in `row`, so the caller of the kernel must keep it alive.
    """

    def __init__(self, episodes: Episodes) -> None:
        env = episodes.environment
        self._episodes = episodes
        self.model: mujoco.MjModel = copy.copy(env.model)
        self.data = mujoco.MjData(self.model)
        self.row: NDArray[Any] = np.zeros((), ENVIRONMENT)
        self._write_addresses()
        self._write_task(env)

    def reset(self, number: int, row: Any) -> NDArray[np.float64]:
        """Start episode `number`, write its constants to `row`, and return a copy of the first observation."""
        episode: Episode = self._episodes[number]
        mujoco.mj_setState(self.model, self.data, episode.state, STATE)
        self.model.body_pos[:] = episode.body_pos
        self.model.site_pos[:] = episode.site_pos
        row["target"] = episode.target
        row["object_init"] = episode.object_init
        row["tcp_init"] = episode.tcp_init
        row["constants"][: len(episode.constants)] = episode.constants
        row["previous"] = episode.observation[:FRAME]
        row["fresh"] = True
        observation: NDArray[np.float64] = episode.observation.copy()
        return observation

    def holds(self) -> bool:
        """Return whether both fingers press on the task's object, as in `SawyerXYZEnv.touching_object`."""
        if self._episodes.spec.grasped is None:
            return True
        contact = self.data.contact
        pairs = np.stack([contact.geom1, contact.geom2], axis=1)
        of_object = (pairs == self.model.geom(self._episodes.spec.grasped).id).any(axis=1)
        for finger in _FINGERS:
            touching = of_object & (pairs == self.model.geom(finger).id).any(axis=1)
            if not self.data.efc_force[contact.efc_address[touching]].sum() > 0:
                return False
        return True

    def _write_addresses(self) -> None:
        spec, data, row = self._episodes.spec, self.data, self.row
        row["model"], row["data"] = self.model._address, data._address
        row["qpos"], row["qvel"] = data.qpos.ctypes.data, data.qvel.ctypes.data
        row["nq"], row["nv"] = self.model.nq, self.model.nv
        row["control"] = data.ctrl.ctypes.data
        row["mocap"], row["mocap_quaternion"] = data.mocap_pos.ctypes.data, data.mocap_quat.ctypes.data
        for field, place in _ROBOT.items():
            row[field] = self._position(place)
        row["object"] = self._position(spec.object)
        row["rotation"], row["rotation_kind"] = self._rotation(spec.rotation)
        row["second"] = 0 if spec.second is None else self._position(spec.second)
        row["second_rotation"], row["second_rotation_kind"] = self._rotation(spec.second_rotation)
        joint = 0 if spec.joint is None else self.model.joint(spec.joint).qposadr.item()
        row["joint"] = data.qpos[joint:].ctypes.data
        row["num_points"] = len(spec.points)
        row["points"][: len(spec.points)] = [self._position(place) for place in spec.points]

    def _position(self, place: Place) -> int:
        """Return the address of the position of a body, geom or site."""
        return int(self._view(place).xpos.ctypes.data)

    def _rotation(self, rotation: Rotation | None) -> tuple[int, int]:
        """Return the address of an orientation, and how it is observed."""
        if rotation is None:
            return 0, NO_ROTATION
        if rotation.place is None:
            return 0, UPRIGHT
        view = self._view(rotation.place)
        return (int(view.xmat.ctypes.data), MATRIX) if rotation.of_matrix else (int(view.xquat.ctypes.data), QUATERNION)

    def _view(self, place: Place) -> Any:
        return getattr(self.data, place.kind)(place.name)

    def _write_task(self, env: Any) -> None:
        spec, row = self._episodes.spec, self.row
        row["reward"], row["fresh"] = REWARDS.index(spec.reward), True
        row["offset"], row["second_offset"], row["radius"] = spec.offset, spec.second_offset, spec.radius
        row["mocap_low"], row["mocap_high"] = env.mocap_low, env.mocap_high
        row["action_scale"] = env.action_scale
        space = env.sawyer_observation_space
        row["low"], row["high"] = space.low, space.high
