"""Tests of properties that hold for any gradients; hypothesis searches for counterexamples."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mtrl_conic import balancers

WORKED = settings(max_examples=15, deadline=None, derandomize=True)
NUMBERS = st.floats(-3, 3, allow_nan=False, width=32)


@st.composite
def jacobians(draw: st.DrawFn) -> Tensor:
    """Draw up to five gradients of up to four coordinates: small numbers, often zero, equal or opposed."""
    num_tasks, dim = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(NUMBERS, min_size=dim, max_size=dim), min_size=num_tasks, max_size=num_tasks))
    return torch.tensor(rows, dtype=torch.float64) * 10.0 ** draw(st.integers(-6, 6))


def scale(jacobian: Tensor) -> float:
    return float(jacobian.square().sum(1).mean()) + 1e-30


@WORKED
@given(jacobians())
def test_every_direction_is_finite(jacobian: Tensor) -> None:
    losses = torch.ones(len(jacobian), dtype=torch.float64)
    for name in balancers.available():
        assert balancers.make(name, len(jacobian)).direction(jacobian, losses).isfinite().all(), name


@WORKED
@given(jacobians())
def test_directions_that_conflict_with_no_task(jacobian: Tensor) -> None:
    for name in ("mgda", "upgrad", "gradops"):
        direction = balancers.make(name, len(jacobian)).direction(jacobian)
        assert (jacobian @ direction >= -1e-6 * scale(jacobian)).all(), name


@WORKED
@given(jacobians())
def test_directions_that_lower_the_mean(jacobian: Tensor) -> None:
    mean = jacobian.mean(0)
    for name in ("ls", "cagrad", "conicgrad", "upgrad", "mgda"):
        direction = balancers.make(name, len(jacobian)).direction(jacobian)
        assert mean @ direction >= -1e-6 * scale(jacobian), name


@WORKED
@given(jacobians(), st.floats(0.05, 1.0))
def test_conicgrad_stays_in_its_cone(jacobian: Tensor, c: float) -> None:
    mean = jacobian.mean(0)
    for solver in ("online", "exact"):
        direction = balancers.make("conicgrad", len(jacobian), c=c, solver=solver).direction(jacobian)
        # M contains squares, so lengths below 1e-7 of the gradients' lengths are rounding errors.
        noise = 1e-6 * scale(jacobian) ** 0.5
        assert abs(direction.norm() - mean.norm()) <= 1e-3 * mean.norm() + noise
        assert mean @ direction >= c * (1 - 1e-3) * mean.norm() * direction.norm() - noise * mean.norm()


@WORKED
@given(jacobians())
def test_mgda_is_no_longer_than_any_gradient_or_mean(jacobian: Tensor) -> None:
    shortest = balancers.make("mgda", len(jacobian)).direction(jacobian).norm()
    noise = 1e-7 * scale(jacobian) ** 0.5
    assert shortest <= jacobian.norm(dim=1).min() + noise
    assert shortest <= jacobian.mean(0).norm() + noise


@WORKED
@given(jacobians(), st.integers(0, 100))
def test_order_of_tasks_does_not_matter(jacobian: Tensor, seed: int) -> None:
    order = torch.randperm(len(jacobian), generator=torch.Generator().manual_seed(seed))
    for name in ("mgda", "cagrad", "conicgrad", "upgrad", "gradops", "sdmgrad"):
        plain = balancers.make(name, len(jacobian)).direction(jacobian)
        permuted = balancers.make(name, len(jacobian)).direction(jacobian[order])
        assert (plain - permuted).norm() <= 1e-4 * (plain.norm() + scale(jacobian) ** 0.5), name
