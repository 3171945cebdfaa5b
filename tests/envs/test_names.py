from __future__ import annotations

import subprocess
import sys

import pytest
from metaworld import env_dict

from mtrl_conic.envs import task_names
from mtrl_conic.envs.names import MT10, MT25, MT50
from mtrl_conic.errors import UserError


def test_the_benchmarks_are_those_of_metaworld_in_its_order() -> None:
    assert list(env_dict.MT10_V3) == list(MT10)
    assert list(env_dict.MT25_V3) == list(MT25)
    assert list(env_dict.MT50_V3) == list(MT50)


def test_specs() -> None:
    assert task_names("mt10") == MT10
    assert task_names("mt50") == MT50
    assert task_names("mt1:reach-v3") == task_names("mt1:reach") == ("reach-v3",)
    assert task_names(["push", "reach-v3"]) == ("push-v3", "reach-v3")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mt11", "did you mean 'mt1"),
        ("mt1:rech", "did you mean 'reach-v3'"),
        ("reach-v3", "did you mean 'mt1:reach-v3'"),
        (["push", "pick-plce"], "did you mean 'pick-place-v3'"),
        (["push", "push-v3"], "push-v3 is listed twice"),
        ([], "at least one task"),
    ],
)
def test_a_wrong_spec_is_refused_with_the_nearest_name(spec: str | list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        task_names(spec)


def test_naming_tasks_loads_no_simulator() -> None:
    program = (
        "import sys; from mtrl_conic.envs import TaskSetConfig, task_names; task_names('mt50');"
        "print([name for name in ('metaworld', 'mujoco', 'numba') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
