"""Weighted sums of gradients, formed in float64 whatever they are kept in."""

from __future__ import annotations

import pytest
import torch

from mtrl_conic.linalg import gram
from mtrl_conic.linalg.gram import combine


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("columns", [1, 255, 256, 5000])
def test_equal_to_float64(columns: int, dtype: torch.dtype, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr(gram, "_suits_compiled", lambda jacobian: False)
    generator = torch.Generator().manual_seed(columns)
    for tasks in (1, 4, 5, 7, 10, 11):
        jacobian = torch.randn(tasks, columns, generator=generator).to(dtype)
        weights = torch.randn(tasks, generator=generator, dtype=torch.float64)
        found, expected = combine(weights, jacobian), weights @ jacobian.double()
        assert found.dtype == dtype
        assert (found.double() - expected).abs().max() <= torch.finfo(dtype).eps * expected.abs().max() + 1e-14


@pytest.mark.parametrize("compiled", [True, False])
def test_parts_that_cancel(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Near a front the parts are a million times as long as their sum, of which float32 would keep one digit."""
    if not compiled:
        monkeypatch.setattr(gram, "_suits_compiled", lambda jacobian: False)
    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn(1000, generator=generator)
    jacobian = torch.stack([gradient, 1e-6 * torch.randn(1000, generator=generator) - gradient])
    weights = torch.tensor([1e6, 1e6], dtype=torch.float64)
    expected = weights @ jacobian.double()
    assert (combine(weights, jacobian).double() - expected).abs().max() < 1e-6 * expected.abs().max()
    single = (weights.float() @ jacobian).double()
    assert (single - expected).abs().max() > 1e-3 * expected.abs().max()


def test_weights_of_any_size() -> None:
    jacobian = torch.full((2, 3), 1e-30)
    weights = torch.full((2,), 1e50, dtype=torch.float64)
    torch.testing.assert_close(combine(weights, jacobian), torch.full((3,), 2e20))


def test_a_batch_and_no_columns() -> None:
    jacobian = torch.randn(3, 2, 4, 50)
    weights = torch.randn(3, 2, 4, dtype=torch.float64)
    expected = (weights.unsqueeze(-2) @ jacobian.double()).squeeze(-2)
    torch.testing.assert_close(combine(weights, jacobian).double(), expected, rtol=1e-6, atol=1e-6)
    assert combine(torch.ones(4), torch.empty(4, 0)).shape == (0,)
