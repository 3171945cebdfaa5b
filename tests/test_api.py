"""`train` in a program: any task set, any field, a directory that goes on and that the command line reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from mtrl_conic import MTSAC, TaskSet, balancers, make_task_set, train
from mtrl_conic.cli import main
from mtrl_conic.envs import register_task_set, registry
from mtrl_conic.errors import UserError
from mtrl_conic.training.callbacks import Callback

SMALL: dict[str, Any] = {
    **{"width": 8, "actor_width": 8, "batch_size": 4, "random_steps": 10, "compile": False, "balancer": "ls"},
    **{"steps": 30, "episodes_per_task": 1, "training_episodes_per_task": 1, "checkpoint_every": 10},
}


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTRY", {})


def make(**options: Any) -> TaskSet:
    def heavy() -> gym.Env[Any, Any]:
        return gym.make("Pendulum-v1", g=12.0)

    return TaskSet.from_gymnasium({"light": "Pendulum-v1", "heavy": heavy}, success={"heavy": -200.0}, **options)


class Breaks(Callback):
    """Raises at a step."""

    def on_step(self, trainer: Any) -> None:
        if trainer.step == 20:
            raise KeyboardInterrupt


def test_a_task_set_of_the_program_resumes_and_is_read_where_it_is_registered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train(run_dir=tmp_path / "whole", task_set=make(seed=3), **SMALL)
    with pytest.raises(KeyboardInterrupt):
        train(run_dir=tmp_path / "run", task_set=make(seed=3), callbacks=[Breaks()], **SMALL)
    result = train(run_dir=tmp_path / "run", task_set=make(seed=3), **SMALL)
    assert (result["returns"], result["success"]) == (whole["returns"], whole["success"])
    assert set(result["success"]) == {"heavy"}

    registry._REGISTRY.clear()  # as in another program
    command = ["evaluate", str(tmp_path / "run"), "--episodes-per-task=1", f"--json={tmp_path / 'rates.json'}"]
    assert main(command) == 2
    assert "register_task_set('own:light+heavy'), and give the module with --import" in capsys.readouterr().err
    register_task_set("own:light+heavy")(make)
    assert main(command) == 0
    assert json.loads((tmp_path / "rates.json").read_text())["returns"] == pytest.approx(result["returns"])


def test_environments_of_a_task_and_names(tmp_path: Path) -> None:
    assert train(run_dir=tmp_path / "a", task_set=make(copies=3), **SMALL)["step"] == 30
    names = {"task_set": "gymnasium:Pendulum", "time_limit": 20}
    assert set(train("own", run_dir=tmp_path / "b", **names, **SMALL)["returns"]) == {"Pendulum"}
    again = make_task_set("gymnasium:Pendulum-v1", copies=2, time_limit=20)
    assert set(train(run_dir=tmp_path / "c", task_set=again, **SMALL)["returns"]) == {"Pendulum-v1"}


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown field 'witdh'; did you mean 'width'"):
        train(run_dir=tmp_path, task_set=make(), witdh=8)
    with pytest.raises(UserError, match=r"made from a stepper.*register_task_set"):
        train(run_dir=tmp_path, task_set=TaskSet(make().stepper), **SMALL)
    with pytest.raises(UserError, match="a task set needs at least one task"):
        train(run_dir=tmp_path / "d", **SMALL)


def learning(run_dir: Path, *, steps: int, callbacks: Any = ()) -> MTSAC:
    """An agent that learns in a directory, as a program of one's own would have it."""
    agent = MTSAC(make(seed=3), balancer="ls", width=8, actor_width=8, batch_size=4, random_steps=10, seed=3)
    return agent.learn(steps, run_dir=run_dir, evaluate_every=20, callbacks=callbacks)


def test_learn_in_a_directory_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    whole = learning(tmp_path / "whole", steps=30)
    with pytest.raises(KeyboardInterrupt):
        learning(tmp_path / "run", steps=15).learn(
            15, run_dir=tmp_path / "run", evaluate_every=20, callbacks=[Breaks()]
        )
    again = learning(tmp_path / "run", steps=15)
    again.learn(15, run_dir=tmp_path / "run", evaluate_every=20)
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "run")]
    assert results[0]["step"] == results[1]["step"] == 30
    assert again.updates == whole.updates
    observations = whole.envs.single_observation_space.sample()[None].repeat(2, 0)  # type: ignore[union-attr]
    assert (again.act(observations, deterministic=True) == whole.act(observations, deterministic=True)).all()
    # A finished run is taken up as it ended, its files stay as they are, and a larger budget goes on.
    before = {file: file.read_bytes() for file in (tmp_path / "run").glob("*.json*")}
    assert len(before) > 3
    assert learning(tmp_path / "run", steps=30).updates == whole.updates
    assert {file: file.read_bytes() for file in (tmp_path / "run").glob("*.json*")} == before
    assert learning(tmp_path / "run", steps=40).updates > whole.updates
    assert json.loads((tmp_path / "run" / "result.json").read_text())["step"] == 40
    assert main(["runs", str(tmp_path / "run")]) == 0


def test_learn_stays_with_its_directory(tmp_path: Path) -> None:
    agent = learning(tmp_path / "run", steps=4)
    with pytest.raises(UserError, match="learns in run_dir="):
        agent.learn(4)
    with pytest.raises(UserError, match="contains another configuration"):
        MTSAC(make(seed=3), balancer="pcgrad", seed=3).learn(4, run_dir=tmp_path / "run")
    with pytest.raises(UserError, match="needs its balancer by name: register conicgrad, then give name and options"):
        MTSAC(make(seed=3), balancer=balancers.make("conicgrad", 2, c=0.9)).learn(4, run_dir=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_learn_in_a_directory_describes_metaworld_by_its_name(tmp_path: Path) -> None:
    envs = make_task_set(["reach-v3"], horizon=6, num_goals=2)
    agent = MTSAC(envs, balancer="ls", width=8, depth=1, batch_size=4, random_steps=4)
    agent.learn(8, run_dir=tmp_path / "run", evaluate_every=5)
    assert main(["evaluate", str(tmp_path / "run"), "--episodes-per-task=1"]) == 0


def test_what_learn_is_given_is_checked(tmp_path: Path) -> None:
    agent = MTSAC(make(seed=3), balancer="ls", width=8, batch_size=4)
    for wrong in (-5, 0, 2.5):
        with pytest.raises(UserError, match="must be a whole number of at least 1"):
            agent.learn(wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is not an object of a class derived from Callback"):
        agent.learn(2, callbacks=[Breaks])  # type: ignore[list-item]
    with pytest.raises(UserError, match="seed=-1: must be a whole number from 0 to"):
        MTSAC(make(), seed=-1)
