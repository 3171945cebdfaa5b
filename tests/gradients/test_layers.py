"""Layers people have, under `task_gradients`: as K separate backwards give it, or one line that says what to do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mtrl_conic import balancers
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import (
    LayerNorm,
    Layout,
    Linear,
    TaskEmbedding,
    TaskLayerNorm,
    TaskLinear,
    task_gradients,
)
from mtrl_conic.gradients.separate import are_separate

K, B, T, FEATURES, WIDTH = 3, 4, 7, 5, 6


def losses(net: nn.Module, x: Tensor) -> tuple[Tensor, None]:
    return net(x).square().flatten(1).mean(1), None


def separate(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """By name (K, *S), from a forward and a backward for each task on its own rows."""
    rows = []
    for task in range(K):
        loss = losses(net, x[task : task + 1])[0].sum()
        rows.append(torch.autograd.grad(loss, list(net.parameters()), materialize_grads=True))
    return {
        name: torch.stack(row) for name, row in zip(dict(net.named_parameters()), zip(*rows, strict=True), strict=True)
    }


def check(net: nn.Module, x: Tensor) -> None:
    state = {name: value.clone() for name, value in net.state_dict().items()}
    wanted = separate(net, x)
    after = {name: value.clone() for name, value in net.named_buffers()}
    net.load_state_dict(state)
    found = task_gradients(net, losses, x)
    assert found.shared.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found.shared[name], value, rtol=1e-4, atol=1e-6, msg=name)
    for name, value in net.named_buffers():
        torch.testing.assert_close(value, after[name], msg=name)


class OnSequences(nn.Module):
    """A layer on rows (K B, T, F) with something around it."""

    def __init__(self, layer: nn.Module, features: int) -> None:
        super().__init__()
        self.layer, self.out = layer, nn.Linear(features, 2)

    def forward(self, x: Tensor) -> Tensor:
        made = self.layer(x.flatten(0, 1))
        made = made[0] if isinstance(made, tuple) else made
        y: Tensor = self.out(made).unflatten(0, x.shape[:2])
        return y


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.attention = nn.Linear(FEATURES, WIDTH), nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.into(x)
        y: Tensor = self.attention(h, h, h)[0]
        return y


def encoder(dropout: float) -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 2 * WIDTH, dropout=dropout, batch_first=True)
    return nn.Sequential(nn.Linear(FEATURES, WIDTH), layer)


class Normed(nn.Module):
    """Batch normalisation over all rows that a forward is given."""

    def __init__(self, linear: Callable[..., nn.Module], **options: bool) -> None:
        super().__init__()
        self.first, self.norm, self.last = linear(FEATURES, WIDTH), nn.BatchNorm1d(WIDTH, **options), linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        y: Tensor = self.last(torch.tanh(self.norm(h.flatten(0, 1)).view_as(h)))
        return y


class Checkpointed(nn.Module):
    def __init__(self, linear: Callable[..., nn.Module], reentrant: bool = False) -> None:
        super().__init__()
        self.first, self.last, self.reentrant = linear(FEATURES, WIDTH), linear(WIDTH, 2), reentrant
        self.middle = nn.Sequential(linear(WIDTH, WIDTH), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = checkpoint(self.middle, self.first(x), use_reentrant=self.reentrant)  # type: ignore[assignment]
        y: Tensor = self.last(h)
        return y


SEQUENCES: dict[str, Callable[[], nn.Module]] = {
    "gru": lambda: OnSequences(nn.GRU(FEATURES, WIDTH, batch_first=True), WIDTH),
    "rnn": lambda: OnSequences(nn.RNN(FEATURES, WIDTH, num_layers=2, batch_first=True), WIDTH),
    "lstm": lambda: OnSequences(nn.LSTM(FEATURES, WIDTH, batch_first=True), WIDTH),
    "attention": lambda: OnSequences(Attention(), WIDTH),
    "transformer": lambda: OnSequences(encoder(0.0), WIDTH),
}
ROWS: dict[str, Callable[[], nn.Module]] = {
    "batch norm": lambda: Normed(nn.Linear),
    "batch norm, the package's layers": lambda: Normed(Linear),
    "batch norm without parameters": lambda: Normed(Linear, affine=False),
    "batch norm without statistics": lambda: Normed(Linear, affine=False, track_running_stats=False),
    "batch norm that is frozen": lambda: Normed(nn.Linear).eval(),
    "relu in place": lambda: nn.Sequential(Linear(FEATURES, WIDTH), nn.ReLU(inplace=True), Linear(WIDTH, 2)),
    "relu in place after a norm": lambda: nn.Sequential(
        Linear(FEATURES, WIDTH), LayerNorm(WIDTH), nn.ReLU(inplace=True), Linear(WIDTH, 2)
    ),
    "relu in place, torch's layers": lambda: nn.Sequential(nn.Linear(FEATURES, WIDTH), nn.ReLU(inplace=True)),
    "checkpoints": lambda: Checkpointed(nn.Linear),
    "checkpoints, the package's layers": lambda: Checkpointed(Linear),
}


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize("kind", SEQUENCES)
def test_layers_on_sequences(kind: str) -> None:
    torch.manual_seed(0)
    check(SEQUENCES[kind](), torch.randn(K, B, T, FEATURES))


@pytest.mark.parametrize("kind", ROWS)
def test_layers_on_rows(kind: str) -> None:
    torch.manual_seed(0)
    check(ROWS[kind](), torch.randn(K, B, FEATURES))


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_dropout_draws_for_each_task() -> None:
    """The masks of a task differ from those of another; what is kept is right, seen where all rows are equal."""
    torch.manual_seed(0)
    x = torch.ones(1, 1, FEATURES).expand(K, 64, FEATURES)
    for linear in (Linear, nn.Linear):
        net = nn.Sequential(linear(FEATURES, WIDTH), nn.Dropout(0.5), linear(WIDTH, 2))
        bias = task_gradients(net, losses, x).shared["0.bias"]
        assert not torch.allclose(bias[0], bias[1], rtol=1e-2)
        many = torch.stack([task_gradients(net, losses, x).shared["0.bias"] for _ in range(60)]).mean((0, 1))
        # The mean loss under inverted dropout has the gradient of the loss and of the variance that it adds.
        again = torch.stack([separate(net, x)["0.bias"] for _ in range(60)]).mean((0, 1))
        assert float((many - again).norm() / again.norm()) < 0.1
    task_gradients(OnSequences(encoder(0.1), WIDTH), losses, torch.randn(K, B, T, FEATURES))


def test_the_packages_layers_on_sequences() -> None:
    """(K, B, T, F) is (K, B T, F) to every one of them, alone and together."""
    torch.manual_seed(0)
    x = torch.randn(K, B, T, FEATURES)
    net = nn.Sequential(Linear(FEATURES, WIDTH), nn.Tanh(), LayerNorm(WIDTH), Linear(WIDTH, 2))
    assert Layout(net).native
    check(net, x)
    own = nn.Sequential(TaskEmbedding(K, 2), TaskLinear(K, FEATURES + 2, WIDTH), TaskLayerNorm(K, WIDTH))
    torch.testing.assert_close(own(x), own(x.flatten(1, 2)).unflatten(1, (B, T)))
    assert task_gradients(own, losses, x).own["1.weight"].shape == (K, WIDTH, FEATURES + 2)


def test_embeddings() -> None:
    torch.manual_seed(0)
    ids = torch.randint(0, 10, (K, B))
    check(nn.Sequential(nn.Embedding(10, WIDTH), nn.Linear(WIDTH, 2)), ids)
    for last in (nn.Linear(WIDTH, 2), Linear(WIDTH, 2)):
        with pytest.raises(UserError, match=r"of shape \(10, 6\) has a sparse gradient.*sparse=False"):
            task_gradients(nn.Sequential(nn.Embedding(10, WIDTH, sparse=True), last), losses, ids)


def test_layers_that_mix_tasks_are_found_out() -> None:
    """A mean over the rows of all tasks, in one backward through the package's layers."""

    class Centred(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean((0, 1))

    net = nn.Sequential(Linear(FEATURES, WIDTH), Centred(), Linear(WIDTH, 2))
    with pytest.raises(UserError, match=r"depends on the rows of others.*mtrl_conic.gradients.backward"):
        task_gradients(net, losses, torch.randn(K, B, FEATURES))


@pytest.mark.parametrize("wrong", range(K))
def test_any_loss_that_depends_on_other_rows_is_found(wrong: int) -> None:
    """In one backward pass through the package's layers the gradients cannot be separated."""

    def mixed(net: nn.Module, x: Tensor) -> tuple[Tensor, None]:
        of_rows, _ = losses(net, x)
        return of_rows + of_rows.roll(1) * (torch.arange(K) == wrong), None

    with pytest.raises(UserError, match=r"depends on the rows of others"):
        task_gradients(nn.Sequential(Linear(FEATURES, 1)), mixed, torch.randn(K, B, FEATURES))


class Encoders(nn.Module):
    """A layer for each task, selected by the position of the task's rows."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(FEATURES, WIDTH) for _ in range(K))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([layer(rows) for layer, rows in zip(self.layers, x, strict=False)])


class Numbered(nn.Module):
    """A learned vector for each position, added to the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Embedding(K, FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.vectors(torch.arange(len(x))).unsqueeze(1)
        return y


class Centred(nn.Module):
    """Rows relative to the mean over the tasks."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


WHOLE: dict[str, Callable[[], nn.Module]] = {
    "a layer for each position": lambda: nn.Sequential(Encoders(), nn.ReLU(), nn.Linear(WIDTH, 2)),
    "a vector for each position": lambda: nn.Sequential(Numbered(), nn.Linear(FEATURES, 2)),
    "a mean over the tasks": lambda: nn.Sequential(nn.Linear(FEATURES, WIDTH), Centred(), nn.Linear(WIDTH, 2)),
    "a layer for each position, zero at first": lambda: _zeroed(
        nn.Sequential(nn.Linear(FEATURES, FEATURES), Encoders())
    ),
    "a layer for each position, dropout": lambda: nn.Sequential(Encoders(), nn.Dropout(0.0), nn.Linear(WIDTH, 2)),
    "a layer for each position, task layers": lambda: nn.Sequential(Encoders(), TaskLinear(K, WIDTH, 2)),
}


def _zeroed(net: nn.Module) -> nn.Module:
    for parameter in net[1].parameters():  # type: ignore[index]
        nn.init.zeros_(parameter)
    return net


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_modules_that_need_the_rows_of_all_tasks(kind: str, offset: float) -> None:
    """They select parameters by position or mix tasks; the gradients of each loss still come out."""
    torch.manual_seed(0)
    net, x = WHOLE[kind](), torch.randn(K, B, FEATURES)

    def shifted(net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        y = net(x)
        return (y - offset).square().mean((1, 2)), y.mean((1, 2))

    found = task_gradients(net, shifted, x)
    expected, extra = shifted(net, x)
    torch.testing.assert_close(found.losses, expected)
    torch.testing.assert_close(found.extra, extra)
    names = dict(net.named_parameters())
    rows = [
        torch.autograd.grad(loss, list(names.values()), retain_graph=True, materialize_grads=True) for loss in expected
    ]
    for name, *of_tasks in zip(names, *rows, strict=True):
        if name in found.own:
            torch.testing.assert_close(found.own[name], sum(of_tasks))
        else:
            torch.testing.assert_close(found.shared[name], torch.stack(of_tasks))
    assert net.training


def test_the_check_leaves_random_numbers_and_statistics_alone() -> None:
    net = nn.Sequential(nn.Linear(FEATURES, WIDTH), nn.Dropout(0.5), OnSequences(nn.BatchNorm1d(WIDTH), WIDTH))
    x, random, before = torch.randn(K, B, FEATURES), torch.get_rng_state(), copy.deepcopy(net.state_dict())
    assert are_separate(Layout(net), losses, (x,))
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(module.training for module in net.modules())


@pytest.mark.parametrize("linear", [Linear, nn.Linear], ids=["package", "torch"])
@pytest.mark.parametrize("rows", [2, K])
def test_a_shared_batch_is_refused(linear: Callable[..., nn.Module], rows: int) -> None:
    """K losses of one batch, of as many rows as there are tasks, or of another number.

    With as many rows and layers of others, every loss gets a backward pass of its own, which is right for them, too.
    """

    def of_columns(net: nn.Module, x: Tensor) -> tuple[Tensor, None]:
        return net(x).square().flatten(0, -2).mean(0), None

    for shape in ((rows, FEATURES), (rows, T, FEATURES)):
        if linear is nn.Linear and rows == K:
            net, x = nn.Sequential(linear(FEATURES, K)), torch.randn(shape)
            (expected,) = torch.autograd.grad(of_columns(net, x)[0][1], net.get_parameter("0.weight"))
            torch.testing.assert_close(task_gradients(net, of_columns, x).shared["0.weight"][1], expected)
            continue
        with pytest.raises(UserError, match=r"mtrl_conic.gradients.backward") as caught:
            task_gradients(nn.Sequential(linear(FEATURES, K)), of_columns, torch.randn(shape))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("linear", [Linear, nn.Linear], ids=["package", "torch"])
def test_one_loss_for_each_task(linear: Callable[..., nn.Module]) -> None:
    net, x = nn.Sequential(linear(FEATURES, 2)), torch.randn(K, B, FEATURES)
    wrong: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [
        ("reduce them to one number per task", lambda net, x: (net(x).square().mean(-1), None), (x,)),
        ("must return a pair", lambda net, x: net(x).square().mean((1, 2)), (x,)),
        ("no common task axis", lambda net, x, y: (net(x).mean((1, 2)), None), (x, torch.ones(2))),
        ("no common task axis", lambda net, x, y: (net(x).mean((1, 2)), None), (x, 1.0)),
        ("no common task axis", lambda net: (net(x).mean((1, 2)), None), ()),
    ]
    for message, function, inputs in wrong:
        with pytest.raises(UserError, match=message) as caught:
            task_gradients(net, function, *inputs)
        assert "\n" not in str(caught.value)
    assert task_gradients(net, losses, x).extra is None


@pytest.mark.parametrize("kind", ["package", "torch", "gru"])
@pytest.mark.parametrize("name", ["ls", "conicgrad"])
def test_frozen_parameters(kind: str, name: str) -> None:
    """Half of a layer, a whole layer, and a task layer."""
    torch.manual_seed(0)
    first: nn.Module = {"package": Linear, "torch": nn.Linear, "gru": nn.Linear}[kind](FEATURES, WIDTH)
    last = TaskLinear(K, WIDTH, 2)
    middle = Recurrent() if kind == "gru" else Linear(WIDTH, WIDTH)
    net, x = nn.Sequential(first, nn.Tanh(), middle, last), torch.randn(K, B, FEATURES)
    full = task_gradients(net, losses, x)
    frozen = {"0.weight", "3.bias", *(f"2.{name}" for name, _ in list(middle.named_parameters())[:1])}
    for each in frozen:
        net.get_parameter(each).requires_grad_(False)
    found = task_gradients(net, losses, x)
    assert found.shared.keys() == full.shared.keys() - frozen
    assert found.own.keys() == full.own.keys() - frozen
    for each, value in (found.shared | found.own).items():
        torch.testing.assert_close(value, (full.shared | full.own)[each])
    flat = torch.cat([value.flatten(1) for value in found.shared.values()], 1).double()
    torch.testing.assert_close(found.gramian, flat @ flat.mT, rtol=1e-5, atol=1e-9)
    found.write(net, balancers.make(name, K))
    assert {each for each, p in net.named_parameters() if p.grad is None} == frozen


class Recurrent(nn.Module):
    """One step of a GRU on each row: a module that is taken task after task."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.flatten(0, 1).unsqueeze(1))[0].view_as(x)
        return y


@pytest.mark.parametrize("linear", [Linear, nn.Linear], ids=["package", "torch"])
def test_checkpoints_of_the_old_kind(linear: Callable[..., nn.Module]) -> None:
    with pytest.raises(UserError, match="use_reentrant=False"):
        task_gradients(Checkpointed(linear, reentrant=True), losses, torch.randn(K, B, FEATURES))
