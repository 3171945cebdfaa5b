from __future__ import annotations

import pytest

from mtrl_conic.bench import solvers
from mtrl_conic.errors import UserError


def test_table_of_a_small_benchmark() -> None:
    names = ["ls", "cagrad", "conicgrad", "graddrop", "aligned_mtl"]
    benchmark = solvers.run(names, sizes=[2, 3], tasks=3, parameters=500, rounds=2)
    assert set(benchmark.solves) == {
        (name, size) for name in ("ls", "cagrad", "conicgrad", "conicgrad exact", "aligned_mtl") for size in (2, 3)
    }
    assert all(len(seconds) == 2 for seconds in [*benchmark.solves.values(), *benchmark.ways.values()])
    table = benchmark.table()
    for name in names:
        assert name in table
    assert "K = 3, P = 500" in table
    assert "SLSQP" in table


def test_wrong_input_is_told_in_one_line() -> None:
    with pytest.raises(UserError, match="did you mean 'cagrad'"):
        solvers.run(["cagrd"])
    with pytest.raises(UserError, match="at least 1"):
        solvers.run(["ls"], rounds=0)
