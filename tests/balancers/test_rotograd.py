from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mtrl_conic.errors import UserError
from mtrl_conic.supervised.rotograd import RotoGrad


def loss_gradients(module: RotoGrad, targets: Tensor, representation: Tensor) -> Tensor:
    """Return the gradients of <r_k, t_k> with respect to each task's own rows."""
    rows = representation.expand(module.num_tasks, -1, -1).clone().requires_grad_()
    (module(rows) * targets).sum().backward()
    assert rows.grad is not None
    return rows.grad


def parts(num_tasks: int = 3, dim: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(num_tasks, 5, dim, generator=generator),
        torch.randn(5, dim, generator=generator),
    )


def test_starts_as_the_identity_and_stays_orthogonal() -> None:
    targets, representation = parts()
    module = RotoGrad(3, 4)
    torch.testing.assert_close(module(representation), representation.expand(3, -1, -1))
    optimizer = torch.optim.Adam(module.rotations(), lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        loss_gradients(module, targets, representation)
        optimizer.step()
    eye = torch.eye(4).expand(3, -1, -1)
    torch.testing.assert_close(module.rotation @ module.rotation.mT, eye, rtol=0, atol=1e-5)
    assert (module.rotation - eye).abs().max() > 0.1


def test_gradients_come_back_with_equal_length() -> None:
    targets, representation = parts()
    targets = targets * torch.tensor([0.1, 1.0, 10.0])[:, None, None]
    module = RotoGrad(3, 4)
    back = loss_gradients(module, targets, representation)
    lengths = back.norm(dim=(1, 2))
    torch.testing.assert_close(lengths, targets.norm(dim=(1, 2)).mean().expand(3))
    torch.testing.assert_close(back / lengths[:, None, None], targets / targets.norm(dim=(1, 2))[:, None, None])


def test_slow_tasks_set_the_length() -> None:
    targets, representation = parts()
    module = RotoGrad(3, 4)
    loss_gradients(module, targets, representation)
    first = targets.norm(dim=(1, 2))
    targets = targets * torch.tensor([1.0, 1e-3, 1e-3])[:, None, None]
    lengths = loss_gradients(module, targets, representation).norm(dim=(1, 2))
    torch.testing.assert_close(lengths, first[0].expand(3), rtol=0.01, atol=0)


def test_without_scale_the_gradient_is_the_plain_one() -> None:
    targets, representation = parts()
    torch.testing.assert_close(loss_gradients(RotoGrad(3, 4, scale=False), targets, representation), targets)


def test_rotations_learn_to_align_the_gradients() -> None:
    targets, representation = parts()
    module = RotoGrad(3, 4)
    optimizer = torch.optim.Adam(module.rotations(), lr=0.05)

    def alignment() -> float:
        units = nn.functional.normalize(loss_gradients(module, targets, representation).flatten(1))
        return float((units @ units.mT).mean())

    before = alignment()
    for _ in range(200):
        optimizer.zero_grad()
        loss_gradients(module, targets, representation)
        optimizer.step()
    assert alignment() > before + 0.2


def test_trains_with_a_trunk_and_heads_and_is_saved() -> None:
    torch.manual_seed(0)
    trunk, module, heads = nn.Linear(3, 4), RotoGrad(2, 4), nn.ModuleList([nn.Linear(4, 1) for _ in range(2)])
    inputs, wanted = torch.randn(16, 3), torch.randn(2, 16, 1)
    network = torch.optim.Adam([*trunk.parameters(), *heads.parameters()], lr=0.01)
    rotations = torch.optim.Adam(module.rotations(), lr=0.001)
    values = []
    for _ in range(200):
        views = module(torch.tanh(trunk(inputs)))
        loss = sum(((head(view) - target) ** 2).mean() for head, view, target in zip(heads, views, wanted, strict=True))
        network.zero_grad()
        rotations.zero_grad()
        loss.backward()
        network.step()
        rotations.step()
        values.append(loss.item())
    assert values[-1] < values[0]
    other = RotoGrad(2, 4)
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(other.rotation, module.rotation)
    torch.testing.assert_close(other.first, module.first)


def test_zero_gradients_and_wrong_shapes() -> None:
    module = RotoGrad(3, 4)
    back = loss_gradients(module, torch.zeros(3, 5, 4), torch.ones(5, 4))
    torch.testing.assert_close(back, torch.zeros(3, 5, 4))
    with pytest.raises(UserError, match="was built for"):
        module(torch.zeros(5, 3))
    with pytest.raises(UserError, match="at least 1"):
        RotoGrad(0, 3)
