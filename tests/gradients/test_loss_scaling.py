"""A gradient scaler in the loop: the balancer sees what it would see without."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mtrl_conic import balancers
from mtrl_conic.balancers import Balancer
from mtrl_conic.gradients import backward
from tests.gradients.loop import Net, flat_values, given, rows, with_features

STEPS = 5


def step(
    net: Net,
    optimizer: torch.optim.Optimizer,
    balancer: Balancer,
    x: Tensor,
    features: bool,
    scaler: torch.amp.GradScaler | None,
) -> dict[str, Tensor]:
    optimizer.zero_grad()
    h = net.trunk(x)
    shared, own = net.trunk.parameters(), net.heads.parameters()
    losses = given(net.losses(x, h), balancer)
    told = backward(losses, balancer, shared=shared, own=own, features=h if features else None, scaler=scaler)
    if scaler is None:
        optimizer.step()
    else:
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
    if balancer.observes and not (scaler and told["overflow"]):
        with torch.no_grad():
            balancer.observe(torch.stack(net.losses(x)))
    return told


def trained(
    name: str, features: bool, scale: float | None, poison: int | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Parameters and the balancer's state after some steps, with a batch that overflows before step `poison`."""
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    scaler = None if scale is None else torch.amp.GradScaler("cpu", init_scale=scale)
    balancer = balancers.make(name, 3)
    for number in range(STEPS):
        if number == poison:
            told = step(net, optimizer, balancer, rows(99) * 1e30, features, scaler)
            assert told["overflow"]
        step(net, optimizer, balancer, rows(number), features, scaler)
    return flat_values(list(net.parameters())), balancer.state_dict()


WITH_FEATURES = [(name, False) for name in balancers.available()] + [(name, True) for name in with_features()]


@pytest.mark.parametrize(("name", "features"), WITH_FEATURES)
def test_the_scaled_loop_is_the_plain_one_to_the_last_bit(name: str, features: bool) -> None:
    wanted, state = trained(name, features, None)
    found, scaled_state = trained(name, features, 65536.0)
    assert torch.equal(found, wanted)
    assert all(torch.equal(scaled_state[key], value) for key, value in state.items())


@pytest.mark.parametrize("name", balancers.available())
def test_any_other_scale_agrees_to_rounding(name: str) -> None:
    wanted, _ = trained(name, False, None)
    found, _ = trained(name, False, 1000.0)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("poison", [0, 2])
@pytest.mark.parametrize(("name", "features"), WITH_FEATURES)
def test_an_overflowed_batch_leaves_nothing_behind(name: str, features: bool, poison: int) -> None:
    wanted, state = trained(name, features, 65536.0)
    found, poisoned = trained(name, features, 65536.0, poison)
    assert torch.equal(found, wanted)
    assert all(torch.equal(poisoned[key], value) for key, value in state.items())


@pytest.mark.parametrize("name", ["uw", "conicgrad", "graddrop"])
def test_gradients_that_overflow_where_losses_do_not(name: str) -> None:
    """A scale beyond float32: the losses are good, their scaled gradients are not."""
    torch.manual_seed(0)
    net, scaler, balancer = Net(), torch.amp.GradScaler("cpu", init_scale=3e38), balancers.make(name, 3)
    optimizer = torch.optim.Adam(net.parameters())
    before, state = flat_values(list(net.parameters())), balancer.state_dict()
    told = step(net, optimizer, balancer, 10 * rows(), False, scaler)
    assert told["overflow"]
    assert torch.equal(flat_values(list(net.parameters())), before)
    assert all(torch.equal(balancer.state_dict()[key], value) for key, value in state.items())
    assert scaler.get_scale() == pytest.approx(1.5e38)
    for _ in range(100):
        told = step(net, optimizer, balancer, 10 * rows(), False, scaler)
    assert not told["overflow"]
    assert flat_values(list(net.parameters())).isfinite().all()


def test_half_precision_on_a_cpu() -> None:
    torch.manual_seed(0)
    net, scaler, balancer = Net(), torch.amp.GradScaler("cpu"), balancers.make("conicgrad", 3)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    values = []
    for _ in range(60):
        with torch.autocast("cpu", dtype=torch.float16):
            h = net.trunk(rows())
            losses = net.losses(rows(), h)
        optimizer.zero_grad()
        backward(losses, balancer, shared=net.trunk.parameters(), own=net.heads.parameters(), features=h, scaler=scaler)
        scaler.step(optimizer)
        scaler.update()
        values.append(float(torch.stack(losses).detach().sum()))
    assert values[-1] < values[0] / 2


def test_a_scaler_that_is_off_changes_nothing() -> None:
    torch.manual_seed(0)
    net = Net()
    told = backward(
        net.losses(rows()),
        balancers.make("mgda", 3),
        shared=net.trunk.parameters(),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
    )
    assert "overflow" not in told
    assert isinstance(net.heads, nn.ModuleList)


@pytest.mark.parametrize("name", [name for name in balancers.available() if balancers.make(name, 3).observes])
def test_batches_that_overflow_in_a_row_need_not_be_observed(name: str) -> None:
    """A scaler begins with too large a scale, and the warning about losses that were not told is an error here."""
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    balancer = balancers.make(name, 3)
    lost = [bool(step(net, optimizer, balancer, 1e3 * rows(0), False, scaler)["overflow"]) for _ in range(4)]
    assert all(lost)
