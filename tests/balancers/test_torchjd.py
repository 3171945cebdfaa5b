"""Tests of directions against torchjd's, for the methods that it solves exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from mtrl_conic import balancers
from tests.balancers import oracles

aggregation = pytest.importorskip("torchjd.aggregation")
linalg = pytest.importorskip("torchjd.linalg")

PAIRS: list[tuple[str, dict[str, Any], Callable[[int], Any]]] = [
    ("ls", {}, lambda _: aggregation.Mean()),
    ("cagrad", {"c": 0.4}, lambda _: aggregation.CAGrad(0.4)),
    ("nashmtl", {}, lambda num_tasks: aggregation.NashMTL(num_tasks)),
    ("fairgrad", {"alpha": 2.0}, lambda _: aggregation.FairGrad(2.0)),
    ("imtl_g", {}, lambda _: aggregation.IMTLG()),
    ("aligned_mtl", {}, lambda _: aggregation.AlignedMTL()),
    ("upgrad", {}, lambda _: aggregation.UPGrad(projector=linalg.QuadprogProjector(norm_eps=1e-12, reg_eps=1e-10))),
]


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem:UserWarning")  # torchjd's Nash-MTL warns
@pytest.mark.parametrize(("name", "options", "make"), PAIRS, ids=[name for name, *_ in PAIRS])
@pytest.mark.parametrize("num_tasks", [2, 5, 10])
def test_same_direction(name: str, options: dict[str, Any], make: Callable[[int], Any], num_tasks: int) -> None:
    try:
        oracle = make(num_tasks)
    except ImportError as error:
        pytest.skip(str(error))
    for seed in range(3):
        jacobian = oracles.gradients(num_tasks, dim=60, seed=seed)
        expected = oracle(jacobian)
        direction = balancers.make(name, num_tasks, **options).direction(jacobian)
        assert 1 - torch.cosine_similarity(direction, expected, dim=0) < 1e-8


def test_its_mgda_is_not_converged() -> None:
    """MGDA is missing above because torchjd's is not converged: ours is shorter, and MGDA asks for the shortest."""
    jacobian = oracles.gradients(10, dim=60, seed=10)
    assert aggregation.MGDA()(jacobian).norm() > 1.0001 * balancers.make("mgda", 10).direction(jacobian).norm()
