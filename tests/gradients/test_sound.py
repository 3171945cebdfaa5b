"""Gradients that are not finite, and arguments that do not fit: nothing changes, or zeros are written."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtrl_conic import balancers
from mtrl_conic.balancers import Balancer
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import Linear, TaskLinear, backward, task_gradients

K = 3
METHODS = ["ls", "rlw", "uw", "mgda", "moco"]


def losses_of(weight: Tensor, own: Tensor, *, bad: str) -> list[Tensor]:
    """Finite losses whose derivative in `weight` or `own` is infinite where they are zero."""
    finite = [weight[k].square() + own[k].square() + 1 for k in range(K)]
    steep = {"shared": weight, "own": own}.get(bad)
    return finite if steep is None else [loss + steep[k].abs().sqrt() for k, loss in enumerate(finite)]


def make(name: str, **options: Any) -> tuple[Balancer, nn.Parameter, nn.Parameter]:
    """Return a balancer after one valid update, and parameters that start at zero."""
    made = balancers.make(name, K, **options)
    weight, own = nn.Parameter(torch.ones(K)), nn.Parameter(torch.ones(K))
    backward(losses_of(weight, own, bad=""), made, shared=[weight], own=[own])
    return made, nn.Parameter(torch.zeros(K)), nn.Parameter(torch.zeros(K))


def same(made: Balancer, before: dict[str, Tensor]) -> bool:
    """Return whether the state is the earlier one, but for the count of draws."""
    return all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("bad", ["shared", "own"])
def test_an_infinite_gradient_raises_and_changes_nothing(name: str, bad: str) -> None:
    made, weight, own = make(name)
    before = made.state_dict()
    with pytest.raises(FloatingPointError, match=r"gradient of .* is not finite: nothing was changed"):
        backward(losses_of(weight, own, bad=bad), made, shared=[weight], own=[own])
    assert weight.grad is own.grad is None
    assert same(made, before)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("bad", ["shared", "own"])
def test_an_infinite_gradient_can_be_skipped(name: str, bad: str) -> None:
    made, weight, own = make(name, on_nonfinite="skip")
    before = made.state_dict()
    told = backward(losses_of(weight, own, bad=bad), made, shared=[weight], own=[own])
    assert told["skipped"]
    for parameter in (weight, own):
        assert parameter.grad is None or not parameter.grad.any()
    assert same(made, before)
    told = backward(losses_of(weight, own, bad=""), made, shared=[weight], own=[own])
    assert not told["skipped"]


def test_heads_alone_are_checked() -> None:
    """With a frozen trunk nothing is balanced, but the heads must not become NaN."""
    head = nn.Parameter(torch.ones(K))
    with pytest.raises(FloatingPointError, match="parameter 0 of own"):
        backward([head[0] * torch.nan, head[1], head[2]], balancers.make("mgda", K), shared=[], own=[head])
    assert head.grad is None


@pytest.mark.parametrize("name", ["ls", "uw", "mgda"])
@pytest.mark.parametrize("mode", ["raise", "skip"])
def test_written_gradients_are_checked(name: str, mode: str) -> None:
    """`write` of task gradients; the last layer of a task is at a point without a finite derivative."""
    net = nn.Sequential(Linear(4, 5), TaskLinear(K, 5, 1))
    nn.init.zeros_(net.get_parameter("1.weight"))
    nn.init.zeros_(net.get_parameter("1.bias"))
    made = balancers.make(name, K, on_nonfinite=mode)

    def losses(net: nn.Module, x: Tensor) -> tuple[Tensor, None]:
        return net(x).abs().sqrt().mean((1, 2)) + 1, None

    found, before = task_gradients(net, losses, torch.ones(K, 2, 4)), made.state_dict()
    if mode == "raise":
        with pytest.raises(FloatingPointError, match="not finite: nothing was changed"):
            found.write(net, made)
        assert all(parameter.grad is None for parameter in net.parameters())
    else:
        assert found.write(net, made)["skipped"]
        assert not any(parameter.grad.any() for parameter in net.parameters() if parameter.grad is not None)
    assert same(made, before)


def test_an_error_of_the_graph_does_not_count_as_an_update() -> None:
    net, made = nn.Linear(4, K), balancers.make("uw", K)
    losses = net(torch.randn(5, 4)).square().mean(0)
    backward(losses, made, shared=net.parameters())
    before = made.state_dict()
    with pytest.raises(UserError, match="has been freed"):
        backward(losses, made, shared=net.parameters())
    assert same(made, before)


def test_a_scalar_parameter_is_balanced() -> None:
    net, scale = nn.Linear(4, K), nn.Parameter(torch.tensor(1.5))
    losses = (scale * net(torch.randn(5, 4))).square().mean(0)
    flat = [*net.parameters(), scale]
    rows = [torch.autograd.grad(loss, flat, retain_graph=True) for loss in losses]
    jacobian = torch.stack([torch.cat([each.flatten() for each in row]) for row in rows])
    expected = balancers.make("mgda", K).direction(jacobian)
    backward(losses, balancers.make("mgda", K), shared=flat)
    torch.testing.assert_close(torch.cat([p.grad.flatten() for p in flat if p.grad is not None]), expected)

    class Scaled(nn.Module):
        """A scalar that is shared, before a layer of the package."""

        def __init__(self) -> None:
            super().__init__()
            self.scale, self.layer = nn.Parameter(torch.tensor(2.0)), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.layer(x) * self.scale
            return y

    module = Scaled()
    found = task_gradients(module, lambda net, x: (net(x).square().mean((1, 2)), None), torch.randn(K, 5, 4))
    assert found.jacobian().shape == (K, 6)
    found.write(module, balancers.make("mgda", K))
    assert module.scale.grad is not None
    assert module.scale.grad.shape == ()


def test_missing_tasks_keep_their_numbers_in_messages() -> None:
    net, made = nn.Linear(4, K), balancers.make("mgda", K)
    made.task_names = ("a", "b", "c")
    losses = net(torch.randn(5, 4)).square().mean(0)
    with pytest.raises(FloatingPointError, match=r"the loss of task 2 \(c\) is not finite"):
        backward([losses[0], None, losses[2] * torch.nan], made, shared=net.parameters())


def test_a_contained_preference_returns_after_a_batch_without_its_tasks() -> None:
    net, made = nn.Linear(4, K), balancers.make("crmogm", K, of="ls:preference=1+0+0", beta=0.0)
    losses = [net(torch.randn(5, 4)).square().mean(0) for _ in range(3)]
    first = backward(losses[0], made, shared=net.parameters())["weight"]
    backward([None, losses[1][1], losses[1][2]], made, shared=net.parameters())
    assert first.tolist() == backward(losses[2], made, shared=net.parameters())["weight"].tolist() == [1, 0, 0]


def test_arguments_that_do_not_fit_end_in_one_line() -> None:
    net, made = nn.Linear(4, K), balancers.make("mgda", K)
    features = net(torch.randn(5, 4)).detach().requires_grad_()
    number = nn.Parameter(torch.ones(K, dtype=torch.complex64))

    def losses() -> Tensor:
        return net(torch.randn(5, 4)).square().mean(0)

    wrong: list[tuple[str, Any]] = [
        ("must be a balancer, not 'mgda'", lambda: backward(losses(), "mgda", shared=net.parameters())),  # type: ignore[arg-type]
        ("state_dict", lambda: backward(losses(), made, shared=net.state_dict().values())),  # type: ignore[arg-type]
        (
            "list of tensors, not dict",
            lambda: backward(losses(), made, shared=net.parameters(), features={"a": features}),
        ),  # type: ignore[arg-type]
        (
            "without detaching",
            lambda: backward(features.square().mean(0), made, shared=net.parameters(), features=features),
        ),
        ("parameter is complex", lambda: backward(number.abs().square(), made, shared=[number])),
        ("whole number, not '3'", lambda: balancers.make("mgda", "3")),  # type: ignore[arg-type]
    ]
    for message, call in wrong:
        with pytest.raises(UserError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    backward((each for each in losses()), made, shared=net.parameters())  # type: ignore[arg-type]
