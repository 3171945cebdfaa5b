"""Degenerate input that a training loop can give: zero, equal and opposite gradients, and batches that were skipped."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.balancers import Balance, Balancer, register
from mtrl_conic.errors import UserError

WITH_STATE = {
    "dwa": {"window": 1},
    "famo": {},
    "gradnorm": {},
    "imtl_l": {},
    "nashmtl": {"update_every": 3},
    "stch": {"warmup": 2},
    "uw": {},
}


def rows(*values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("num_zero", [1, 2])
def test_a_zero_gradient_does_not_change_the_length_of_config(num_zero: int) -> None:
    """The direction is that of the tasks with a gradient; the pseudoinverse of a zero row is zero."""
    jacobian = torch.cat([rows([2.0, 0.0, 1.0], [0.0, 2.0, 1.0]), torch.zeros(num_zero, 3)])
    units = torch.nn.functional.normalize(jacobian, dim=1)
    unit = torch.nn.functional.normalize(torch.linalg.pinv(units).sum(1), dim=0)
    found = balancers.make("config", 2 + num_zero).direct(jacobian)
    assert not found.statistics["fallback"]
    torch.testing.assert_close(found.direction, (jacobian @ unit).sum() * unit)


@pytest.mark.parametrize("name", ["config", "imtl_g"])
@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("num_tasks", [3, 6, 10])
def test_equal_gradients_have_a_direction_with_equal_projections(name: str, scale: float, num_tasks: int) -> None:
    """Two parallel gradients make the cosines singular, but the system has solutions."""
    jacobian = torch.randn(num_tasks, 30, dtype=torch.float64)
    jacobian[1] = scale * jacobian[0]
    found = balancers.make(name, num_tasks).direct(jacobian)
    assert not found.statistics["fallback"]
    projections = jacobian @ found.direction / jacobian.norm(dim=1)
    torch.testing.assert_close(projections, projections.mean().expand(num_tasks), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mode", ["min", "median", "rmse"])
def test_aligned_mtl_keeps_a_preference_with_few_directions(mode: str) -> None:
    """With a preference the direction may be longer than the root mean square of the gradients' norms."""
    for jacobian in (rows([1, 0, 0], [0, 0, 0], [0, 0, 0]), rows([1, 0, 0], [0, 1, 0], [0, 1, 0])):
        made = balancers.make("aligned_mtl", 3, preference="0.9+0.05+0.05", mode=mode)
        weights, statistics = made(jacobian @ jacobian.mT)
        assert not statistics["fallback"]
        assert weights[0] > weights[1]
    assert torch.allclose(
        balancers.make("aligned_mtl", 2, preference="0.9+0.1").direction(rows([1.0, 0], [0, 0])), rows([0.9, 0])[0]
    )


def test_a_task_without_gradients_in_the_warm_up_does_not_take_all_weight() -> None:
    made = balancers.make("excessmtl", 2)
    made.direct(rows([1, 0], [0, 0]))
    for _ in range(3):
        found = made.direct(rows([1, 0], [0, 1e-3]))
    assert 0.4 < found.statistics["weight"][1] < 0.6
    assert found.statistics["excess"].isfinite().all()


def test_the_history_of_go4align_recovers() -> None:
    """The indicator of a task whose share has become tiny rises again."""
    made = balancers.make("go4align", 2, eta=1.0)
    for _ in range(3):
        made.without_gradients(rows([1000, 1])[0])
    for _ in range(6):
        found = made.without_gradients(rows([1, 1000])[0])
    assert found.weights[0] > 1 > found.weights[1]


@pytest.mark.parametrize("name", WITH_STATE)
def test_a_skipped_problem_of_a_batch_keeps_its_state(name: str) -> None:
    """It continues as if it had not been in the batch; the other problem, as if it had been alone."""

    def make(*batch: int) -> Balancer:
        made = balancers.make(name, 3, on_nonfinite="skip", **WITH_STATE[name])
        made.reset(batch)
        return made

    torch.manual_seed(0)
    batch, alone = make(2), [make(), make()]
    for step in range(5):
        jacobian, losses = torch.randn(2, 3, 7, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64) + 0.5
        skipped = step in (0, 2)
        given, numbers = jacobian.clone(), losses.clone()
        if skipped:
            given[1], numbers[1] = torch.nan, torch.nan
        found = batch(given @ given.mT, numbers).weights
        batch.observe(numbers)
        for place, single in enumerate(alone):
            if place == 1 and skipped:
                continue
            expected = single(jacobian[place] @ jacobian[place].mT, losses[place]).weights
            single.observe(losses[place])
            torch.testing.assert_close(found[place], expected)


@pytest.mark.parametrize(
    "text", ["composed:losses=ls:preference=b:1+a:2,of=mgda", "crmogm:of=upgrad:preference=b:1+a:2"]
)
def test_a_contained_preference_can_name_tasks(text: str) -> None:
    ((name, options),) = balancers.parse_methods(text)
    made = balancers.make(name, 2, task_names=["a", "b"], **options)
    assert made.preference == pytest.approx((2 / 3, 1 / 3))
    with pytest.raises(UserError, match="task of preference"):
        balancers.make(name, 2, task_names=["a", "c"], **options)


# Own methods.


