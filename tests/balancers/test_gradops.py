"""Tests of GradOPS on gradients of which none has a part that is orthogonal to the others."""

from __future__ import annotations

import itertools

import pytest
import torch

from mtrl_conic import balancers


@pytest.mark.parametrize("entry", [0.02726, 0.0273, 0.02730000019073486, 0.02734375])
def test_dependent_gradients_fall_back_in_any_order(entry: float) -> None:
    """In some orders rounding once left 1e-5 of a gradient, and the direction had length 1e-8 instead of MGDA's."""
    rows = [[0.0, 2.0, -1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [-2.5, entry, 1.0]]
    jacobian = torch.tensor(rows, dtype=torch.float64)
    expected = 4 * balancers.make("mgda", 4).direction(jacobian)
    for order in itertools.permutations(range(4)):
        direction, statistics = balancers.make("gradops", 4).direct(jacobian[list(order)])
        assert statistics["fallback"]
        torch.testing.assert_close(direction, expected, rtol=1e-6, atol=1e-6)
