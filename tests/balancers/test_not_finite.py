"""Tests of input that is not finite: it gives an error that names the tasks or is skipped, and leaves no trace."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from mtrl_conic import balancers
from mtrl_conic.balancers import Balancer
from mtrl_conic.linalg import gram
from tests.balancers import oracles

NAMES = balancers.available()
OPTIONS: dict[str, dict[str, Any]] = {"nashmtl": {"update_every": 3}, "dwa": {"window": 2}, "stch": {"warmup": 2}}
LOSSES = torch.tensor([0.5, 1.0, 2.0])
POISONS = {
    "gradient": (oracles.gradients(3).index_fill(0, torch.tensor([1]), math.inf), LOSSES),
    "nan in a gradient": (
        oracles.gradients(3).index_put((torch.tensor(2), torch.tensor(4)), torch.tensor(math.nan).double()),
        LOSSES,
    ),
    "loss": (oracles.gradients(3), torch.tensor([0.5, math.inf, 2.0])),
}


def made(name: str, **options: Any) -> Balancer:
    return balancers.make(name, 3, seed=4, **OPTIONS.get(name, {}), **options)


def update(balancer: Balancer, jacobian: Tensor, losses: Tensor) -> Tensor:
    direction = balancer.direction(jacobian, losses)
    balancer.observe(0.9 * losses)
    return direction


def states(balancer: Balancer) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in balancer.state.items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("name", NAMES)
def test_it_is_an_error_that_changes_nothing(name: str, poison: str) -> None:
    balancer, alone = made(name), made(name)
    for seed in range(2):
        update(balancer, oracles.gradients(3, seed=seed), LOSSES)
        update(alone, oracles.gradients(3, seed=seed), LOSSES)
    before = states(balancer)
    jacobian, losses = POISONS[poison]
    task = 2 if poison.startswith("nan") else 1
    what = "the loss" if poison == "loss" else "the gradient"
    with pytest.raises(FloatingPointError, match=f"^{name}: {what} of task {task} is not finite: nothing was changed"):
        balancer.direction(jacobian, losses)
    assert same(states(balancer), before)
    for seed in range(2, 5):
        jacobian = oracles.gradients(3, seed=seed)
        assert torch.equal(update(balancer, jacobian, LOSSES), update(alone, jacobian, LOSSES))


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("name", NAMES)
def test_it_is_skipped_and_counted(name: str, poison: str) -> None:
    balancer, alone = made(name, on_nonfinite="skip"), made(name)
    for seed in range(2):
        update(balancer, oracles.gradients(3, seed=seed), LOSSES)
        update(alone, oracles.gradients(3, seed=seed), LOSSES)
    jacobian, losses = POISONS[poison]
    direction, statistics = balancer.direct(jacobian, losses)
    balancer.observe(losses)
    assert statistics["skipped"]
    assert torch.equal(direction, torch.zeros(30, dtype=torch.float64))
    for seed in range(2, 5):
        jacobian = oracles.gradients(3, seed=seed)
        assert torch.equal(update(balancer, jacobian, LOSSES), update(alone, jacobian, LOSSES))
    assert not balancer.direct(oracles.gradients(3), LOSSES).statistics["skipped"]


@pytest.mark.parametrize("name", NAMES)
def test_a_poisoned_first_batch(name: str) -> None:
    for poison in POISONS:
        balancer, alone = made(name, on_nonfinite="skip"), made(name)
        update(balancer, *POISONS[poison])
        for seed in range(3):
            jacobian = oracles.gradients(3, seed=seed)
            assert torch.equal(update(balancer, jacobian, LOSSES), update(alone, jacobian, LOSSES))


@pytest.mark.parametrize("name", [name for name in NAMES if not balancers.get(name).draws])
def test_each_problem_of_a_batch_for_itself(name: str) -> None:
    balancer, alone = made(name, on_nonfinite="skip"), made(name)
    balancer.reset((2,))
    for seed in range(3):
        clean = oracles.gradients(3, seed=seed)
        poisoned = clean.clone()
        poisoned[1, 3] = math.nan
        directions, statistics = balancer.direct(torch.stack([poisoned, clean]), LOSSES.expand(2, 3))
        assert statistics["skipped"].tolist() == [True, False]
        assert torch.equal(directions[0], torch.zeros(30, dtype=torch.float64))
        torch.testing.assert_close(directions[1], alone.direction(clean, LOSSES), rtol=1e-9, atol=1e-12)
        balancer.observe(0.9 * LOSSES.expand(2, 3))
        alone.observe(0.9 * LOSSES)


@pytest.mark.parametrize("name", [name for name in NAMES if not balancers.get(name).waits])
def test_what_is_only_recorded_is_skipped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a CUDA graph the host cannot check the input, and later input may not be finite."""
    monkeypatch.setattr(gram, "_suits_compiled", lambda jacobian: False)  # the compiled loop is not recorded
    balancer, alone = made(name), made(name)

    def work(jacobian: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
        direction, statistics = balancer.direct(jacobian, losses)
        return direction, statistics["skipped"]

    update(balancer, oracles.gradients(3), LOSSES)  # makes what is made at first use
    recorded = make_fx(work)(oracles.gradients(3, seed=1), LOSSES)  # carries out the operations once
    update(alone, oracles.gradients(3), LOSSES)
    alone.direction(oracles.gradients(3, seed=1), LOSSES)
    alone.observe(LOSSES)
    balancer.observe(LOSSES)
    for jacobian, losses in POISONS.values():
        direction, skipped = recorded(jacobian, losses)
        assert skipped
        assert torch.equal(direction, torch.zeros(30, dtype=torch.float64))
    direction, skipped = recorded(oracles.gradients(3, seed=2), LOSSES)
    assert not skipped
    torch.testing.assert_close(direction, alone.direction(oracles.gradients(3, seed=2), LOSSES), rtol=1e-9, atol=1e-12)


def test_tasks_are_named() -> None:
    balancer = balancers.make("upgrad", 3)
    balancer.task_names = ("reach", "push", "open")
    losses = torch.tensor([math.nan, 1.0, math.inf])
    with pytest.raises(FloatingPointError, match=r"the loss of tasks 0 and 2 \(reach, open\) is not finite"):
        balancer.weights(torch.eye(3), losses)
    gramian = torch.eye(3)
    gramian[0, 1] = math.nan
    with pytest.raises(FloatingPointError, match="the Gram matrix is not finite"):
        balancer.weights(gramian)


def test_observe_refuses_it_too() -> None:
    balancer = balancers.make("famo", 3)
    balancer.weights(torch.eye(3), LOSSES)
    before = states(balancer)
    with pytest.raises(FloatingPointError, match="the loss of task 1 is not finite"):
        balancer.observe(torch.tensor([1.0, math.nan, 1.0]))
    assert same(states(balancer), before)


def test_famo_without_observe_warns_once() -> None:
    balancer = balancers.make("famo", 3)
    balancer.weights(torch.eye(3), LOSSES)
    with pytest.warns(UserWarning, match=r"call observe\(losses\) after optimizer.step"):
        balancer.weights(torch.eye(3), LOSSES)
    balancer.weights(torch.eye(3), LOSSES)  # a second warning would be an error
