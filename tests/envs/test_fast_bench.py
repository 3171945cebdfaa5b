"""Tests of a short run of the benchmark of stepping."""

from __future__ import annotations

import pytest

from mtrl_conic.bench import env
from mtrl_conic.bench.players import EnvPool
from mtrl_conic.errors import UserError


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # Meta-World warns at every construction
def test_every_way_of_stepping_is_measured() -> None:
    bench = env.run(seconds=0, steps=10)
    assert list(bench.rounds) == ["random", "scripted"]
    expected = ["gym.make_vec", "metaworld", "fast", "physics", *(["EnvPool"] if EnvPool.installed() else [])]
    for items in bench.rounds.values():
        assert list(items) == expected
        assert all(len(speeds) == 3 and min(speeds) > 0 for speeds in items.values())
    assert bench.ratio("random", "gym.make_vec", "gym.make_vec") == 1
    assert bench.as_dict()["scripted"]["physics"]["against_physics"] == 1
    assert min(bench.building) > 0
    assert len(bench.table().splitlines()) == 2 + 2 * len(expected)


def test_an_unknown_set_is_named() -> None:
    with pytest.raises(UserError, match=r"unknown set of tasks 'mt11'.*mt10"):
        env.run("mt11")
