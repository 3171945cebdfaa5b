"""Batches that lack some of the tasks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.balancers import Balancer
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import backward
from tests.gradients.loop import K, Net, flat_gradients, given, jacobian, relative, rows

FOLLOWS = [name for name in balancers.available() if balancers.get(name).every_task]
OTHERS = [name for name in balancers.available() if name not in FOLLOWS]


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def without(losses: list[Tensor], *missing: int) -> list[Tensor | None]:
    return [None if task in missing else loss for task, loss in enumerate(losses)]


def step(net: Net, balancer: Balancer, missing: tuple[int, ...], features: bool = False) -> dict[str, Tensor]:
    net.zero_grad()
    h = net.trunk(rows())
    losses = given(without(net.losses(rows(), h), *missing), balancer)
    return backward(
        losses, balancer, shared=net.trunk.parameters(), own=net.heads.parameters(), features=h if features else None
    )


@pytest.mark.parametrize("name", OTHERS)
def test_those_present_are_balanced_among_themselves(name: str, net: Net) -> None:
    trunk = list(net.trunk.parameters())
    losses = net.losses(rows())
    few = [losses[0], losses[2]]
    wanted = balancers.make(name, 2).direction(jacobian(few, trunk), torch.stack(few))
    told = step(net, balancers.make(name, K), (1,))
    assert relative(flat_gradients(trunk), wanted) < 1e-5
    assert all(p.grad is None for p in net.heads[1].parameters())
    if "weight" in told:
        assert told["weight"].shape == (K,)
        assert told["weight"][1] == 0
    if "gradient_norm" in told:
        assert told["gradient_norm"].isnan().tolist() == [False, True, False]
        assert told["cosine"].shape == (K, K)
        assert told["cosine"][1].isnan().all()


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_kept_of_a_missing_task_stays(name: str, net: Net) -> None:
    balancer = balancers.make(name, K)
    step(net, balancer, ())
    before = balancer.state_dict()
    step(net, balancer, (1,))
    per_task = {key for key, value in balancer.initial_state().items() if value.dim() and len(value) == K}
    for key in per_task:
        assert balancer.state[key].shape == before[key].shape
        assert torch.equal(balancer.state[key][1], before[key][1]), key
    moved = [key for key in per_task if not torch.equal(balancer.state[key][0], before[key][0])]
    assert moved or not per_task or name == "gradvac"
    assert step(net, balancer, ()).get("weight", torch.ones(K)).isfinite().all()


@pytest.mark.parametrize("name", FOLLOWS)
def test_methods_that_follow_every_task_say_so(name: str, net: Net) -> None:
    with pytest.raises(UserError, match=f"^{name} tracks the loss of every task .* pass all 3 losses"):
        step(net, balancers.make(name, K), (1,))


def test_weights_that_move_begin_even_among_the_tasks_present(net: Net) -> None:
    """Those of modo are kept on the simplex of all tasks, and taken to that of the ones that are there."""
    trunk = list(net.trunk.parameters())
    losses = net.losses(rows())
    few = [losses[0], losses[2]]
    for name, options in (("modo", {"gamma": 1e-9}), ("sdmgrad", {"sampling": "triple", "gamma": 1e-9, "lam": 0})):
        net.zero_grad()
        balancer = balancers.make(name, K, **options)
        told = backward(given([losses[0], None, losses[2]], balancer), balancer, shared=trunk, retain_graph=True)
        torch.testing.assert_close(told["weight"], torch.tensor([0.5, 0.0, 0.5], dtype=torch.float64))
        assert relative(flat_gradients(trunk), jacobian(few, trunk).mean(0)) < 1e-5


def test_a_method_may_begin_with_some_of_its_tasks(net: Net) -> None:
    """MoCo learns the size of what it averages at its first call."""
    balancer = balancers.make("moco", K)
    step(net, balancer, (0, 2))
    step(net, balancer, ())
    assert flat_gradients(list(net.trunk.parameters())).isfinite().all()
    assert balancer.state["means"].shape[0] == K


@pytest.mark.parametrize("name", ["uw", "conicgrad"])
def test_of_two_tasks_one(name: str, net: Net) -> None:
    """A state of two numbers that belong to no task is not taken for one of two tasks."""
    balancer, alone = balancers.make(name, 2), balancers.make(name, 1)
    for _ in range(3):
        backward([net.losses(rows())[0], None], balancer, shared=net.trunk.parameters())
        backward(net.losses(rows())[:1], alone, shared=net.trunk.parameters())
    for key, value in alone.state.items():
        expected = balancer.state[key][:1] if value.shape != balancer.state[key].shape else balancer.state[key]
        torch.testing.assert_close(expected, value)


def test_features_and_missing_tasks(net: Net) -> None:
    told = step(net, balancers.make("mgda", K), (0,), features=True)
    assert told["weight"][0] == 0
    assert float(told["weight"].sum()) == pytest.approx(1)


def test_no_task_at_all(net: Net) -> None:
    assert step(net, balancers.make("mgda", K), (0, 1, 2)) == {}
    assert all(p.grad is None for p in net.parameters())
