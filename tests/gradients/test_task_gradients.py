"""Per-task gradients against K separate backward passes, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mtrl_conic import balancers
from mtrl_conic.gradients import (
    Factors,
    LayerNorm,
    Layout,
    Linear,
    TaskLinear,
    task_gradients,
)

K, B, INPUTS, WIDTH, OUTPUTS = 4, 6, 5, 70, 3


class Net(nn.Module):
    """A trunk with normalisation, and one head for all tasks or one per task."""

    def __init__(self, heads: bool, linear: Callable[..., nn.Module] = Linear) -> None:
        super().__init__()
        self.first = linear(INPUTS, WIDTH)
        self.norm = LayerNorm(WIDTH)
        self.second = linear(WIDTH, WIDTH)
        self.output = TaskLinear(K, WIDTH, OUTPUTS) if heads else linear(WIDTH, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.norm(self.first(x)))
        return self.output(torch.relu(self.second(hidden)))


def losses(net: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    values = net(x)
    return (values - y).square().mean((1, 2)), values.mean((1, 2))


def separate_backwards(net: nn.Module, *inputs: Tensor) -> list[dict[str, Tensor]]:
    values, _ = losses(net, *inputs)
    named = dict(net.named_parameters())
    rows = [torch.autograd.grad(value, list(named.values()), retain_graph=True) for value in values]
    return [dict(zip(named, row, strict=True)) for row in rows]


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(K, B, INPUTS, generator=generator), torch.randn(K, B, OUTPUTS, generator=generator)


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("heads", [False, True])
@pytest.mark.parametrize("linear", [Linear, nn.Linear], ids=["native", "fallback"])
def test_equal_to_separate_backwards(
    heads: bool, linear: Callable[..., nn.Module], data: tuple[Tensor, Tensor]
) -> None:
    torch.manual_seed(0)
    net = Net(heads, linear)
    assert Layout(net).native == (linear is Linear)
    gradients = task_gradients(net, losses, *data)
    expected = separate_backwards(net, *data)
    assert list(gradients.shared) == list(Layout(net).shared)
    for name, blocks in gradients.shared.items():
        for task in range(K):
            assert relative(blocks[task], expected[task][name]) < 1e-5
    assert set(gradients.own) == ({"output.weight", "output.bias"} if heads else set())
    for name, block in gradients.own.items():
        # Row k of a head's gradient comes from loss k alone: the plain one.
        assert relative(block, torch.stack([expected[task][name][task] for task in range(K)])) < 1e-5
    assert torch.equal(gradients.losses, losses(net, *data)[0]) or linear is nn.Linear
    assert torch.allclose(gradients.extra, losses(net, *data)[1], atol=1e-6)
    assert not gradients.losses.requires_grad
    assert not gradients.extra.requires_grad


def test_leaves_parameters_and_their_gradients_alone(data: tuple[Tensor, Tensor]) -> None:
    net = Net(True)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    task_gradients(net, losses, *data)
    for name, p in net.named_parameters():
        assert p.grad is None
        assert p.requires_grad
        assert torch.equal(p, before[name])
    assert net(data[0]).shape == (K, B, OUTPUTS)


def test_gramian_is_that_of_the_jacobian(data: tuple[Tensor, Tensor]) -> None:
    gradients = task_gradients(Net(False), losses, *data)
    jacobian = gradients.jacobian().double()
    assert jacobian.shape[0] == K
    assert relative(gradients.gramian, jacobian @ jacobian.mT) < 1e-6
    assert gradients.gramian.dtype == torch.float64


@pytest.mark.parametrize("linear", [Linear, nn.Linear], ids=["native", "fallback"])
def test_write_fills_gradients(linear: Callable[..., nn.Module], data: tuple[Tensor, Tensor]) -> None:
    net = Net(True, linear)
    expected = separate_backwards(net, *data)
    task_gradients(net, losses, *data).write(net, balancers.make("ls", K))
    for name, p in net.named_parameters():
        assert p.grad is not None
        if name.startswith("output"):
            plain = torch.stack([expected[task][name][task] for task in range(K)])
        else:
            plain = torch.stack([row[name] for row in expected]).mean(0)
        assert relative(p.grad, plain) < 1e-5


def test_write_reuses_gradients_in_place(data: tuple[Tensor, Tensor]) -> None:
    net = Net(False)
    task_gradients(net, losses, *data).write(net, balancers.make("ls", K))
    kept = [p.grad for p in net.parameters()]
    values = [g.clone() for g in kept if g is not None]
    task_gradients(net, losses, *data).write(net, balancers.make("ls", K))
    for p, grad, value in zip(net.parameters(), kept, values, strict=True):
        assert p.grad is grad
        assert torch.equal(grad, value)


@pytest.mark.parametrize("name", balancers.available())
def test_every_balancer_goes_through(name: str, data: tuple[Tensor, Tensor]) -> None:
    """What a balancer's weights or direction say of the Jacobian stands in the parameters' gradients."""
    torch.manual_seed(0)
    net = Net(True)
    gradients = task_gradients(net, losses, *data)
    statistics = gradients.write(net, balancers.make(name, K))
    named = dict(net.named_parameters())
    written = torch.cat([named[name].grad.flatten() for name in list(Layout(net).shared)])
    direction = balancers.make(name, K).direction(gradients.jacobian(), gradients.losses)
    assert torch.isfinite(written).all()
    assert relative(written, direction) < 1e-4
    assert balancers.get(name).needs == "jacobian" or statistics["weight"].shape == (K,)


def test_functions_of_a_batch_in_half_precision(data: tuple[Tensor, Tensor]) -> None:
    """Autocast outside: the gradients come back in the parameters' type, near the full ones."""
    net = Net(False)
    full = task_gradients(net, losses, *data)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = task_gradients(net, losses, *data)
    for name, block in half.shared.items():
        assert block.dtype == torch.float32
        cosine = nn.functional.cosine_similarity(block.flatten(), full.shared[name].flatten(), dim=0)
        assert cosine > 0.99