class Answer(Balancer):
    """A method whose `balance` returns whatever it is given."""

    answer: Any = None

    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        return self.answer  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Balance(torch.ones(2, dtype=torch.float64), {}), r"float64 weights \(3,\)"),
        (Balance(torch.ones(4, dtype=torch.float64), {}), r"float64 weights \(3,\)"),
        (Balance(torch.ones(3, 1, dtype=torch.float64), {}), r"float64 weights \(3,\)"),
        (Balance(torch.ones((), dtype=torch.float64), {}), r"float64 weights \(3,\)"),
        (Balance(torch.ones(3), {}), "float64"),
        (Balance([1, 1, 1], {}), "not list"),  # type: ignore[arg-type]
        (Balance(torch.ones(3, dtype=torch.float64), {"gap": 0.5}), "gap is of type float"),  # type: ignore[dict-item]
        (torch.ones(3, dtype=torch.float64), r"must return Balance\(weights, statistics\), not Tensor"),
        (None, "not NoneType"),
    ],
)
def test_what_an_own_method_returns_is_checked(answer: Any, message: str) -> None:
    made = Answer(3)
    made.answer = answer
    with pytest.raises(UserError, match=message) as caught:
        made.direction(torch.randn(3, 5))
    assert "\n" not in str(caught.value)


def test_an_own_method_cannot_take_the_name_of_another_in_silence() -> None:
    before = balancers.get("pcgrad")

    class PCGrad(Answer):
        """Another method, whose class has the same name."""

    with pytest.raises(UserError, match=r"'pcgrad' already exists: mtrl_conic\.balancers\.methods\.pcgrad\.PCGrad"):
        register("pcgrad")(PCGrad)
    PCGrad.__qualname__ = before.__qualname__
    with pytest.raises(UserError, match="already exists"):
        register("pcgrad")(PCGrad)
    assert balancers.get("pcgrad") is before
    assert register("pcgrad")(before) is before  # a module that is imported again


def test_a_refused_state_changes_nothing() -> None:
    made, other = balancers.make("moco", 3), balancers.make("dbmtl", 3)
    made.direction(torch.randn(3, 4))
    other.direction(torch.randn(3, 5), torch.ones(3))
    before = made.state_dict()
    with pytest.raises(UserError, match="saved by dbmtl"):
        made.load_state_dict(other.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


@pytest.mark.parametrize("name", ["moco", "dbmtl", "excessmtl"])
def test_another_number_of_parameters_is_refused(name: str) -> None:
    made = balancers.make(name, 3)
    made.direct(torch.randn(3, 4), torch.ones(3))
    with pytest.raises(UserError, match=r"gradients of 4 parameters, and these have 5: call reset\(\)"):
        made.direct(torch.randn(3, 5), torch.ones(3))
    made.reset()
    made.direct(torch.randn(3, 5), torch.ones(3))


@pytest.mark.parametrize("name", [*balancers.available(), "imtl_l+imtl_g"])
def test_a_balancer_can_be_pickled_and_copied(name: str) -> None:
    made, jacobian, losses = balancers.make(name, 3, seed=4), torch.randn(3, 5), torch.rand(3) + 1
    made.direct(jacobian, losses)
    made.observe(losses)
    others = [pickle.loads(pickle.dumps(made)), copy.deepcopy(made)]
    expected = made.direction(jacobian, losses)
    for other in others:
        assert other.name == name
        assert torch.equal(other.direction(jacobian, losses), expected)


@pytest.mark.parametrize("num_tasks", [3, 10])
@pytest.mark.parametrize("c", [0.4, 0.9])
@pytest.mark.parametrize("noise", [0.0, 1e-7, 1e-6, 1e-5, 1e-3])
def test_cagrad_solves_its_problem_with_opposite_gradients(num_tasks: int, c: float, noise: float) -> None:
    """Near an optimum where a mixture of the gradients vanishes; no fallback, and the best worst case is reached."""
    gaps = []
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        jacobian = torch.randn(num_tasks, 40, dtype=torch.float64, generator=generator)
        jacobian[1] = noise * torch.randn(40, dtype=torch.float64, generator=generator) - jacobian[0]
        found = balancers.make("cagrad", num_tasks, c=c).direct(jacobian)
        assert not found.statistics["fallback"]
        mean = jacobian.mean(0)
        assert (found.direction - mean).norm() <= c * mean.norm() * (1 + 1e-6)
        gaps.append(float(found.statistics["dual_gap"]))
    assert sorted(gaps)[-2] < 1e-4  # at most one is not solved to this accuracy


def test_the_fallback_of_cagrad_is_rescaled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = balancers.make("cagrad", 2, c=0.5, rescale="square")
    monkeypatch.setattr(made, "guarantees", lambda outcome: {"ball": torch.tensor(1.0)})
    weights, statistics = made(torch.eye(2, dtype=torch.float64))
    assert statistics["fallback"]
    torch.testing.assert_close(weights, torch.full((2,), 0.5 / 1.25, dtype=torch.float64))


def test_the_constructor_of_an_own_method_must_take_the_seed() -> None:
    class Unseeded(Answer):
        """A method that takes no seed."""

        def __init__(self, num_tasks: int) -> None:
            super().__init__(num_tasks)

    class Passing(Answer):
        """A method that passes what it is given on."""

        def __init__(self, num_tasks: int, **rest: Any) -> None:
            super().__init__(num_tasks, **rest)

    with pytest.raises(UserError, match=r"Unseeded must take \(num_tasks, \*, seed\)"):
        balancers.make(Unseeded, 3)
    assert balancers.make(Passing, 3, seed=5).seed == 5
