"""What compiled stepping promises beside its numbers."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib import metadata

import mujoco
import numpy as np
import pytest
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from numpy.typing import NDArray

from mtrl_conic.envs import draw_goals
from mtrl_conic.envs.fast import FastStepper, supports
from mtrl_conic.envs.names import MT10, MT50
from mtrl_conic.errors import UserError

NAMES = ("push-v3", "peg-insert-side-v3", "window-open-v3", "drawer-close-v3")
GOALS = draw_goals(NAMES, 0, num_goals=5)


def actions_of(seed: int, steps: int, tasks: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, tasks, 4)).astype(np.float32)


def play(stepper: FastStepper, episode: int, actions: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """All that an episode shows, copied."""
    history = [stepper.reset(task, episode) for task in range(len(stepper.task_names))]
    for action in actions:
        history += [array.copy() for array in stepper.step(action) if array is not None]
    return history


def same(a: list[NDArray[np.float64]], b: list[NDArray[np.float64]]) -> bool:
    return len(a) == len(b) and all(map(np.array_equal, a, b))


def test_an_episode_is_its_number_and_its_actions() -> None:
    stepper, actions = FastStepper(NAMES, GOALS), actions_of(0, 60, 4)
    first = play(stepper, 2, actions)
    play(stepper, 4, actions_of(1, 33, 4))
    assert same(play(stepper, 2, actions), first)
    assert same(play(FastStepper(NAMES, GOALS), 2, actions), first)
    assert not same(play(stepper, 3, actions), first)


def test_one_task_is_reset_without_touching_the_others() -> None:
    stepper, actions = FastStepper(NAMES, GOALS), actions_of(0, 30, 4)
    undisturbed = play(stepper, 0, actions)
    for task in range(4):
        stepper.reset(task, 0)
    for step, action in enumerate(actions):
        if step == 11:
            stepper.reset(1, 4)
        observations = stepper.step(action).observations
    others = [0, 2, 3]
    assert np.array_equal(observations[others], undisturbed[-4][others])
    assert not np.array_equal(observations[1], undisturbed[-4][1])


def test_threads_change_nothing() -> None:
    actions = actions_of(0, 40, 4)
    assert same(play(FastStepper(NAMES, GOALS, threads=2), 1, actions), play(FastStepper(NAMES, GOALS), 1, actions))


def test_copies_of_a_task_are_environments_of_their_own() -> None:
    stepper = FastStepper(["push-v3"] * 3, GOALS)
    alone = FastStepper(["push-v3"], GOALS)
    actions = actions_of(0, 30, 3)
    together = play(stepper, 1, actions)
    for copy in range(3):
        single = play(alone, 1, actions[:, copy : copy + 1])
        assert np.array_equal(together[-4][copy], single[-4][0])


def test_actions_are_checked() -> None:
    stepper = FastStepper(NAMES, GOALS)
    with pytest.raises(ValueError, match=r"actions must be \(4, 4\), not \(4, 3\)"):
        stepper.step(np.zeros((4, 3), np.float32))


def test_episodes_out_of_range_are_refused() -> None:
    stepper = FastStepper(NAMES, GOALS)
    assert stepper.num_episodes == 5
    for episode in (-1, 5):
        with pytest.raises(IndexError, match="push-v3 has episodes 0 to 4"):
            stepper.reset(0, episode)


def test_a_closed_stepper_says_so() -> None:
    stepper = FastStepper(NAMES, GOALS)
    play(stepper, 0, actions_of(0, 2, 4))
    stepper.close()
    stepper.close()
    for call in (lambda: stepper.step(np.zeros((4, 4), np.float32)), lambda: stepper.reset(0, 0), stepper.info):
        with pytest.raises(RuntimeError, match="closed"):
            call()


def test_the_interpreter_exits_in_peace() -> None:
    program = """
        import gc, threading
        import numpy as np
        from mtrl_conic.envs import draw_goals
        from mtrl_conic.envs.fast import FastStepper

        def make():
            stepper = FastStepper(["push-v3"], draw_goals(["push-v3"], 0))
            stepper.reset(0, 0)
            for _ in range(20):
                stepper.step(np.ones((1, 4), np.float32))
            return stepper

        def step_for_ever(stepper):
            while True:
                stepper.step(np.ones((1, 4), np.float32))

        closed, deleted, left_open, busy = make(), make(), make(), make()
        closed.close()
        del deleted
        gc.collect()
        threading.Thread(target=step_for_ever, args=[busy], daemon=True).start()
        print("stepped", flush=True)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stepped\n", "")


def test_supported_tasks() -> None:
    assert supports(MT50) is None
    assert supports(["reach-v3"], "v2") is None
    assert supports(["reach-v3"], "v1") == "rewards 'v1' have no kernel; v2 has"
    assert supports(["reach-v3", "nothing-v3"]) == "no kernel for nothing-v3"


@pytest.mark.parametrize(
    ("package", "version", "reason"),
    [
        ("mujoco", "3.3.1", "mujoco 3.3.0 is needed and 3.3.1 is installed"),
        ("metaworld", "3.2.0", "metaworld 3.1.1 is needed and 3.2.0 is installed"),
        ("numpy", "1.26.4", "numpy 2.0 or later is needed and 1.26.4 is installed"),
        ("numba", None, "numba 0.61 or later is needed and none is installed"),
    ],
)
def test_other_versions_are_not_supported(
    package: str, version: str | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = metadata.version

    def pretend(name: str) -> str:
        if name != package:
            return installed(name)
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", pretend)
    assert supports(MT10) == reason
    with pytest.raises(UserError, match=reason):
        FastStepper(NAMES, GOALS)


def test_threads_are_checked() -> None:
    with pytest.raises(UserError, match="threads must be 1 or more, not 0"):
        FastStepper(NAMES, GOALS, threads=0)


@pytest.mark.parametrize("name", ["door-open-v3", "peg-insert-side-v3", "window-open-v3"])
def test_models_have_the_whole_models_physics(name: str) -> None:
    (simulation,) = FastStepper([name], draw_goals([name], 0, num_goals=1)).simulations
    model, whole = simulation.model, ALL_V3_ENVIRONMENTS[name]().model
    assert model.ngeom < whole.ngeom
    for field in dir(whole):
        if field.startswith(("body_", "jnt_", "dof_", "eq_", "site_", "actuator_")) and field not in POINTERS:
            assert np.array_equal(getattr(model, field), getattr(whole, field)), field
    solid = (whole.geom_contype != 0) | (whole.geom_conaffinity != 0)
    kept = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    for field in ("geom_type", "geom_size", "geom_pos", "geom_quat", "geom_friction", "geom_solref", "geom_margin"):
        assert np.array_equal(getattr(model, field)[kept], getattr(whole, field)[solid]), field
    assert model.opt.integrator == whole.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER


POINTERS = {"body_geomnum", "body_geomadr", "body_bvhadr", "body_bvhnum", "site_matid"}
"""What tells where in other arrays a body's or a site's visual parts lie."""
