"""Tests of what compiled stepping guarantees besides its numbers."""

from __future__ import annotations

import copy
import gc
import logging
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib import metadata

import mujoco
import numba
import numpy as np
import pytest
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from numpy.typing import NDArray

from mtrl_conic.envs import draw_goals, make_task_set
from mtrl_conic.envs.make import _warn_of_slow_stepping
from mtrl_conic.envs.metaworld.fast import FastStepper, supports
from mtrl_conic.envs.metaworld.fast.groups import GROUPS, group_of
from mtrl_conic.envs.metaworld.fast.kernel import kernel
from mtrl_conic.envs.metaworld.fast.layout import ENVIRONMENT
from mtrl_conic.envs.metaworld.fast.tasks import TASKS, V1_TASKS
from mtrl_conic.envs.metaworld.reference import MetaWorldStepper
from mtrl_conic.envs.names import MT10, MT50
from mtrl_conic.errors import UserError

NAMES = ("push-v3", "peg-insert-side-v3", "window-open-v3", "drawer-close-v3")
GOALS = draw_goals(NAMES, 0, num_goals=5)


def actions_of(seed: int, steps: int, tasks: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, tasks, 4)).astype(np.float32)


def play(stepper: FastStepper, episode: int, actions: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """Play an episode of every task, and return copies of all observations and step results."""
    history = [stepper.reset(task, episode) for task in range(len(stepper.task_names) * stepper.copies)]
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


def test_kernels_have_names_of_their_own() -> None:
    names = {kernel(parallel, group).__qualname__ for parallel in (False, True) for group in GROUPS}
    assert len(names) == 2 * len(GROUPS), "numba links what it has in its cache by name"


def test_a_kernel_serves_what_it_has_to() -> None:
    assert group_of([TASKS["reach-v3"], TASKS["window-close-v3"]]) == "mt10"
    assert group_of([TASKS["reach-v3"], TASKS["hammer-v3"]]) == "mt50"
    assert group_of([V1_TASKS["reach-v3"]]) == "v1"
    assert set(V1_TASKS) == set(MT10)
    assert set(TASKS) == set(MT50)


def test_copies_of_a_task_are_environments_of_their_own() -> None:
    stepper = FastStepper(["push-v3"], GOALS, copies=3)
    alone = FastStepper(["push-v3"], GOALS)
    actions = actions_of(0, 30, 3)
    together = play(stepper, 1, actions)
    for number in range(3):
        single = play(alone, 1, actions[:, number : number + 1])
        assert np.array_equal(together[-4][number], single[-4][0])


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


def test_what_the_kernel_writes_to_outlives_everything_else() -> None:
    actions = actions_of(0, 30, 4)
    expected = play(FastStepper(NAMES, GOALS), 1, actions)
    stepper = FastStepper(NAMES, {name: goals.copy() for name, goals in GOALS.items()})
    for seed in range(3):  # freed memory is used again
        play(FastStepper(NAMES, GOALS), 0, actions_of(seed, 3, 4))
        gc.collect()
    assert same(play(stepper, 1, actions), expected)


def test_addresses_stay_those_of_the_simulators() -> None:
    stepper = FastStepper(NAMES, GOALS)
    before = stepper._environments.copy()
    for episode in range(3):
        play(stepper, episode, actions_of(episode, 20, 4))
    for name in ENVIRONMENT.names or ():
        if ENVIRONMENT[name].base == np.int64 and name != "fresh":
            assert np.array_equal(stepper._environments[name], before[name]), name
    for simulation, row in zip(stepper.simulations, stepper._environments, strict=True):
        data = simulation.data
        assert (row["model"], row["data"]) == (simulation.model._address, data._address)
        assert row["qpos"] == data.qpos.ctypes.data
        assert row["hand"] == data.body("hand").xpos.ctypes.data
        assert row["mocap"] == data.mocap_pos.ctypes.data


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_stepper_is_not_copied_with_its_addresses(duplicate: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="make another instead of a copy"):
        duplicate(FastStepper(NAMES, GOALS))


def test_the_interpreter_exits_in_peace() -> None:
    program = """
        import gc, threading
        import numpy as np
        from mtrl_conic.envs import draw_goals
        from mtrl_conic.envs.metaworld.fast import FastStepper

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
    assert supports(["hammer-v3"], "v2") is None
    assert supports(MT10, "v1") is None
    assert supports(["reach-v3", "hammer-v3"], "v1") == "no kernel for hammer-v3 with rewards v1"
    assert supports(["reach-v3"], "v3") == "rewards 'v3' have no kernels; v1 and v2 have"
    assert supports(["reach-v3", "nothing-v3"]) == "no kernel for nothing-v3 with rewards v2"


def pretend(monkeypatch: pytest.MonkeyPatch, package: str, version: str | None) -> None:
    """Make another version of a package, or none, seem to be installed."""
    installed = metadata.version

    def seems(name: str) -> str:
        if name != package:
            return installed(name)
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", seems)


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
    pretend(monkeypatch, package, version)
    assert supports(MT10) == reason
    with pytest.raises(UserError, match=reason):
        FastStepper(NAMES, GOALS)


@pytest.mark.parametrize(("package", "version"), [("mujoco", "3.3.1"), ("metaworld", "3.2.0")])
def test_other_versions_are_stepped_by_metaworld_after_one_warning(
    package: str, version: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pretend(monkeypatch, package, version)
    _warn_of_slow_stepping.cache_clear()
    with caplog.at_level(logging.WARNING):
        for seed in (0, 1):
            envs = make_task_set(["reach", "push"], seed=seed)
            assert isinstance(envs.stepper, MetaWorldStepper)
            envs.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"{version} is installed" in caplog.text
    with pytest.raises(UserError, match=f"stepping=fast is not possible: {package} .* {version} is installed"):
        make_task_set(["reach", "push"], stepping="fast")


def test_threads_are_checked() -> None:
    with pytest.raises(UserError, match="threads must be 1 or more, not 0"):
        FastStepper(NAMES, GOALS, threads=0)
    with pytest.raises(UserError, match="stepping_threads=0"):
        make_task_set(["reach", "push"], stepping_threads=0)


def test_threads_are_an_option_of_task_sets() -> None:
    envs = make_task_set(["push", "peg-insert-side"], stepping_threads=2)
    assert isinstance(envs.stepper, FastStepper)
    assert envs.stepper.threads == min(2, numba.config.NUMBA_NUM_THREADS)
    envs.close()


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
"""Fields with the positions of a body's or site's visual parts in other arrays."""
