"""The solvers' optimality conditions on many random Gram matrices, solved as one batch."""

from __future__ import annotations

import pytest
import torch

from mtrl_conic.bench.residuals import STUDY, random_gramians, residuals, study, table
from mtrl_conic.linalg import powers, quadratic
from mtrl_conic.linalg.cholesky import two_triangles
from mtrl_conic.linalg.cosines import normalise
from mtrl_conic.linalg.inverse import ridged_inverse
from mtrl_conic.linalg.quadratic import minimise_quadratic
from mtrl_conic.linalg.simplex import project_on_simplex
from mtrl_conic.linalg.vectors import matvec

LIMIT = 1e-8


@pytest.mark.parametrize("num_tasks", [2, 3, 10])
def test_residuals(num_tasks: int) -> None:
    for name, residual in residuals(random_gramians(100, num_tasks)).items():
        assert residual.max() < LIMIT, f"{name}: {residual.max():.1e}"


def test_residuals_tell_a_wrong_solution_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quadratic, "_STEPS", 6)
    monkeypatch.setattr(powers, "_BARGAIN_STEPS", 4)
    found = residuals(random_gramians(50, 10))
    assert all(found[name].max() > LIMIT for name in ("mgda", "sdmgrad lam=0.3", "upgrad", "nashmtl"))


@pytest.mark.slow
def test_residuals_of_ten_thousand() -> None:
    worst = study(STUDY)
    assert all(residual < LIMIT for sizes in worst.values() for residual in sizes.values()), table(worst, STUDY)


def test_quadratic_without_a_simplex_is_nonnegative_least_squares() -> None:
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(1000, 5, 8, generator=generator, dtype=torch.float64)
    linear = torch.randn(1000, 5, generator=generator, dtype=torch.float64)
    matrix = factor @ factor.mT
    x = minimise_quadratic(matrix, linear)
    slope = matvec(matrix, x) + linear
    assert (x >= 0).all()
    assert (slope > -1e-9).all()
    assert torch.minimum(x, slope).abs().max() < 1e-8


def test_ridged_inverse_of_a_singular_matrix_is_bounded() -> None:
    ones = torch.ones(4, 4, dtype=torch.float64)
    assert ridged_inverse(ones).isfinite().all()
    inverse = ridged_inverse(torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(inverse, torch.eye(3, dtype=torch.float64))


def test_normalise_takes_zero_gradients_apart() -> None:
    gramian = torch.tensor([[4.0, 0.0, 2.0], [0.0, 0.0, 0.0], [2.0, 0.0, 9.0]], dtype=torch.float64)
    matrix, norms, inverse = normalise(gramian)
    torch.testing.assert_close(norms, torch.tensor([2.0, 0.0, 3.0], dtype=torch.float64))
    torch.testing.assert_close(inverse, torch.tensor([1 / 2, 0.0, 1 / 3], dtype=torch.float64))
    expected = torch.tensor([[1, 0, 1 / 3], [0, 1, 0], [1 / 3, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(matrix, expected)


def test_simplex_projection() -> None:
    generator = torch.Generator().manual_seed(0)
    points = 3 * torch.randn(200, 6, generator=generator, dtype=torch.float64)
    projected = project_on_simplex(points)
    assert (projected >= 0).all()
    torch.testing.assert_close(projected.sum(-1), torch.ones(200, dtype=torch.float64))
    # Variational inequality: (point - projection).(y - projection) <= 0 for every corner y.
    residual = points - projected
    assert ((residual - (residual * projected).sum(-1, keepdim=True)).max() < 1e-9).all()
    torch.testing.assert_close(project_on_simplex(projected), projected)


@pytest.mark.parametrize("batch", [(), (1,), (4,), (2, 3)])
def test_two_triangles_do_what_torch_does(batch: tuple[int, ...]) -> None:
    """They take its place on a GPU."""
    generator = torch.Generator().manual_seed(0)
    root, right = torch.randn(2, *batch, 5, 5, dtype=torch.float64, generator=generator)
    lower = torch.linalg.cholesky(root @ root.mT + torch.eye(5, dtype=torch.float64))
    torch.testing.assert_close(two_triangles(right, lower), torch.cholesky_solve(right, lower))
