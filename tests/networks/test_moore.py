"""The mixture of orthogonal experts."""

from __future__ import annotations

import pytest
import torch

from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.errors import UserError
from mtrl_conic.networks.trunks.moore import MOORE, orthonormal
from tests.agents.test_mtsac import SMALL, SPEC, B, D, K


def trunk(**fields: object) -> MOORE:
    network = MTSAC(SPEC, balancer="ls", network="moore", **{**SMALL, **fields}).actor.network
    assert isinstance(network.trunk, MOORE)
    return network.trunk


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_experts_are_orthonormal_for_each_row(depth: int) -> None:
    basis = trunk(depth=depth).basis(torch.randn(K, B, D))
    assert basis.shape == (K, B, 4, SMALL["width"])
    assert torch.allclose(basis @ basis.mT, torch.eye(4).expand(K, B, 4, 4), atol=1e-5)


def test_the_mixture_is_the_tasks_own() -> None:
    moore, observations = trunk(), torch.randn(K, B, D)
    expected = torch.einsum("kn,kbnw->kbw", moore.mixture.weight, moore.basis(observations)).tanh()
    before = moore(observations)
    assert torch.allclose(before, expected, atol=1e-6)
    with torch.no_grad():
        moore.mixture.weight[1] *= -1
    after = moore(observations)
    assert torch.equal(after[::2], before[::2])
    assert torch.allclose(after[1], -before[1], atol=1e-6)


def test_experts_see_no_task() -> None:
    moore, observations = trunk(), torch.randn(K, B, D)
    other = observations.clone()
    other[..., -K:] += 1
    assert torch.equal(moore(observations), moore(other))


def test_a_span_is_kept() -> None:
    vectors = torch.randn(5, 3, 8, dtype=torch.float64)
    basis = orthonormal(vectors)
    assert torch.allclose(vectors @ basis.mT @ basis, vectors)
    assert torch.allclose(basis[:, 0], torch.nn.functional.normalize(vectors[:, 0], dim=-1))


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("kind", ["equal", "opposed", "zero", "plane", "nearly"])
def test_dependent_experts_stay_finite(kind: str, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = torch.randn(2, 16, generator=generator)
    vectors = {
        "equal": [one, one, one],
        "opposed": [one, -one, two],
        "zero": [one, 0 * one, two],
        "plane": [one, two, one - 2 * two],
        "nearly": [one, one + 1e-6 * two, two],
    }[kind]
    x = (scale * torch.stack(vectors)).requires_grad_()
    basis = orthonormal(x)
    (gradient,) = torch.autograd.grad(basis.square().sum() + basis.sum(), x)
    assert torch.isfinite(basis).all()
    assert torch.isfinite(gradient).all()
    lengths = basis.norm(dim=-1)
    assert lengths.max() <= 1 + 1e-6
    independent = basis[lengths > 0.999]
    assert torch.allclose(independent @ independent.mT, torch.eye(len(independent)), atol=1e-5)
    if scale >= 1:
        assert len(independent) == (1 if kind == "equal" else 2)
    if kind == "equal":  # nothing of an expert is left where rounding alone would be
        assert basis[1:].abs().max() < 1e-3


def test_more_experts_than_directions_in_one_line() -> None:
    with pytest.raises(UserError, match="experts=17 cannot be orthogonal in width=16"):
        trunk(network_options={"experts": 17})
