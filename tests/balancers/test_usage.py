"""Tests of balancers in a custom training loop: mixed precision, accumulation, clipping, no extra imports."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from mtrl_conic import balancers


def network() -> tuple[nn.Sequential, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
    inputs = torch.randn(64, 4, generator=generator)
    targets = torch.stack([inputs.sum(1), inputs.prod(1)], 1)
    return model, inputs, targets


def jacobian_of(losses: Tensor, model: nn.Module) -> Tensor:
    rows = [torch.autograd.grad(loss, list(model.parameters()), retain_graph=True) for loss in losses]
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


def write(model: nn.Module, direction: Tensor) -> None:
    parameters = list(model.parameters())
    for parameter, part in zip(parameters, direction.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter).clone()


def test_trains_a_plain_model() -> None:
    model, inputs, targets = network()
    balancer = balancers.make("conicgrad", 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    history = []
    for _ in range(100):
        losses = ((model(inputs) - targets) ** 2).mean(0)
        write(model, balancer.direction(jacobian_of(losses, model), losses))
        optimizer.step()
        history.append(losses.detach())
    assert (history[-1] < 0.7 * history[0]).all()


def test_mixed_precision() -> None:
    model, inputs, targets = network()
    for name in ("pcgrad", "cagrad", "nashmtl"):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses = ((model(inputs) - targets) ** 2).float().mean(0)
            jacobian = jacobian_of(losses, model)
            direction = balancers.make(name, 2).direction(jacobian, losses)
        expected = balancers.make(name, 2).direction(jacobian.double(), losses.double())
        torch.testing.assert_close(direction.double(), expected, rtol=1e-3, atol=1e-4)
        half = balancers.make(name, 2).direction(jacobian.bfloat16(), losses)
        assert half.dtype == torch.bfloat16
        assert torch.cosine_similarity(half.double(), expected, dim=0) > 0.99


def test_accumulation_equals_one_batch() -> None:
    model, inputs, targets = network()
    whole = jacobian_of(((model(inputs) - targets) ** 2).mean(0), model)
    halves = [((model(inputs[part]) - targets[part]) ** 2).mean(0) for part in (slice(32), slice(32, 64))]
    accumulated = sum(jacobian_of(losses, model) for losses in halves) / 2
    torch.testing.assert_close(
        balancers.make("upgrad", 2).direction(accumulated), balancers.make("upgrad", 2).direction(whole)
    )


def test_clipping_comes_after() -> None:
    model, inputs, targets = network()
    losses = ((model(inputs) - targets) ** 2).mean(0)
    direction = balancers.make("nashmtl", 2).direction(jacobian_of(losses, model))
    write(model, direction)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    torch.testing.assert_close(norm, direction.norm())
    clipped = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(clipped, 0.1 * direction / direction.norm())


def test_imports_neither_environments_nor_solvers() -> None:
    unwanted = ["gymnasium", "metaworld", "scipy", "cvxpy"]
    code = f"import sys, mtrl_conic.balancers; print(sorted(set({unwanted}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def descend(name: str, steps: int) -> tuple[Tensor, Tensor]:
    """Descend two convex losses in float32 to their Pareto front; return the end and the largest coordinate reached."""
    targets = torch.tensor([[1.0, 0.0, 2.0], [-1.0, 0.5, 2.0]])
    point = torch.tensor([3.0, -4.0, 0.3])
    balancer = balancers.make(name, 2)
    furthest = torch.zeros(())
    for _ in range(steps):
        losses = 0.5 * (point - targets).square().sum(1)
        direction = balancer.direction(point - targets, losses)
        point = point - 0.05 * direction
        furthest = torch.maximum(furthest, point.abs().max())
        if balancer.observes:
            balancer.observe(0.5 * (point - targets).square().sum(1))
    return point, furthest


UNBOUNDED = ("si",)
"""Its objective, the sum of the log losses, has no lower bound where a loss can reach zero: near a task's own optimum a
step is as long as one over the distance to it."""


@pytest.mark.parametrize(
    "steps", [100, pytest.param(10_000, marks=pytest.mark.slow)], ids=["a hundred steps", "ten thousand steps"]
)
@pytest.mark.parametrize("name", balancers.available())
def test_descent_to_a_pareto_front_stays_finite(name: str, steps: int) -> None:
    """On the front the gradients are opposed to the last bit of float32."""
    point, furthest = descend(name, steps)
    assert point.isfinite().all()
    if name not in UNBOUNDED:
        assert furthest < 20
