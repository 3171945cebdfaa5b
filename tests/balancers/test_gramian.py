"""The Gram matrix: the compiled loop and the matrix products, against float64."""

from __future__ import annotations

import math

import pytest
import torch

from mtrl_conic.linalg import gram as gramian
from mtrl_conic.linalg.gram import gramian_of


@pytest.mark.parametrize("tasks", [1, 2, 3, 9, 10, 64, 65])
@pytest.mark.parametrize("columns", [1, 7, 1024, 5000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_equal_to_float64(tasks: int, columns: int, dtype: torch.dtype) -> None:
    rows = torch.randn(tasks, columns, generator=torch.Generator().manual_seed(columns)).to(dtype)
    exact = rows.double() @ rows.double().mT
    found = gramian_of(rows)
    assert found.dtype == torch.float64
    tolerance = 1e-13 if dtype == torch.float64 else 3e-7
    assert (found - found.mT).abs().max() <= tolerance * exact.abs().max()
    assert (found - exact).abs().max() <= tolerance * exact.abs().max()


def test_both_ways_say_the_same() -> None:
    rows = torch.randn(10, 70_000, generator=torch.Generator().manual_seed(0))
    assert gramian._suits_compiled(rows)
    assert not gramian._suits_compiled(rows.unsqueeze(0))
    assert not gramian._suits_compiled(rows.T.contiguous().T)
    compiled, products = gramian_of(rows), gramian_of(rows.unsqueeze(0))[0]
    assert (compiled - products).abs().max() < 1e-7 * compiled.abs().max()
    assert torch.allclose(gramian_of(rows[:, ::2]), gramian_of(rows[:, ::2].contiguous()), atol=1e-2)  # of 35,000


def test_without_columns() -> None:
    assert torch.equal(gramian_of(torch.empty(3, 0)), torch.zeros(3, 3, dtype=torch.float64))


def test_what_is_not_finite_is_seen() -> None:
    rows = torch.ones(3, 3000)
    rows[1, 5] = math.nan
    found = gramian_of(rows)
    assert found[1].isnan().all()
    assert found[0, 0] == found[0, 2] == 3000


def test_inside_vmap_and_with_a_graph() -> None:
    rows = torch.randn(4, 3, 50, requires_grad=True)
    mapped = torch.vmap(gramian_of)(rows)
    assert torch.allclose(mapped, gramian_of(rows), rtol=1e-6)
    assert not gramian_of(rows[0]).isnan().any()
