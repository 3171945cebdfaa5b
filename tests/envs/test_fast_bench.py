"""The benchmark of stepping, in small."""

from __future__ import annotations

import pytest

from mtrl_conic.bench import env


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # of Meta-World's own making, at every construction
def test_every_way_of_stepping_is_measured() -> None:
    bench = env.run(seconds=0, steps=10)
    assert list(bench.rounds) == ["random", "scripted"]
    for items in bench.rounds.values():
        assert list(items) == ["gym.make_vec", "metaworld", "fast", "physics"]
        assert all(len(speeds) == 3 and min(speeds) > 0 for speeds in items.values())
    assert bench.ratio("random", "gym.make_vec", "gym.make_vec") == 1
    assert bench.as_dict()["scripted"]["physics"]["against_physics"] == 1
    assert len(bench.table().splitlines()) == 9
