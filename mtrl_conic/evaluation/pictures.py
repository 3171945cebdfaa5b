"""Rendering of environments without a display."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import gymnasium as gym

from mtrl_conic.envs import TaskSet, make_task_set
from mtrl_conic.envs.config import TaskSetConfig
from mtrl_conic.envs.gymnasium.stepper import GymnasiumStepper
from mtrl_conic.envs.names import Spec, is_metaworld
from mtrl_conic.errors import UserError, first_line
from mtrl_conic.evaluation.video import Picture, Pictures

if TYPE_CHECKING:
    import mujoco
    from metaworld.sawyer_xyz_env import SawyerXYZEnv

PACKAGES = "libegl1 libegl-mesa0 libgl1-mesa-dri"
"""The Debian packages for rendering without a display and without a GPU."""


@contextmanager
def rendered(task_set: Spec, environment: TaskSetConfig, *, seed: int, size: int) -> Iterator[tuple[TaskSet, Pictures]]:
    """Provide a task set and a function that returns its rendered images.

    Meta-World's own code steps it, because the compiled code keeps no visual elements.

    Args:
        task_set: see `make_task_set`.
        environment: options of the task set.
        seed: seed of goals and resets.
        size: width and height of an image in pixels; Gymnasium environments choose their own.

    Raises:
        UserError: this machine cannot render; the message says what to install.
    """
    _choose_gl()
    if not is_metaworld(task_set):
        chosen = environment.model_dump() | {"copies": 1}
        envs = make_task_set(task_set, seed=seed, render_mode="rgb_array", **chosen)
        try:
            if "mujoco" in sys.modules:
                check_gl()
            yield envs, partial(_of_gymnasium, envs)
        finally:
            envs.close()
        return
    check_gl()
    envs = make_task_set(task_set, seed=seed, stepping="metaworld", **environment.model_dump())
    from mtrl_conic.envs.metaworld.reference import MetaWorldStepper

    assert isinstance(envs.stepper, MetaWorldStepper)
    cameras: list[_Camera] = []
    try:
        cameras.extend(_Camera(env, size) for env in envs.stepper.envs)
        yield envs, lambda: [camera.picture() for camera in cameras]
    finally:
        for camera in cameras:
            camera.close()
        envs.close()


def check_gl() -> None:
    """Check that MuJoCo can render; on Linux it uses EGL, which needs no display, unless `MUJOCO_GL` is set.

    Raises:
        UserError: MuJoCo cannot render.
    """
    _choose_gl()
    # A separate process, because broken GL libraries print errors when the interpreter exits.
    code = "import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8).close()"
    if subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode:
        chosen = os.environ.get("MUJOCO_GL", "")
        hint = f"install GL, on Debian: apt-get install {PACKAGES}"
        raise UserError(f"MuJoCo cannot render here (MUJOCO_GL={chosen}); {hint if chosen == 'egl' else 'unset it'}")


def _choose_gl() -> None:
    if sys.platform.startswith("linux"):
        os.environ.setdefault("MUJOCO_GL", "egl")  # read when MuJoCo is imported


class _Camera:
    """A camera that views the table of a Meta-World environment from a front corner, where the arm does not hide it."""

    def __init__(self, env: SawyerXYZEnv, size: int) -> None:
        import mujoco

        model = env.model
        model.vis.global_.offwidth = max(size, model.vis.global_.offwidth)
        model.vis.global_.offheight = max(size, model.vis.global_.offheight)
        # Shadows take three quarters of the rendering time on a CPU.
        model.vis.quality.shadowsize = 0
        self._env = env
        self._renderer: mujoco.Renderer = mujoco.Renderer(model, size, size)
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.lookat[:] = (0, 0.65, 0.15)
        self._camera.distance, self._camera.azimuth, self._camera.elevation = 1.4, 140, -25

    def picture(self) -> Picture:
        """Return an image of the current state, (size, size, 3)."""
        self._renderer.update_scene(self._env.data, camera=self._camera)
        drawn: Picture = self._renderer.render()
        return drawn

    def close(self) -> None:
        """Free the GL resources, which must happen before the interpreter exits."""
        self._renderer.close()


def _of_gymnasium(envs: TaskSet) -> Sequence[Picture]:
    if not isinstance(envs.stepper, GymnasiumStepper):
        raise UserError(f"tasks stepped by a {type(envs.stepper).__name__} cannot be rendered, only those of Gymnasium")
    try:
        return envs.stepper.render()
    except gym.error.DependencyNotInstalled as error:
        raise UserError(f"a task cannot be rendered: {first_line(error)}") from None