class Wide(nn.Module):
    """Few rows for its width, so that the weights' gradients stay factors; one layer is used twice."""

    def __init__(self, products: torch.dtype | None = None) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = Linear(INPUTS, WIDTH, generator=generator)
        self.again = Linear(WIDTH, WIDTH, generator=generator, products=products)
        self.output = Linear(WIDTH, OUTPUTS, generator=generator)
        self.unused = Linear(WIDTH, WIDTH, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.tanh(self.again(torch.tanh(self.again(torch.tanh(self.first(x)))))))


def test_factors_where_rows_are_few(data: tuple[Tensor, Tensor]) -> None:
    net = Wide()
    gradients = task_gradients(net, losses, *data)
    assert isinstance(gradients.parts["again.weight"], Factors)
    assert gradients.parts["again.weight"].left.shape == (K, 2 * B, WIDTH)
    assert isinstance(gradients.parts["output.weight"], Factors) == Factors.pay(torch.Size((K, B, WIDTH)), OUTPUTS)
    assert net.again.uses is None
    values, _ = losses(net, *data)
    names = [name for name in dict(net.named_parameters()) if "unused" not in name]
    wanted = [[dict(net.named_parameters())[name] for name in names]]
    rows = [torch.autograd.grad(value, wanted[0], retain_graph=True) for value in values]
    for place, name in enumerate(names):
        assert relative(gradients.shared[name], torch.stack([row[place] for row in rows])) < 1e-5, name
    assert not gradients.shared["unused.weight"].any()
    flat = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows]).double()
    assert relative(gradients.gramian, flat @ flat.mT) < 1e-6
    weights = torch.tensor([0.5, -1.0, 2.0, 0.1])
    combined = gradients.combine(weights)
    direction = torch.cat([combined[name].flatten() for name in names])
    assert relative(direction.double(), weights.double() @ flat) < 1e-5


def test_factors_throughout_where_nothing_is_compared(data: tuple[Tensor, Tensor]) -> None:
    net = Wide()
    compared, added = (task_gradients(net, losses, *data, compare=compare) for compare in (True, False))
    kept = {name for name, part in added.parts.items() if isinstance(part, Factors)}
    assert kept == {"first.weight", "again.weight", "output.weight"}
    weights = torch.tensor([0.5, -1.0, 2.0, 0.1])
    for name, wanted in compared.combine(weights).items():
        assert relative(added.combine(weights)[name], wanted) < 1e-5 or not wanted.any(), name


def test_factors_rounded_to_bfloat16_are_those_that_are_combined(data: tuple[Tensor, Tensor]) -> None:
    gradients = task_gradients(Wide(torch.bfloat16), losses, *data)
    factors = gradients.parts["again.weight"]
    assert isinstance(factors, Factors)
    assert factors.left.dtype == torch.bfloat16
    exact = torch.einsum("kbo,kbi->koi", factors.left.double(), factors.right.double()).flatten(1)
    assert relative(factors.gramian(), exact @ exact.mT) < 1e-6
    assert factors.product().dtype == factors.combine(torch.ones(K)).dtype == torch.float32
    assert relative(factors.combine(torch.ones(K)).flatten().double(), exact.sum(0)) < 1e-2


@pytest.mark.parametrize("tasks", [1, 2, 3, 10, 11])
@pytest.mark.parametrize("batch", [1, 7])
def test_factors_against_their_products(tasks: int, batch: int) -> None:
    generator = torch.Generator().manual_seed(tasks)
    factors = Factors(
        torch.randn(tasks, batch, 20, generator=generator), torch.randn(tasks, batch, 30, generator=generator)
    )
    flat = factors.product().double().flatten(1)
    assert relative(factors.gramian(), flat @ flat.mT) < 1e-6
    weights = torch.randn(tasks, generator=generator, dtype=torch.float64)
    assert relative(factors.combine(weights).double().flatten(), weights @ flat) < 1e-5


def test_own_parameters_are_detached() -> None:
    own = Layout(Net(True)).own_values()
    assert set(own) == {"output.weight", "output.bias"}
    assert not any(p.requires_grad for p in own.values())
    assert Layout(Net(False)).own_values() == {}


def test_first_layer_input_gradient(data: tuple[Tensor, Tensor]) -> None:
    """Gradients flow through a layer in per-task mode to an input that asks for them."""
    layer = Linear(INPUTS, 2)
    x = data[0].clone().requires_grad_()
    weight = layer.weight.detach().expand(K, -1, -1).requires_grad_()
    bias = layer.bias.detach().expand(K, -1).requires_grad_()
    torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,)).square().sum().backward()
    y = data[0].clone().requires_grad_()
    layer(y).square().sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert torch.allclose(x.grad, y.grad, atol=1e-6)
