"""A balanced backward in anyone's loop, against K separate backwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mtrl_conic import balancers
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import backward
from tests.gradients.loop import INPUTS, WIDTH, K, Net, flat_gradients, given, jacobian, relative, rows, with_features


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


@pytest.mark.parametrize("name", balancers.available())
def test_every_method_as_of_separate_backwards(name: str, net: Net) -> None:
    trunk, heads = list(net.trunk.parameters()), list(net.heads.parameters())
    losses = net.losses(rows())
    wanted = balancers.make(name, K).direction(jacobian(losses, trunk), torch.stack(losses))
    plain = torch.autograd.grad(sum(losses), heads, retain_graph=True)
    balancer = balancers.make(name, K)
    statistics = backward(given(losses, balancer), balancer, shared=net.trunk.parameters(), own=net.heads.parameters())
    assert relative(flat_gradients(trunk), wanted) < 1e-5
    for parameter, gradient in zip(heads, plain, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert ("weight" in statistics) == (balancer.needs != "jacobian" or name == "excessmtl")
    assert ("cosine" in statistics) == (balancer.needs in ("gramian", "jacobian"))


@pytest.mark.parametrize("name", with_features())
def test_features_are_compared_in_the_place_of_parameters(name: str, net: Net) -> None:
    trunk = list(net.trunk.parameters())
    h = net.trunk(rows())
    losses = net.losses(rows(), h)
    at_features = torch.stack([torch.autograd.grad(loss, h, retain_graph=True)[0].flatten() for loss in losses])
    wanted = balancers.make(name, K).direction(at_features, torch.stack(losses)).view_as(h)
    through = torch.autograd.grad(h, trunk, wanted, retain_graph=True)
    backward(losses, balancers.make(name, K), shared=trunk, own=net.heads.parameters(), features=h)
    for parameter, gradient in zip(trunk, through, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_several_batches_are_compared_with_each_other(net: Net) -> None:
    trunk, heads = list(net.trunk.parameters()), list(net.heads.parameters())
    losses = [net.losses(rows(seed)) for seed in (0, 1)]
    wanted = balancers.make("modo", K).direction(torch.cat([jacobian(batch, trunk) for batch in losses]))
    means = torch.autograd.grad(sum(map(sum, losses)) / 2, heads, retain_graph=True)
    told = backward(losses, balancers.make("modo", K), shared=trunk, own=heads, retain_graph=True)
    assert relative(flat_gradients(trunk), wanted) < 1e-5
    for parameter, gradient in zip(heads, means, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert told["weight"].shape == told["gradient_norm"].shape == (K,)
    assert told["weight"].sum() == pytest.approx(1)
    net.zero_grad()
    backward(torch.stack([torch.stack(batch) for batch in losses]), balancers.make("modo", K), shared=trunk)
    assert relative(flat_gradients(trunk), wanted) < 1e-5


def counted_backwards(layer: nn.Module, run: Callable[[], object]) -> int:
    count = 0

    def count_one(*_: object) -> None:
        nonlocal count
        count += 1

    handle = layer.register_full_backward_hook(count_one)
    run()
    handle.remove()
    return count


@pytest.mark.parametrize(
    ("name", "mode", "passes"),
    [("uw", "parameters", 1), ("ls", "features", 1), ("mgda", "features", 1), ("mgda", "parameters", K)],
)
def test_passes_through_the_trunk(name: str, mode: str, passes: int, net: Net) -> None:
    def run() -> None:
        h = net.trunk(rows())
        features = h if mode == "features" else None
        own = net.heads.parameters()
        backward(
            net.losses(rows(), h), balancers.make(name, K), shared=net.trunk.parameters(), own=own, features=features
        )

    assert counted_backwards(net.trunk[2], run) == passes


def test_one_tensor_of_losses_is_as_good_as_a_list(net: Net) -> None:
    trunk, heads = list(net.trunk.parameters()), list(net.heads.parameters())
    backward(net.losses(rows()), balancers.make("cagrad", K), shared=trunk, own=heads)
    listed = flat_gradients(trunk + heads)
    net.zero_grad()
    with torch.no_grad():
        backward(
            torch.enable_grad()(lambda: torch.stack(net.losses(rows())))(),
            balancers.make("cagrad", K),
            shared=trunk,
            own=heads,
        )
    torch.testing.assert_close(flat_gradients(trunk + heads), listed)


def test_a_batch_for_each_task(net: Net) -> None:
    trunk = list(net.trunk.parameters())
    losses = [net.losses(rows(task))[task] for task in range(K)]
    wanted = balancers.make("pcgrad", K).direction(jacobian(losses, trunk))
    backward(losses, balancers.make("pcgrad", K), shared=trunk, own=net.heads.parameters())
    assert relative(flat_gradients(trunk), wanted) < 1e-5


def test_adds_to_what_is_there(net: Net) -> None:
    parameters = list(net.parameters())
    trunk, heads = list(net.trunk.parameters()), list(net.heads.parameters())
    backward(net.losses(rows()), balancers.make("mgda", K), shared=trunk, own=heads)
    kept, once = [p.grad for p in parameters], flat_gradients(parameters)
    backward(net.losses(rows()), balancers.make("mgda", K), shared=trunk, own=heads)
    torch.testing.assert_close(flat_gradients(parameters), 2 * once)
    assert all(p.grad is before for p, before in zip(parameters, kept, strict=True))


def test_gradients_share_no_memory() -> None:
    """Autograd gives one tensor for both summands: clipping in place would then act twice."""
    a, b = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    for name in ("ls", "mgda"):
        a.grad = b.grad = None
        y = a + b
        backward([y.square().sum(), y.sum()], balancers.make(name, 2), shared=[a, b])
        assert a.grad is not None
        assert b.grad is not None
        before = b.grad.clone()
        a.grad.zero_()
        assert torch.equal(b.grad, before)


@pytest.mark.parametrize("name", ["ls", "uw", "conicgrad", "graddrop"])
@pytest.mark.parametrize("features", [False, True])
def test_frozen_parameters_stay_frozen_and_out_of_the_gram_matrix(name: str, features: bool, net: Net) -> None:
    net.trunk[0].requires_grad_(False)
    net.heads[1].requires_grad_(False)
    h = net.trunk(rows())
    losses = net.losses(rows(), h)
    free = list(net.trunk[2].parameters())
    norms = jacobian(losses, free).double().norm(dim=1)
    statistics = backward(
        losses,
        balancers.make(name, K),
        shared=net.trunk.parameters(),
        own=net.heads.parameters(),
        features=h if features else None,
    )
    for parameter in net.parameters():
        assert (parameter.grad is not None) == parameter.requires_grad
    if name in ("conicgrad", "graddrop") and not features:
        torch.testing.assert_close(statistics["gradient_norm"], norms, rtol=1e-5, atol=0)


def test_nothing_shared_is_left_to_train(net: Net) -> None:
    net.trunk.requires_grad_(False)
    h = net.trunk(rows())
    losses = net.losses(rows(), h)
    plain = torch.autograd.grad(sum(losses), list(net.heads.parameters()), retain_graph=True)
    told = backward(
        losses, balancers.make("mgda", K), shared=net.trunk.parameters(), own=net.heads.parameters(), features=h
    )
    assert told == {}
    torch.testing.assert_close([p.grad for p in net.heads.parameters()], list(plain))


@pytest.mark.parametrize("name", ["ls", "mgda", "graddrop"])
def test_unused_parameters_are_left_as_torch_leaves_them(name: str, net: Net) -> None:
    unused, lonely = nn.Linear(2, 2), nn.Linear(2, 2)
    shared, own = [*net.trunk.parameters(), *unused.parameters()], [*net.heads.parameters(), *lonely.parameters()]
    backward(net.losses(rows()), balancers.make(name, K), shared=shared, own=own)
    assert all(p.grad is None for p in [*unused.parameters(), *lonely.parameters()])
    assert all(p.grad is not None for p in net.parameters())


def test_tied_parameters_count_once(net: Net) -> None:
    net.trunk[2].weight = nn.Parameter(torch.randn(WIDTH, WIDTH) / 4)
    tied = nn.Linear(WIDTH, WIDTH)
    tied.weight = net.trunk[2].weight
    h = torch.tanh(tied(net.trunk(rows())))
    shared = [*net.trunk.parameters(), *tied.parameters()]
    unique = list(dict.fromkeys(shared))
    assert len(unique) < len(shared)
    losses = net.losses(rows(), h)
    wanted = balancers.make("mgda", K).direction(jacobian(losses, unique))
    backward(losses, balancers.make("mgda", K), shared=shared, own=net.heads.parameters())
    assert relative(flat_gradients(unique), wanted) < 1e-5


def test_shared_parameters_above_the_features_are_weighted_with_them(net: Net) -> None:
    between = nn.Linear(WIDTH, WIDTH)
    shared = [*net.trunk.parameters(), *between.parameters()]
    h = net.trunk(rows())
    losses = net.losses(rows(), between(h))
    told = backward(losses, balancers.make("mgda", K), shared=shared, features=h, retain_graph=True)
    weighted = (told["weight"].float() * torch.stack(losses)).sum()
    for parameter, gradient in zip(shared, torch.autograd.grad(weighted, shared), strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_a_way_around_the_features_is_followed(net: Net) -> None:
    """A skip connection from the first layer to the heads: weights that fit the features are applied to all of it."""
    trunk = list(net.trunk.parameters())
    first = net.trunk[1](net.trunk[0](rows()))
    h = net.trunk[3](net.trunk[2](first))
    losses = net.losses(rows(), h + first)
    told = backward(losses, balancers.make("mgda", K), shared=trunk, features=h, retain_graph=True)
    weighted = (told["weight"].float() * torch.stack(losses)).sum()
    for parameter, gradient in zip(trunk, torch.autograd.grad(weighted, trunk), strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_several_features() -> None:
    """Of which one is computed from another: what reaches the first by the second belongs to the second."""
    torch.manual_seed(0)
    below, deeper = nn.Linear(INPUTS, WIDTH), nn.Linear(WIDTH, WIDTH)
    heads = nn.ModuleList(nn.Linear(2 * WIDTH, 1) for _ in range(K))
    shared = [*below.parameters(), *deeper.parameters()]

    def losses_of(parts: list[Tensor]) -> list[Tensor]:
        return [head(torch.cat(parts, -1)).square().mean() for head in heads]

    first = torch.tanh(below(rows()))
    parts = [first, torch.tanh(deeper(first))]
    apart = [part.detach().requires_grad_() for part in parts]
    balancer = balancers.make("cagrad", K)
    wanted = balancer.direction(jacobian(losses_of(apart), apart)).split([part.numel() for part in parts])  # type: ignore[arg-type]
    seeds = [part.view_as(tensor) for part, tensor in zip(wanted, parts, strict=True)]
    through = torch.autograd.grad(parts, shared, seeds, retain_graph=True)
    with pytest.raises(UserError, match="computed from another"):
        backward(losses_of(parts), balancer, shared=shared, features=parts)
    views = [part.view_as(part) for part in parts]
    backward(losses_of(views), balancer, shared=shared, features=views)
    for parameter, gradient in zip(shared, through, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_retained_graphs_can_be_used_again(net: Net) -> None:
    trunk = list(net.trunk.parameters())
    losses = net.losses(rows())
    for name in ("ls", "mgda", "uw"):
        backward(losses, balancers.make(name, K), shared=trunk, own=net.heads.parameters(), retain_graph=True)
    sum(losses).backward()  # type: ignore[union-attr]  # not an int: there are losses


@pytest.mark.parametrize("name", ["ls", "mgda"])
def test_a_freed_graph(name: str, net: Net) -> None:
    losses = net.losses(rows())
    backward(losses, balancers.make(name, K), shared=net.trunk.parameters(), own=net.heads.parameters())
    with pytest.raises(UserError, match="has been freed"):
        backward(losses, balancers.make(name, K), shared=net.trunk.parameters(), own=net.heads.parameters())


def test_what_does_not_fit_is_told_in_one_line(net: Net) -> None:
    trunk, heads = list(net.trunk.parameters()), list(net.heads.parameters())
    make = balancers.make
    losses = net.losses(rows())
    wrong: list[tuple[str, Callable[[], object]]] = [
        ("2 losses for a balancer of 3 tasks", lambda: backward(losses[:2], make("ls", K), shared=trunk)),
        (r"not \(3, 8\)", lambda: backward(torch.ones(3, 8, requires_grad=True), make("ls", K), shared=trunk)),
        (
            r"task 1 must be a scalar tensor, not \(8,\)",
            lambda: backward([losses[0], torch.ones(8, requires_grad=True), losses[2]], make("ls", K), shared=trunk),
        ),
        (
            "task 2 must be a scalar tensor, not float",
            lambda: backward([*losses[:2], 1.0], make("ls", K), shared=trunk),
        ),  # type: ignore[list-item]
        ("task 0 has no graph", lambda: backward([losses[0].detach(), *losses[1:]], make("ls", K), shared=trunk)),
        (
            r"parameter 1 of own, of shape \(6, 4\), is also in shared",
            lambda: backward(losses, make("ls", K), shared=trunk, own=[heads[0], trunk[0]]),
        ),
        ("shared must be parameters, not a Sequential", lambda: backward(losses, make("ls", K), shared=net.trunk)),  # type: ignore[arg-type]
        (
            "own must be parameters, not a tuple",
            lambda: backward(losses, make("ls", K), shared=trunk, own=net.heads.named_parameters()),
        ),  # type: ignore[arg-type]
        ("features have no graph", lambda: backward(losses, make("mgda", K), shared=trunk, features=torch.ones(2))),
        (
            "does not depend on features",
            lambda: backward(losses, make("mgda", K), shared=trunk, features=net.trunk(rows())),
        ),
        (
            "moco combines gradients of several batches",
            lambda: backward(losses, make("moco", K), shared=trunk, features=net.trunk(rows())),
        ),
        (
            "modo combines gradients of several batches",
            lambda: backward([losses] * 2, make("modo", K), shared=trunk, features=net.trunk(rows())),
        ),
        (
            "modo takes 2 independent batches: pass a list of 2",
            lambda: backward(losses, make("modo", K), shared=trunk),
        ),
        ("modo takes 2 independent", lambda: backward(torch.stack(losses), make("modo", K), shared=trunk)),
        ("2 losses for a balancer of 3", lambda: backward([losses, losses[:2]], make("modo", K), shared=trunk)),
        (
            "all of them must have the same tasks",
            lambda: backward([losses, [*losses[:2], None]], make("modo", K), shared=trunk),
        ),
        ("init_process_group", lambda: backward(losses, make("mgda", K), shared=trunk, process_group=True)),
    ]
    for message, call in wrong:
        with pytest.raises(UserError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_checkpointed_trunks(net: Net) -> None:
    trunk, x = list(net.trunk.parameters()), rows().requires_grad_()
    wanted = balancers.make("mgda", K).direction(jacobian(net.losses(x), trunk))
    h = checkpoint(net.trunk, x, use_reentrant=False)
    backward(net.losses(x, h), balancers.make("mgda", K), shared=trunk, own=net.heads.parameters())
    assert relative(flat_gradients(trunk), wanted) < 1e-5
    old = checkpoint(net.trunk, x, use_reentrant=True)
    with pytest.raises(UserError, match="use_reentrant=False"):
        backward(net.losses(x, old), balancers.make("mgda", K), shared=trunk)


def test_sparse_embeddings_are_refused() -> None:
    table = nn.Embedding(10, WIDTH, sparse=True)
    h = table(torch.arange(4))
    losses = [h.square().sum(), h.sum()]
    with pytest.raises(UserError, match=r"of shape \(10, 6\) has a sparse gradient.*sparse=False"):
        backward(losses, balancers.make("mgda", 2), shared=table.parameters())


def test_layers_that_overwrite_their_input_and_mix_rows() -> None:
    """Dropout, batch normalisation and ReLU in place in a shared batch: K backwards of one forward."""
    torch.manual_seed(0)
    trunk = nn.Sequential(
        nn.Linear(INPUTS, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(inplace=True), nn.Dropout(0.2), nn.Linear(WIDTH, WIDTH)
    )
    heads = nn.ModuleList(nn.Linear(WIDTH, 1) for _ in range(K))
    h = trunk(rows())
    losses = [(head(h) - task).square().mean() for task, head in enumerate(heads)]
    wanted = balancers.make("mgda", K).direction(jacobian(losses, list(trunk.parameters())))
    backward(losses, balancers.make("mgda", K), shared=trunk.parameters(), own=heads.parameters())
    assert relative(flat_gradients(list(trunk.parameters())), wanted) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_types_are_kept(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    net = Net().to(dtype)
    h = net.trunk(rows().to(dtype))
    losses = [head(h).square().mean() for head in net.heads]
    for name in ("ls", "mgda", "graddrop", "uw"):
        backward(
            losses,
            balancers.make(name, K),
            shared=net.trunk.parameters(),
            own=net.heads.parameters(),
            features=h,
            retain_graph=True,
        )
    assert all(p.grad is not None and p.grad.dtype == dtype for p in net.parameters())


@pytest.mark.parametrize("name", ["uw", "mgda", "graddrop", "conicgrad"])
def test_a_batch_that_is_not_finite(name: str, net: Net) -> None:
    """An error that leaves gradients and state alone, or a batch that is left out, of the heads as well."""
    unused = nn.Linear(2, 2)
    shared = [*net.trunk.parameters(), *unused.parameters()]
    balancer = balancers.make(name, K)
    state = balancer.state_dict()
    with pytest.raises(FloatingPointError):
        backward(net.losses(rows() * torch.inf), balancer, shared=shared, own=net.heads.parameters())
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(value, state[key]) for key, value in balancer.state.items())
    skipping = balancers.make(name, K, on_nonfinite="skip")
    backward(net.losses(rows() * torch.inf), skipping, shared=shared, own=net.heads.parameters())
    assert not any(p.grad is None or p.grad.any() for p in net.parameters())
    backward(net.losses(rows()), skipping, shared=shared, own=net.heads.parameters())
    assert all(p.grad is not None and p.grad.any() for p in net.heads.parameters())
