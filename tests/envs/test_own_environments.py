"""Tests of custom environments: task sets by name, entries of a list, success, and failures."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box
from numpy.typing import NDArray

from mtrl_conic.envs import (
    Task,
    TaskSet,
    Untraceable,
    check_task_set,
    make_task_set,
    register_task_set,
    registry,
    task_names,
    why_untraceable,
)
from mtrl_conic.envs.names import check_spec, is_metaworld
from mtrl_conic.errors import UserError


class Line(gym.Env[NDArray[Any], NDArray[Any]]):
    """A position on a line, scaled by `scale`; `tell` makes `info` from the position and whether the episode ends."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  # as Gymnasium declares it

    def __init__(self, scale: float = 1.0, tell: Any = None, random: bool = False, render_mode: str | None = None):
        self.observation_space = Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)
        self.scale, self.tell, self.random, self.render_mode = scale, tell, random, render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = float(self.np_random.uniform(-1, 1)), 0
        return self._see(), {}

    def step(self, action: NDArray[Any]) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.place += 0.1 * float(action[0])
        if self.random:
            self.place += float(np.random.default_rng().uniform())
        ends = self.steps == 8
        info = self.tell(self.place, ends) if self.tell else {}
        return self._see(), self.scale * self.place, ends, False, info

    def _see(self) -> NDArray[Any]:
        return self.scale * np.array([self.place, self.place**2])

    def render(self) -> Any:
        return np.zeros((4, 4, 3), np.uint8) if self.render_mode == "rgb_array" else None


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_REGISTRY", {})
    known = dict(gym.registry)
    gym.register("own/Line-v0", Line)
    gym.register("own/Line-v3", Line, max_episode_steps=5, kwargs={"scale": 2.0})
    yield
    gym.registry.clear()
    gym.registry.update(known)


def play(envs: TaskSet, steps: int, seed: int = 0) -> list[Any]:
    actions = np.random.default_rng(seed).uniform(-1, 1, (steps, *(envs.action_space.shape or ())))
    return [envs.step(action) for action in actions]


# Task sets by name.


def test_a_registered_set_is_made_by_its_name_with_what_was_chosen() -> None:
    given: list[dict[str, Any]] = []

    @register_task_set("two_lines")
    def two_lines(**options: Any) -> TaskSet:
        given.append(options)
        return TaskSet.from_gymnasium({"a": Line, "b": lambda: Line(3.0)}, **options)

    assert task_names("two_lines") == ("a", "b")
    assert not is_metaworld("two_lines")
    envs = make_task_set("two_lines", seed=4, copies=2, time_limit=6, one_hot=False)
    assert given[-1] == {"seed": 4, "copies": 2, "horizon": 6, "one_hot": False}
    assert (envs.num_envs, envs.horizon, envs.seed) == (4, 6, 4)
    make_task_set("two_lines")
    assert given[-1] == {"seed": 0}
    with pytest.raises(UserError, match="stepping='fast' is an option of Meta-World tasks only"):
        make_task_set("two_lines", stepping="fast")
    with pytest.raises(UserError, match="unknown task set 'two_line'; did you mean 'two_lines'"):
        check_spec("two_line")
    with pytest.raises(UserError, match="a task set named 'two_lines' already exists"):
        register_task_set("two_lines")(lambda **options: two_lines(**options))


def test_a_set_that_cannot_be_made_is_one_line() -> None:
    @register_task_set("fixed")
    def fixed(seed: int) -> TaskSet:
        return TaskSet.from_gymnasium({"a": Line}, seed=seed)

    @register_task_set("broken")
    def broken(**options: Any) -> Any:
        return [1 / 0]

    @register_task_set("other")
    def other(**options: Any) -> Any:
        return Line()

    assert make_task_set("fixed").num_tasks == 1
    for name, options, words in (
        ("fixed", {"copies": 2}, "task set 'fixed' cannot be made: TypeError: .*unexpected keyword argument 'copies'"),
        (
            "broken",
            {},
            r"task set 'broken' cannot be made: ZeroDivisionError: .*\(test_own_environments.py, line \d+\)",
        ),
        ("other", {}, "task set 'other': its function returned Line, not a TaskSet"),
    ):
        with pytest.raises(UserError, match=words):
            make_task_set(name, **options)


