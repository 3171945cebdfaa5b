"""Gradients of tasks that share their rows, against plain autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mtrl_conic import balancers
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import TaskLinear
from mtrl_conic.supervised.gradients import check, write_gradients
from mtrl_conic.supervised.network import BatchedHeads, Outputs, SeparateHeads, TaskNetwork
from mtrl_conic.supervised.networks.segnet import mtan

K, B = 3, 16


def batched() -> TaskNetwork:
    return TaskNetwork(nn.Sequential(nn.Linear(5, 8), nn.Tanh()), BatchedHeads(TaskLinear(K, 8, 1)), K)


def separate() -> TaskNetwork:
    return TaskNetwork(nn.Sequential(nn.Linear(5, 8), nn.Tanh()), SeparateHeads(nn.Linear(8, 1) for _ in range(K)), K)


class Common(nn.Module):
    """A head that multiplies by what all heads share."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Linear(8, 1)

    def forward(self, shared: nn.Module, x: Tensor) -> Tensor:
        made: Tensor = self.own(torch.tanh(shared(x)))
        return made


def branching() -> TaskNetwork:
    heads = SeparateHeads((Common() for _ in range(K)), shared=nn.Linear(8, 8))
    return TaskNetwork(nn.Sequential(nn.Linear(5, 8), nn.Tanh()), heads, K)


def losses_of(outputs: Outputs) -> Tensor:
    goals = torch.linspace(-1, 1, K)
    return torch.stack([(out.reshape(-1) - goal).square().mean() for out, goal in zip(outputs, goals, strict=True)])


def plain(network: TaskNetwork, weights: Tensor) -> dict[str, Tensor]:
    """Gradient of the weighted sum for what is shared, of the plain sum for the heads."""
    found = {}
    losses = losses_of(network(rows()))
    names, parameters = zip(*network.named_parameters(), strict=True)
    shared = network.trunk_parameters() | network.branch_parameters()
    weighted = torch.autograd.grad((weights.to(losses) * losses).sum(), parameters, retain_graph=True)
    unweighted = torch.autograd.grad(losses.sum(), parameters)
    for name, own, common in zip(names, unweighted, weighted, strict=True):
        found[name] = common if name in shared else own
    return found


def rows() -> Tensor:
    return torch.randn(B, 5, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("make", [batched, separate, branching])
@pytest.mark.parametrize("mode", ["parameters", "representation"])
@pytest.mark.parametrize("name", ["ls", "uw", "mgda", "gradops", "conicgrad"])
def test_gradients_are_those_of_the_weighted_sum(make, mode, name) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    network = make()
    _, told = write_gradients(network, [(losses_of, [rows()])], balancers.make(name, K), mode=mode)
    for parameter, expected in plain(network, told["weight"]).items():
        actual = network.get_parameter(parameter).grad
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6, msg=parameter)


@pytest.mark.parametrize("make", [batched, branching])
def test_the_balancer_sees_exact_gradients(make) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    network = make()
    losses = losses_of(network(rows()))
    shared = list((network.trunk_parameters() | network.branch_parameters()).values())
    jacobian = torch.stack(
        [torch.cat([g.flatten() for g in torch.autograd.grad(loss, shared, retain_graph=True)]) for loss in losses]
    )
    expected = balancers.make("mgda", K).weights(jacobian @ jacobian.mT)
    _, told = write_gradients(network, [(losses_of, [rows()])], balancers.make("mgda", K), mode="parameters")
    torch.testing.assert_close(told["weight"], expected, rtol=1e-3, atol=1e-5)
    norms = torch.linalg.vector_norm(jacobian, dim=1).double()
    torch.testing.assert_close(told["gradient_norm"], norms, rtol=1e-4, atol=1e-7)


