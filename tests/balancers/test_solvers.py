"""The solvers' optimality conditions on many random Gram matrices, solved as one batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.balancers.solvers import dot, matvec, minimise_quadratic, normalise, ridged_inverse, solve_power


def limit(name: str) -> float:
    """ConicGrad's dual takes the root of a difference of entries of M, whose rounding alone leaves 1e-8."""
    return 1e-7 if name.startswith("conicgrad") else 1e-8


def random_gramians(count: int, num_tasks: int, *, seed: int = 0) -> Tensor:
    """Matrices (count, K, K) with conditions of 1 to 1e8, of scales 1e-6 to 1e6."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(count, num_tasks, num_tasks, generator=generator, dtype=torch.float64)
    rotations = torch.linalg.qr(raw).Q
    uniform = torch.rand(count, num_tasks + 2, generator=generator, dtype=torch.float64)
    condition = -8 * uniform[:, :1]
    exponents = condition * uniform[:, 2:]
    exponents[:, 0], exponents[:, -1] = 0, condition[:, 0]
    gramians = (rotations * 10.0 ** exponents.unsqueeze(1)) @ rotations.mT
    return (gramians + gramians.mT) * 10.0 ** (12 * uniform[:, 1, None, None] - 6)


def residuals(num_tasks: int, gramians: Tensor) -> dict[str, Tensor]:
    """Per method the error of what defines it, relative to the terms it is the difference of, for each matrix."""
    square = gramians.diagonal(dim1=-2, dim2=-1)
    mean_square = gramians.mean((-2, -1))
    results = {}

    def gap(weights: Tensor, slope: Tensor, terms: Tensor) -> Tensor:
        return (dot(weights, slope).squeeze(-1) - slope.amin(-1)) / dot(weights, terms).squeeze(-1)

    weights = balancers.make("mgda", num_tasks).weights(gramians)
    results["mgda"] = gap(weights, matvec(gramians, weights), matvec(gramians.abs(), weights))

    pulled = balancers.make("sdmgrad", num_tasks, lam=0.3).weights(gramians) * 1.3
    tasks = pulled - 0.3 / num_tasks
    results["sdmgrad"] = gap(tasks, matvec(gramians, pulled), matvec(gramians.abs(), pulled))

    # The duality gaps come over ||g0||^2; g_i.d has the size of ||g_i|| ||g0||.
    size = (mean_square / square.mean(-1)).sqrt()
    for c in (0.1, 0.4, 0.9):
        balance = balancers.make("cagrad", num_tasks, c=c)(gramians)
        results[f"cagrad {c}"] = balance.statistics["dual_gap"].abs() * size
    for c in (0.25, 0.5, 0.9):
        balance = balancers.make("conicgrad", num_tasks, c=c, solver="exact")(gramians)
        results[f"conicgrad {c}"] = balance.statistics["dual_gap"].abs() * size

    weights = balancers.make("upgrad", num_tasks).weights(gramians)
    products = matvec(gramians, weights)
    sizes = (dot(weights, products) * square).sqrt()
    results["upgrad"] = (-products / sizes).amax(-1).clamp_min(0)

    cosines = normalise(gramians)
    for alpha in (1.0, 2.0):
        weights = solve_power(cosines, 1 / alpha).weights
        wanted = weights ** (-1 / alpha)
        terms = matvec(gramians.abs(), weights) + wanted
        results[f"fairgrad {alpha}"] = ((matvec(gramians, weights) - wanted).abs() / terms).amax(-1)

    raw = ridged_inverse(cosines.matrix).sum(-1)
    results["imtl_g"] = (
        ((matvec(cosines.matrix, raw) - 1) / (matvec(cosines.matrix.abs(), raw.abs()) + 1)).abs().amax(-1)
    )
    return results


@pytest.mark.parametrize("num_tasks", [2, 3, 10])
def test_residuals(num_tasks: int) -> None:
    for name, residual in residuals(num_tasks, random_gramians(200, num_tasks)).items():
        assert residual.max() < limit(name), f"{name}: {residual.max():.1e}"


@pytest.mark.slow
@pytest.mark.parametrize(("num_tasks", "count"), [(2, 3000), (3, 3000), (10, 3000), (50, 1000)])
def test_residuals_of_many(num_tasks: int, count: int) -> None:
    for part in range(count // 500):
        for name, residual in residuals(num_tasks, random_gramians(500, num_tasks, seed=part)).items():
            assert residual.max() < limit(name), f"{name}: {residual.max():.1e}"


def test_quadratic_without_a_simplex_is_nonnegative_least_squares() -> None:
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(1000, 5, 8, generator=generator, dtype=torch.float64)
    linear = torch.randn(1000, 5, generator=generator, dtype=torch.float64)
    matrix = factor @ factor.mT
    x = minimise_quadratic(matrix, linear, torch.zeros_like(linear), torch.ones_like(linear), steps=18)
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