# Entries of a list.


def test_entries_say_name_arguments_success_scale_and_horizon() -> None:
    entries = [
        {"name": "small", "id": "own/Line-v0", "kwargs": {"scale": 0.5}, "horizon": 3},
        {"name": "large", "id": "gymnasium:own/Line-v0", "kwargs": {"scale": 4.0}, "reward_scale": 0.25, "success": 2},
        "gymnasium:own/Line-v3",
    ]
    envs = make_task_set(entries, seed=1, time_limit=7)
    assert envs.task_names == task_names(entries) == ("small", "large", "own/Line-v3")
    assert envs.horizons.tolist() == [3, 7, 7]
    assert envs.has_success.tolist() == [False, True, False]
    assert envs.stepper.success_rules == (None, "the return of the episode is 2 or more", None)
    envs.reset(options={"episodes": [5, 5, 5]})
    _, rewards, *_, infos = envs.step(np.zeros((3, 1)))
    assert infos["final_obs"][:, 0] == pytest.approx(np.array([0.5, 4, 2]) * infos["final_obs"][0, 0] / 0.5)
    assert rewards[1] == 0.25 * infos["episode_return"][1]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([{"id": "own/Line-v0"}, "gymnasium:own/Line-v0"], "own/Line-v0 is listed twice: give each its own name"),
        ([{"id": "own/Line-v0", "nmae": "a"}], "task 'own/Line-v0': unknown key 'nmae'; did you mean 'name'"),
        ([{"name": "a"}], "task 'a': id is required: id as for gymnasium.make"),
        ([{"id": "own/Line-v0", "horizon": 0}], "task 'own/Line-v0': horizon=0: "),
        ([{"id": "own/Line-v0", "success": True}], "task 'own/Line-v0': success.*=True"),
        ([{"id": "own/Lien-v0"}], "task 'own/Lien-v0': .*Did you mean: `Line`"),
        (["gymnasium:elsewhere/Line-v0"], "task 'elsewhere/Line-v0': .*import the module that registers it"),
        (["reach-v3", {"id": "own/Line-v0"}], "not both: reach-v3"),
        ([3], "a task is an id, or an entry such as .*, not 3"),
    ],
)
def test_a_wrong_entry_is_one_line(entries: list[Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        check_spec(entries)
    assert "\n" not in str(caught.value)


def test_ids_without_a_version_are_those_of_the_latest() -> None:
    envs = TaskSet.from_gymnasium({"a": "own/Line", "b": "own/Line-v0"})
    assert envs.horizons.tolist() == [5, 1000]
    assert make_task_set("gymnasium:own/Line").task_names == ("own/Line",)
    assert make_task_set("gymnasium:Pendulum").horizon == 200


def test_arguments_in_python() -> None:
    tasks = [Task("a", "own/Line-v0", {"scale": 3.0}), Task("b", Line, {"scale": 5.0}, reward_scale=0.5)]
    envs = TaskSet.from_gymnasium(tasks, reward_scale=0.5)
    first, _ = envs.reset(options={"episodes": [2, 2]})
    assert first[1, 0] == pytest.approx(first[0, 0] * 5 / 3)
    _, rewards, *_, infos = envs.step(np.zeros((2, 1)))
    assert rewards == pytest.approx(infos["episode_return"] * [0.5, 0.25])


def test_environments_are_drawn_where_they_can_be() -> None:
    envs = TaskSet.from_gymnasium({"a": "own/Line-v0", "b": Line}, render_mode="rgb_array")
    envs.reset()
    assert [picture.shape for picture in envs.stepper.render()] == [(4, 4, 3)] * 2  # type: ignore[attr-defined]
    blind = TaskSet.from_gymnasium({"a": Line, "blind": lambda: Line()}, render_mode="rgb_array")
    blind.reset()
    with pytest.raises(UserError, match=r"task 'blind' cannot be rendered: .*its function must take render_mode"):
        blind.stepper.render()  # type: ignore[attr-defined]


# Success.


def at_end(place: float, ends: bool) -> dict[str, Any]:
    return {"is_success": place > 0} if ends else {}


def always(place: float, ends: bool) -> dict[str, Any]:
    return {"is_success": np.float32(place > 0), "near": 0.3}


@pytest.mark.parametrize("tell", [at_end, always])
def test_is_success_is_taken_where_nothing_else_is_said(tell: Any) -> None:
    environments = {name: lambda: Line(tell=tell) for name in "abc"}
    envs = TaskSet.from_gymnasium(environments, success={"b": None, "c": 1e9})
    assert envs.has_success.tolist() == [True, False, True]
    envs.reset()
    seen = [(infos["final_obs"][0, 0] > 0, infos["success"]) for *_, infos in play(envs, 8)]
    assert [success[0] for _, success in seen][-1] == seen[-1][0]
    assert not any(success[1] or success[2] for _, success in seen)
    assert not TaskSet.from_gymnasium({"a": Line}).has_success.any()


def test_one_rule_is_for_all_tasks() -> None:
    environments = {name: lambda: Line(tell=always) for name in "ab"}
    for rule, has in (("is_success", True), (3.0, True), (lambda *_: True, True), (None, False)):
        envs = TaskSet.from_gymnasium(environments, success=rule)
        assert envs.has_success.tolist() == [has, has]
    assert envs.stepper.success_rules == (None, None)


def test_a_misspelt_key_is_an_error_that_names_those_that_were_there() -> None:
    with pytest.raises(UserError, match=r"task 'a', episode 0, step 8: .*'is_sucess'.* only 'is_success', 'near'; set"):
        TaskSet.from_gymnasium({"a": lambda: Line(tell=always)}, success="is_sucess")
    with pytest.raises(UserError, match=r"'won'.*and info was always empty"):
        TaskSet.from_gymnasium({"a": Line}, success={"a": "won"})
    # A key that exists only in the first episode is reported when it is missing.
    calls = iter(range(100))
    envs = TaskSet.from_gymnasium(
        {"a": lambda: Line(tell=lambda place, ends: {"won": False} if next(calls) < 9 else {"lost": True})},
        success="won",
    )
    envs.reset()
    with pytest.raises(UserError, match=r"task 'a', episode \d+, step 8: .*only 'lost'"):
        play(envs, 30)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(float("nan"), "nan"), ("yes", "'yes'"), (None, "None"), (0.5, "0.5"), ([True, False], r"\[True")],
)
def test_success_that_is_neither_true_nor_false_is_an_error(value: Any, shown: str) -> None:
    with pytest.raises(
        UserError, match=rf"task 'a', episode 0, step 1: success is info\['won'\], which must be .*, not {shown}"
    ):
        TaskSet.from_gymnasium({"a": lambda: Line(tell=lambda *_: {"won": value})}, success="won")

    def rule(*given: Any) -> Any:
        return value

    with pytest.raises(UserError, match=f"success is rule, which must be .*, not {shown}"):
        TaskSet.from_gymnasium({"a": Line}, success=rule)


