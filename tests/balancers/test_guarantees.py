"""Tests that the methods keep their guarantees on hard gradients, or fall back, which is counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.balancers import Balance, Balancer, Outcome
from mtrl_conic.balancers.guarantees import TOLERANCE
from mtrl_conic.bench.guarantees import METHODS, STUDY, Record, SeenByGradients, study, table
from mtrl_conic.bench.hard_draws import KINDS, jacobians
from mtrl_conic.linalg.gram import gramian_of

methods = pytest.mark.parametrize(("name", "options"), METHODS, ids=[balancers.label(*each) for each in METHODS])


@methods
@pytest.mark.parametrize("num_tasks", [2, 3, 10])
def test_a_sample_of_hard_draws(name: str, options: dict[str, Any], num_tasks: int) -> None:
    record = Record()
    for seed, kind in enumerate(KINDS):
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            gradients = jacobians(kind, 3, num_tasks, 3 if seed % 2 else 40, dtype, seed=seed)
            record.add(balancers.make(name, num_tasks, **options), gradients, gramian_of(gradients))
    assert record.not_finite == record.broken == 0, record


@pytest.mark.slow
def test_ten_thousand_hard_draws() -> None:
    records = study(STUDY)
    assert all(record.not_finite == record.broken == 0 for record in records.values()), table(records)
    assert all(record.draws >= 10_000 for record in records.values())


def single_precision(gradients: Tensor) -> Tensor:
    """Return a Gram matrix summed in float32, whose cosines have eigenvalues down to -3e-7."""
    return (gradients.float() @ gradients.float().mT).double()


@methods
def test_a_gramian_that_is_not_quite_one(name: str, options: dict[str, Any]) -> None:
    """A caller may pass an inexact Gram matrix: the direction stays finite and of the method's usual size."""
    for kind in KINDS:
        for num_tasks in (2, 10):
            gradients = jacobians(kind, 4, num_tasks, 60, torch.float32, seed=3, scaled=False)
            balancer = balancers.make(name, num_tasks, **options)
            balancer.reset((4,))
            losses = torch.ones(4, num_tasks)
            outcome = SeenByGradients(gradients, balancer.weights(single_precision(gradients), losses))
            assert outcome.direction.isfinite().all()
            if balancer.scaling == 0 and name != "imtl_g":  # imtl_g's weights may be of any size
                longest = num_tasks if name in ("gradops", "gradnorm", "config") else 2
                assert (outcome.square.sqrt() <= longest * outcome.norms.amax(-1, keepdim=True)).all(), kind


@pytest.mark.parametrize("name", ["upgrad", "nashmtl", "fairgrad", "cagrad", "gradops", "imtl_g", "mgda"])
def test_opposed_gradients_in_float32(name: str) -> None:
    gradient = torch.tensor([0.1, 0.2, 0.3])
    direction = balancers.make(name, 2).direction(torch.stack([gradient, -1.1 * gradient]))
    assert direction.isfinite().all()
    assert direction.norm() < 1


