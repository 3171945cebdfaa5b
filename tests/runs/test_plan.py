"""Tests of the runs that a preset and its overrides plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mtrl_conic.errors import UserError
from mtrl_conic.runs import plan as planning
from mtrl_conic.runs.config import RunConfig, read_preset
from mtrl_conic.runs.plan import Job
from tests.training.conftest import TASKS, tiny_values


@pytest.fixture
def preset(tmp_path: Path) -> str:
    return written(tmp_path)


def written(folder: Path, **overrides: Any) -> str:
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_values(**overrides)))
    return str(file)


def plan(preset: str, given: dict[str, Any], folder: Path) -> list[Job]:
    return planning.plan(RunConfig, read_preset(preset), given, folder)


def names(preset: str, given: dict[str, Any]) -> list[str]:
    return [run.name for run in plan(preset, given, Path("out"))]


def test_balancers_by_seeds_the_first_seed_first(preset: str) -> None:
    runs = plan(preset, {"balancer": ["ls", "conicgrad"], "seed": [0, 1]}, Path("out"))
    assert [run.name for run in runs] == ["ls/seed_0", "conicgrad/seed_0", "ls/seed_1", "conicgrad/seed_1"]
    assert runs[3].directory == Path("out/conicgrad/seed_1")
    assert (runs[3].config.balancer, runs[3].config.seed) == ("conicgrad", 1)
    assert runs[3].config.agent.width == 16, "the rest is the preset's"


def test_one_value_is_no_axis(preset: str) -> None:
    assert names(preset, {"balancer": "ls", "agent": {"width": 8}}) == ["ls/seed_3"]


def test_any_field_may_be_an_axis(preset: str) -> None:
    given = {
        "seed": [0],
        "agent": {"learning_rate": ["1e-3", 3e-4], "depth": 1},
        "environment": {"one_hot": [True, False]},
    }
    runs = plan(preset, given, Path("out"))
    assert [run.name for run in runs] == [
        "conicgrad_one_hot=True_learning_rate=0.001/seed_0",
        "conicgrad_one_hot=True_learning_rate=0.0003/seed_0",
        "conicgrad_one_hot=False_learning_rate=0.001/seed_0",
        "conicgrad_one_hot=False_learning_rate=0.0003/seed_0",
    ]
    assert [run.config.agent.learning_rate for run in runs] == [1e-3, 3e-4] * 2
    assert all(run.config.agent.depth == 1 for run in runs)


def test_axes_in_the_yaml_and_over_it(tmp_path: Path) -> None:
    preset = written(tmp_path, seed=[0, 1, 2], agent={"width": [8, 16]})
    assert len(names(preset, {})) == 6
    assert names(preset, {"seed": 5}) == ["conicgrad_width=8/seed_5", "conicgrad_width=16/seed_5"]
    assert names(preset, {"agent": {"width": 32}}) == ["conicgrad/seed_0", "conicgrad/seed_1", "conicgrad/seed_2"]


def test_a_list_of_tasks_is_one_value(preset: str) -> None:
    (run,) = plan(preset, {}, Path("out"))
    assert run.config.task_set == TASKS


def test_options_go_with_the_balancers_they_are_given_for(tmp_path: Path) -> None:
    own = written(tmp_path, balancer_options={"c": 0.3})
    runs = plan(own, {"balancer": ["ls", "conicgrad"]}, Path("out"))
    assert [run.config.balancer_options for run in runs] == [{}, {"c": 0.3}]
    everyone = written(tmp_path, balancer=["cagrad", "conicgrad"], balancer_options={"c": 0.3})
    assert [run.config.balancer_options for run in plan(everyone, {}, Path("out"))] == [{"c": 0.3}] * 2


def test_methods_with_options(tmp_path: Path) -> None:
    """Flags give one text and YAML gives a list; equal options are one method however they are written."""
    text = "ls,conicgrad:c=0.25,solver=exact,conicgrad:c=.9,nashmtl:update_every=50"
    folders = ["ls", "conicgrad_c=0.25_solver=exact", "conicgrad_c=0.9", "nashmtl_update_every=50"]
    for given in (text, text.split(",")):
        runs = plan(written(tmp_path), {"balancer": given, "seed": [0]}, Path("out"))
        assert [run.name for run in runs] == [f"{folder}/seed_0" for folder in folders]
    assert [run.config.balancer for run in runs] == ["ls", "conicgrad", "conicgrad", "nashmtl"]
    assert runs[1].config.balancer_options == {"c": 0.25, "solver": "exact"}
    assert runs[3].config.balancer_options == {"update_every": 50}
    assert runs[2].config.method == "conicgrad:c=0.9"
    assert runs[2].config == plan(written(tmp_path), {"balancer": "conicgrad:c=0.90", "seed": 0}, Path("out"))[0].config
    own = written(tmp_path, balancer=["ls", "conicgrad:c=0.9"])
    assert names(own, {}) == ["ls/seed_3", "conicgrad_c=0.9/seed_3"]
    named = written(tmp_path, balancer_options={"c": 0.3})
    runs = plan(named, {"balancer": "conicgrad:solver=exact,conicgrad,ls"}, Path("out"))
    assert [run.config.balancer_options for run in runs] == [{"c": 0.3, "solver": "exact"}, {"c": 0.3}, {}]
    assert names(written(tmp_path), {"balancer": ["ls", None]}) == names(written(tmp_path), {"balancer": "ls"})
    assert len(names(written(tmp_path), {"balancer": "all"})) == len(RunConfig.methods())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"seed": []}, "seed=[]: give at least one value"),
        ({"seed": [0, 0]}, "conicgrad/seed_0 would run twice"),
        ({"agent": {"learning_rate": [1e-3, 0.001]}}, "would run twice"),
        ({"seed": [0, "one"]}, "seed='one'"),
        ({"balancer": "conicgrad:c=0.9,conicgrad:c=.90"}, "conicgrad:c=0.9 would run twice"),
        ({"balancer": "conicgrad:d=0.9"}, "unknown option of conicgrad 'd'"),
        ({"balancer": "conicgrad:c"}, "write options as name:key=value"),
        ({"balancer": []}, "balancer=[]: give at least one value"),
        ({"agent": {"width": [8, -8]}}, "agent.width=-8"),
        ({"execution": {"compile": ["auto", True]}}, "execution.compile takes one value in a comparison"),
    ],
)
def test_what_does_not_fit(given: dict[str, Any], words: str, preset: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(preset, given, Path("out"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