def test_the_representation_is_what_the_heads_see() -> None:
    torch.manual_seed(0)
    network = batched()
    (z,) = network.represent([rows()])
    z = z.detach().requires_grad_()
    losses = losses_of(network.heads(network.heads.copies((z,), K)))
    jacobian = torch.stack([torch.autograd.grad(loss, z, retain_graph=True)[0].flatten() for loss in losses])
    expected = balancers.make("mgda", K).weights(jacobian @ jacobian.mT)
    _, told = write_gradients(network, [(losses_of, [rows()])], balancers.make("mgda", K), mode="representation")
    torch.testing.assert_close(told["weight"], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("mode", ["parameters", "representation"])
def test_a_direction_without_weights(mode) -> None:  # type: ignore[no-untyped-def]
    """GradDrop on equal losses keeps every sign: the gradient of their sum."""
    torch.manual_seed(0)
    network = batched()
    with torch.no_grad():
        for parameter in network.heads.parameters():
            parameter.copy_(parameter[:1].expand_as(parameter).clone())

    def same(outputs: Outputs) -> Tensor:
        return torch.stack([out.square().mean() for out in outputs])

    write_gradients(network, [(same, [rows()])], balancers.make("graddrop", K), mode=mode)
    trunk = network.trunk_parameters()
    expected = torch.autograd.grad(same(network(rows())).sum(), list(trunk.values()))
    for parameter, gradient in zip(trunk.values(), expected, strict=True):
        assert parameter.grad is not None
        ratio = parameter.grad / gradient
        torch.testing.assert_close(ratio, ratio.flatten()[0].expand_as(ratio), rtol=1e-3, atol=1e-5)
        assert ratio.flatten()[0] > 0


def test_attention_branches_share_what_the_paper_shares() -> None:
    """All gradients of an MTAN equal those of plain autograd, the convolutions between masks included."""
    torch.manual_seed(0)
    network = mtan([4, 1], widths=(4, 4, 8, 8, 8)).eval()
    image = torch.randn(2, 3, 32, 32)

    def losses(outputs: Outputs) -> Tensor:
        return torch.stack([out.square().mean() for out in outputs])

    assert any("heads.shared.up" in name for name in network.branch_parameters())
    _, told = write_gradients(network, [(losses, [image])], balancers.make("cagrad", 2), mode="parameters")
    values = losses(network(image))
    shared = network.trunk_parameters() | network.branch_parameters()
    expected = torch.autograd.grad((told["weight"].float() * values).sum(), list(shared.values()), allow_unused=True)
    for (name, parameter), gradient in zip(shared.items(), expected, strict=True):
        wanted = torch.zeros_like(parameter) if gradient is None else gradient
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("make", [batched, separate, branching])
def test_several_batches_are_compared_with_each_other(make) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    network = make()
    parts = [rows(), 2 * rows().flip(0)]
    shared = list((network.trunk_parameters() | network.branch_parameters()).values())
    own = list(network.own_parameters().values())
    values = [losses_of(network(part)) for part in parts]
    found = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, shared, retain_graph=True)])
        for batch in values
        for loss in batch
    ]
    heads = torch.autograd.grad(sum(batch.sum() for batch in values) / 2, own)
    expected = balancers.make("modo", K).direction(torch.stack(found))
    losses, told = write_gradients(
        network, [(losses_of, [part]) for part in parts], balancers.make("modo", K), mode="parameters"
    )
    written = torch.cat([parameter.grad.flatten() for parameter in shared])
    torch.testing.assert_close(written, expected, rtol=1e-4, atol=1e-6)
    for parameter, gradient in zip(own, heads, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses, torch.stack(values).mean(0).detach())
    assert told["weight"].shape == told["gradient_norm"].shape == (K,)


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(UserError, match="moco combines gradients of several batches"):
        check(balancers.make("moco", K), "representation")
    with pytest.raises(UserError, match="sdmgrad combines gradients of several batches"):
        check(balancers.make("sdmgrad", K, sampling="triple"), "representation")
    check(balancers.make("sdmgrad", K), "representation")