def test_cagrad_on_a_nearly_opposed_pair_in_float32() -> None:
    torch.manual_seed(61)
    jacobian = torch.randn(10, 1000)
    jacobian[9] = -1.7 * jacobian[0] + 1e-3 * torch.randn(1000)
    single = balancers.make("cagrad", 10).direction(jacobian)
    torch.testing.assert_close(
        single.double(), balancers.make("cagrad", 10).direction(jacobian.double()), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("num_tasks", [2, 10])
def test_cagrad_stays_in_its_ball_with_exactly_opposed_pairs(num_tasks: int) -> None:
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        jacobian = torch.randn(num_tasks, 30, generator=generator, dtype=torch.float64)
        jacobian[-1] = -(0.5 + torch.rand((), generator=generator, dtype=torch.float64)) * jacobian[0]
        mean = jacobian.mean(0)
        direction = balancers.make("cagrad", num_tasks).direction(jacobian)
        assert (direction - mean).norm() <= 0.4 * mean.norm() * (1 + 1e-6) + 1e-7 * jacobian.norm()


def test_conicgrad_keeps_its_norm_with_more_tasks_than_directions() -> None:
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        jacobian = torch.randn(10, 3, generator=generator, dtype=torch.float64)
        direction = balancers.make("conicgrad", 10, solver="exact").direction(jacobian)
        torch.testing.assert_close(direction.norm(), jacobian.mean(0).norm(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("alpha", [0.1, 0.3, 3.0, 10.0])
def test_fairgrad_solves_its_whole_range(alpha: float) -> None:
    for num_tasks in (2, 3, 10):
        gradients = jacobians("independent", 20, num_tasks, 40, torch.float64)
        balancer = balancers.make("fairgrad", num_tasks, alpha=alpha)
        balance = balancer(gradients @ gradients.mT)
        assert not balance.statistics["fallback"].any()
        assert balance.statistics["residual"].max() < 1e-9


@pytest.mark.parametrize("name", ["nashmtl", "fairgrad"])
def test_weights_that_grow_without_end_are_no_solution(name: str) -> None:
    """At a stationary point M w = w^-p has no solution; with the rounded M it has one, which is huge."""
    gradients = jacobians("independent", 50, 3, 40, torch.float64, scaled=False)
    gradients[:, 2] = -0.3 * gradients[:, 0] - 0.8 * gradients[:, 1]
    balancer = balancers.make(name, 3)
    balancer.reset((50,))
    weights, statistics = balancer(gradients @ gradients.mT)
    assert statistics["fallback"].all()
    assert (SeenByGradients(gradients, weights).spread < 1e6).all()


class Broken(Balancer):
    """A balancer that breaks its guarantee: its weights leave the simplex in every other problem, and one is NaN."""

    paper = "none"

    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        weights = torch.full_like(gramian[..., 0], 1 / self.num_tasks)
        weights[..., ::2, :] = 2
        weights[..., -1, 0] = torch.nan
        return Balance(weights, {})

    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        return {"simplex": (outcome.weights.sum(-1) - 1).abs()}


def test_a_promise_that_is_not_kept_is_noticed_problem_by_problem() -> None:
    weights, statistics = Broken(2)(torch.eye(2).expand(4, 2, 2))
    assert statistics["fallback"].tolist() == [True, False, True, True]
    torch.testing.assert_close(weights, torch.full((4, 2), 0.5, dtype=torch.float64))


def test_a_missed_guarantee_seen_by_the_gradients_is_told_apart() -> None:
    """The check of the study is not vacuous."""
    gradients = jacobians("independent", 1, 3, 20, torch.float64, scaled=False)
    outcome = SeenByGradients(gradients, torch.tensor([[1.0, -1.0, 0.0]], dtype=torch.float64))
    for name in ("mgda", "upgrad", "cagrad", "conicgrad", "nashmtl", "imtl_g"):
        errors = balancers.make(name, 3).guarantees(outcome).values()
        assert not all((error <= TOLERANCE).all() for error in errors), name


@pytest.mark.parametrize("name", [name for name in balancers.available() if balancers.get(name).has_weights])
@pytest.mark.parametrize("exponent", [-30, 30])
def test_scales_of_the_gradients(name: str, exponent: int) -> None:
    plain, scaled = balancers.make(name, 4), balancers.make(name, 4)
    gradients = jacobians("independent", 1, 4, 50, torch.float64, scaled=False)[0].float().double()
    factor = 2.0 ** (100 if exponent > 0 else -100)
    for _ in range(3):
        losses = torch.tensor([0.5, 1.0, 2.0, 0.7])
        expected, found = plain.weights(gradients @ gradients.mT, losses), None
        found = scaled.weights((gradients @ gradients.mT) * factor**2, losses)
        torch.testing.assert_close(found / factor**scaled.scaling, expected, rtol=1e-9, atol=1e-12)
        plain.observe(losses)
        scaled.observe(losses)


@pytest.mark.parametrize("name", balancers.available())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_short_types_are_right_to_their_own_accuracy(name: str, dtype: torch.dtype) -> None:
    jacobian = jacobians("independent", 1, 4, 300, torch.float64, scaled=False)[0].to(dtype)
    losses = torch.tensor([0.5, 1.0, 2.0, 0.7])
    short, long = balancers.make(name, 4), balancers.make(name, 4)
    for _ in range(3):
        found, expected = short.direction(jacobian, losses), long.direction(jacobian.double(), losses)
        assert found.dtype == dtype
        assert (found.double() - expected).norm() <= 2 * torch.finfo(dtype).eps * expected.norm()
        short.observe(losses)
        long.observe(losses)


@pytest.mark.parametrize("name", balancers.available())
def test_large_and_small_float32(name: str) -> None:
    jacobian = jacobians("independent", 1, 3, 100, torch.float64, scaled=False)[0]
    for scale in (1e-30, 1e30):
        balancer = balancers.make(name, 3)
        direction = balancer.direction((jacobian * scale).float(), torch.ones(3))
        expected = balancers.make(name, 3).direction(jacobian.float(), torch.ones(3))
        power = 1 + balancer.scaling
        torch.testing.assert_close(direction.double() / scale**power, expected.double(), rtol=1e-4, atol=1e-5)