# Failures.


class Failing(Line):
    """A line that fails in one way at step 6 of an episode, which the probe of one step does not reach."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[Any], dict[str, Any]]:
        if self.how == "reset" and seed:
            raise OSError("the\nrobot is off")
        return super().reset(seed=seed, options=options)

    def step(self, action: NDArray[Any]) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        observation, reward, *rest = super().step(action)
        if self.steps == 6:
            if self.how == "raise":
                raise RuntimeError("motor stalled")
            if self.how == "large":
                observation = observation + 1e39
            if self.how == "reward":
                reward = 1e39
            if self.how == "none":
                reward = None  # type: ignore[assignment]
            if self.how == "old":
                return observation, reward, False, {}  # type: ignore[return-value]
            if self.how == "exit":
                raise SystemExit(3)
        return observation, reward, *rest  # type: ignore[return-value]


@pytest.mark.parametrize("vector", ["sync", "async"])
@pytest.mark.parametrize(
    ("how", "words"),
    [
        (
            "raise",
            r"step\(\) of its environment fails: RuntimeError: motor stalled \(test_own_environments.py, line \d+\)",
        ),
        ("large", r"entry 0 of the observation is 1e\+39 beyond what float32 holds; find the step"),
        ("reward", r"the reward is 1e\+39 beyond what float32 holds"),
        ("none", r"step\(\) returned the reward None, which is not a number"),
        ("old", r"step\(\) must return \(observation, reward, terminated, truncated, info\), .* returned 4 values"),
        ("exit", r"step\(\) of its environment fails: SystemExit: 3"),
    ],
)
def test_every_failure_names_task_episode_and_step(how: str, words: str, vector: Any) -> None:
    if vector == "async" and how != "raise":
        pytest.skip("one is enough in processes of their own")
    envs = TaskSet.from_gymnasium({"fine": Line, "mine": lambda: Failing(how)}, success=None, vector=vector, seed=3)
    try:
        _, infos = envs.reset()
        place = f"task 'mine', episode {infos['episode_index'][1]}, step 6: "
        with pytest.raises(UserError, match=place + words) as caught:
            play(envs, 10)
        assert "\n" not in str(caught.value)
    finally:
        envs.close()


def test_a_failing_reset_names_task_and_episode() -> None:
    envs = TaskSet.from_gymnasium({"mine": lambda: Failing("reset")}, seed=3)
    with pytest.raises(UserError, match=r"task 'mine', episode \d+, step 0: reset\(\) .* OSError: the robot is off"):
        envs.reset()


def test_an_environment_of_the_old_api_is_named() -> None:
    class Old(Line):
        """`reset` returns the observation alone."""

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return super().reset(seed=seed)[0]

    with pytest.raises(UserError, match=r"reset\(\) must return \(observation, info\), .* returned ndarray"):
        TaskSet.from_gymnasium({"mine": Old}).reset()


def test_an_id_without_its_prefix_is_explained() -> None:
    with pytest.raises(UserError, match="write gymnasium:CartPole-v1"):
        check_spec("CartPole-v1")


# Resuming.


@pytest.mark.parametrize("scale", [1e5, 1.0, 1e-7])
def test_retracing_compares_in_the_precision_and_size_of_what_was_saved(scale: float) -> None:
    def make(goal: float = 1.0) -> TaskSet:
        return TaskSet.from_gymnasium({"a": lambda: Line(scale * goal)}, seed=2)

    envs = make()
    envs.reset()
    play(envs, 5)
    saved = copy.deepcopy(envs.state_dict())
    assert np.array_equal(make().load_state_dict(saved), envs.load_state_dict(saved))
    with pytest.raises(Untraceable, match="cannot be reproduced, the observation of a differs"):
        make(1.1).load_state_dict(saved)


def test_what_is_not_determined_is_told_and_its_streams_go_on() -> None:
    envs, twin = (TaskSet.from_gymnasium({"a": lambda: Line(random=True)}, seed=2) for _ in range(2))
    reason = why_untraceable(envs)
    assert reason is not None
    assert reason.startswith("task 'a': observations differ at step 1 of two episodes")
    assert why_untraceable(TaskSet.from_gymnasium({"a": Line})) is None
    with pytest.raises(UserError, match="observations differ"):
        check_task_set(envs)
    envs.reset(seed=2)
    play(envs, 5)
    with pytest.raises(Untraceable, match="not determined by its reset seed and actions"):
        twin.load_state_dict(envs.state_dict())
    assert twin.reset()[1]["episode_index"] == envs.reset()[1]["episode_index"]
