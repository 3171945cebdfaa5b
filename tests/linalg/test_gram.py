"""Gram matrices: every way of forming them, against sums that are exact."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from mtrl_conic.gradients import Factors
from mtrl_conic.gradients.blocks import Blocks
from mtrl_conic.linalg import gram
from mtrl_conic.linalg.gram import gramian_of, sum_of_gramians

EXACT = 1e-14
"""The largest error of an entry relative to the norms of its rows; sums in float32 have errors of 1e-8 and more."""
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def as_products(rows: Tensor) -> Tensor:
    """By torch's products: a batch has no compiled loop."""
    return gramian_of(rows.unsqueeze(0))[0]


def within_blocks(rows: Tensor) -> Tensor:
    """As two parameters, of which one is a block by itself."""
    cut = max(1, rows.shape[1] // 8)
    return sum(Blocks({"a": rows[:, :cut], "b": rows[:, cut:]}).gramians(), torch.zeros(len(rows), len(rows)))


def within_vmap(rows: Tensor) -> Tensor:
    return torch.vmap(gramian_of)(torch.stack([rows, rows]))[1]


def within_autocast(rows: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return as_products(rows)


def strided(rows: Tensor) -> Tensor:
    return gramian_of(rows.repeat_interleave(2, dim=1)[:, ::2])


def transposed(rows: Tensor) -> Tensor:
    return gramian_of(rows.T.contiguous().T)


WAYS = [gramian_of, as_products, within_blocks, within_vmap, within_autocast, strided, transposed]


def hard(tasks: int, columns: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Gradients of a Pareto front: the last opposes the first, further ones are parallel and dependent."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(tasks, columns, generator=generator)
    rows[-1] = -1.1 * rows[0]
    if tasks > 3:
        rows[1] = 2 * rows[0]
        rows[2] = rows[0] - 0.3 * rows[-2]
    rows *= 10 ** (3 * torch.rand(tasks, 1, generator=generator))
    return rows.to(dtype)


def in_long_double(rows: Tensor) -> Tensor:
    """M with products and sums of 64 bits, as float64; numpy adds in pairs."""
    wide = rows.double().numpy().astype(np.longdouble)
    return torch.from_numpy(np.stack([(wide * row).sum(1) for row in wide]).astype(np.float64))


def error(found: Tensor, exact: Tensor) -> float:
    """The largest error of an entry, as a share of the norms of its rows."""
    norms = exact.diagonal().sqrt()
    return float(((found - exact).abs() / (norms * norms.unsqueeze(1))).max())


def cosines(gramian: Tensor) -> Tensor:
    norms = gramian.diagonal().sqrt()
    return gramian / norms / norms.unsqueeze(1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("tasks", "columns"), [(2, 3), (3, 1025), (10, 4097), (50, 700), (65, 30)])
def test_exact(way: Callable[[Tensor], Tensor], dtype: torch.dtype, tasks: int, columns: int) -> None:
    rows = hard(tasks, columns, dtype)
    found = way(rows)
    assert found.dtype == torch.float64
    assert error(found, found.mT) <= EXACT
    assert error(found, in_long_double(rows)) <= EXACT


@pytest.mark.parametrize("way", [gramian_of, as_products])
@pytest.mark.parametrize("tasks", [2, 10])
def test_exact_with_many_columns(way: Callable[[Tensor], Tensor], tasks: int) -> None:
    rows = hard(tasks, 100_000, torch.float32)
    assert error(way(rows), in_long_double(rows)) <= EXACT


@pytest.mark.parametrize("tasks", range(1, 14))
@pytest.mark.parametrize("columns", [1, 7, 2048, 2051])
def test_any_number_of_rows(tasks: int, columns: int) -> None:
    """Those that the compiled loop takes by fours, and what is left over."""
    rows = torch.randint(-9, 9, (tasks, columns), generator=torch.Generator().manual_seed(tasks)).float()
    exact = (rows.long() @ rows.long().T).double()
    assert torch.equal(gramian_of(rows), exact)
    assert torch.equal(as_products(rows), exact)


@pytest.mark.parametrize("way", [gramian_of, as_products])
def test_to_the_last_digits_of_fractions(way: Callable[[Tensor], Tensor]) -> None:
    """Sums that cancel: what is left is as right as the norms allow."""
    rows = torch.randn(2, 300, generator=torch.Generator().manual_seed(0))
    rows[1, 150:], rows[0, 150:] = -rows[1, :150], rows[0, :150]
    rows[1, 299] += 2**-20
    a, b = ([Fraction(number) for number in row] for row in rows.tolist())
    exact = float(sum(x * y for x, y in zip(a, b, strict=True)))
    found = way(rows)
    assert abs(float(found[0, 1]) - exact) <= 1e-15 * float((found[0, 0] * found[1, 1]).sqrt())


@pytest.mark.parametrize("way", [gramian_of, as_products])
def test_cosines_have_no_eigenvalue_below_zero(way: Callable[[Tensor], Tensor]) -> None:
    for draw in range(150):
        tasks, columns = [2, 3, 10, 50][draw % 4], [3, 40, 1000, 5000, 30_000][draw % 5]
        found = cosines(way(hard(tasks, columns, DTYPES[draw % 3], seed=draw)))
        assert torch.linalg.eigvalsh(found)[0] >= -EXACT
        assert found.abs().max() <= 1 + EXACT


@pytest.mark.parametrize("way", [gramian_of, as_products])
def test_opposed_gradients_are_opposed(way: Callable[[Tensor], Tensor]) -> None:
    gradient = torch.tensor([0.1, 0.2, 0.3])
    for seed in range(20):
        assert abs(float(cosines(way(torch.stack([gradient, -1.1 * gradient])))[0, 1]) + 1) <= 5e-15
        gradient = torch.randn(100_000, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("way", [gramian_of, as_products])
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(torch.float32, 3e-38), (torch.float32, 3e37), (torch.float64, 1e-150), (torch.float64, 1e150)],
)
def test_scales(way: Callable[[Tensor], Tensor], dtype: torch.dtype, scale: float) -> None:
    rows = torch.randn(10, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64).clamp(-4, 4)
    rows = (rows * scale).to(dtype)
    power = 2.0 ** math.frexp(scale)[1]  # by which a division is exact
    exact = in_long_double(rows.double() / power)
    assert error(way(rows) / power / power, exact) <= EXACT


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_factors_as_they_are(dtype: torch.dtype) -> None:
    """Opposed and dependent gradients whose products nobody rounded."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(10, 6, width, generator=generator).to(dtype) for width in (300, 200))
    left[1], right[1] = -2 * left[0], right[0]
    left[2], right[2] = left[0] / 4, right[0]
    found = Factors(left, right).gramian()
    exact = in_long_double((left.double().mT @ right.double()).flatten(1))
    assert error(found, exact) <= EXACT
    assert torch.linalg.eigvalsh(cosines(found))[0] >= -EXACT


def test_direction_and_gramian_of_factors_agree() -> None:
    generator = torch.Generator().manual_seed(0)
    factors = Factors(torch.randn(4, 6, 300, generator=generator), torch.randn(4, 6, 200, generator=generator))
    weights = torch.rand(4, generator=generator, dtype=torch.float64)
    direction = factors.combine(weights).double()
    assert torch.allclose((direction**2).sum(), weights @ factors.gramian() @ weights, rtol=1e-6)


def test_several_blocks_are_one() -> None:
    rows = hard(10, 3000, torch.float32)
    pieces = [rows[:, :7], rows[:, 7:2000].double(), rows[:, 2000:]]
    assert error(sum_of_gramians(pieces), in_long_double(rows)) <= EXACT


def test_more_entries_than_are_widened_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = hard(3, 5000, torch.float32)
    monkeypatch.setattr(gram, "_PART", 3 * 1024)
    assert error(as_products(rows), in_long_double(rows)) <= EXACT


def test_within_torch_compile() -> None:
    rows = hard(3, 1500, torch.float32)
    found = torch.compile(gramian_of, backend="eager", fullgraph=True)(rows)
    assert error(found, in_long_double(rows)) <= EXACT


def test_without_compiled_code() -> None:
    """Where numba is told not to compile, the loop would take hours."""
    script = """
import torch
from mtrl_conic.linalg import gram
rows = torch.ones(3, 2_000_000)
print(gram._suits_compiled(rows), gram.gramian_of(rows)[0, 1].item())
"""
    environment = {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "2000000.0"]


def test_which_way_is_taken() -> None:
    rows = torch.ones(10, 7000)
    assert gram._suits_compiled(rows)
    assert not gram._suits_compiled(rows.unsqueeze(0))
    assert not gram._suits_compiled(rows.to("meta"))


def test_with_a_graph() -> None:
    rows = torch.randn(4, 3, 50, requires_grad=True)
    assert torch.allclose(torch.vmap(gramian_of)(rows), gramian_of(rows), rtol=1e-13)
    assert not gramian_of(rows[0]).isnan().any()


def test_without_columns() -> None:
    for way in (gramian_of, as_products):
        assert torch.equal(way(torch.empty(3, 0)), torch.zeros(3, 3, dtype=torch.float64))


@pytest.mark.parametrize("way", [gramian_of, as_products])
def test_what_is_not_finite_is_seen(way: Callable[[Tensor], Tensor]) -> None:
    rows = torch.ones(7, 3000)
    rows[1, 5] = math.nan
    found = way(rows)
    assert found[1].isnan().all()
    assert found[0, 0] == found[0, 2] == found[6, 6] == 3000
