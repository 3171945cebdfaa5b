"""Tests that compiled updates equal ordinary ones up to rounding."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic import balancers, networks
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.protocol import Batch
from mtrl_conic.balancers import Balance
from mtrl_conic.errors import UserError
from mtrl_conic.execution import COMPILED_AFTER, Compiled, Eager, make_execution
from mtrl_conic.execution.compiled import CompiledFunction, has_compiler
from mtrl_conic.runs.checking import check
from mtrl_conic.runs.config import make_config

from .test_mtsac import SMALL, SPEC, make_batch, parameters

needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no C++ compiler")
STRONG = {"base": "strong", "width": 24, "actor_width": 16, "batch_size": 6}


def distance(**options: Any) -> float:
    """Return the largest difference between the parameters of two agents after ordinary and compiled updates."""
    plain, compiled = (MTSAC(SPEC, device="cpu", execution=way, **options) for way in (Eager(), Compiled()))
    for update in range(4):
        told, found = (agent.update(make_batch(update)) for agent in (plain, compiled))
        assert told.keys() == found.keys()
        torch.testing.assert_close(told["critic/loss"], found["critic/loss"], rtol=1e-4, atol=1e-5)
    return float((parameters(plain) - parameters(compiled)).abs().max())


def sizes(ways: Callable[[], Eager], *, device: str = "cpu", **options: Any) -> float:
    """Like `distance`, of updates whose batches have different numbers of rows."""
    agents = [MTSAC(SPEC, device=device, execution=way, **options) for way in (Eager(), ways())]
    for update, rows in enumerate([4] * 6 + [3, 4, 3, 2, 3, 3, 3, 1, 4]):
        batch = Batch(*(part[:, :rows] for part in make_batch(update)[:5]))
        for agent in agents:
            agent.update(batch)
    return float((parameters(agents[0]) - parameters(agents[1])).abs().max())


@needs_compiler
@pytest.mark.parametrize(
    "options", [pytest.param(SMALL, id="classic"), pytest.param(STRONG, id="strong", marks=pytest.mark.slow)]
)
def test_batches_of_several_sizes(options: dict[str, Any]) -> None:
    """Such as the last one of an epoch; what was compiled for one size would be wrong for another."""
    assert sizes(Compiled, balancer="conicgrad", **options) < 1e-5


@needs_compiler
def test_a_backward_inside_is_compiled_too() -> None:
    blocked = []

    def slope(x: Tensor, scale: dict[str, Tensor]) -> dict[str, Tensor]:
        blocked.append(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))
        with torch.enable_grad():
            y = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad((y.exp() * scale["by"]).sum(), y)
        return {"gradient": gradient}

    compiled = CompiledFunction(slope)
    for seed in range(2):
        x, by = torch.randn(2, 5, generator=torch.Generator().manual_seed(seed))
        gradient = compiled(x, {"by": by})["gradient"]
        torch.testing.assert_close(gradient, x.exp() * by)
        assert not gradient.requires_grad
    assert blocked == [True], "Ctrl-C must not reach the C++ compiler"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@needs_compiler
def test_updates() -> None:
    assert distance(balancer="ls", network="multihead", **STRONG) < 1e-4


def test_auto_goes_by_the_updates_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "c++")
    execution = make_execution(torch.device("cpu"), compile="auto")
    assert isinstance(execution, Compiled)
    agent = MTSAC(SPEC, balancer="ls", device="cpu", execution=execution, **SMALL)
    compiled: list[str] = []
    monkeypatch.setattr(execution, "_compiled", lambda part, compare, function: compiled.append(part) or function)
    agent.updates = COMPILED_AFTER - 1
    agent.update(make_batch())
    assert compiled == []
    agent.update(make_batch())
    assert compiled == ["targets", "critic", "actor"]
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert type(make_execution(torch.device("cpu"), compile="auto")) is Eager


@needs_compiler
def test_networks_that_are_reset_are_compiled_again() -> None:
    assert distance(balancer="ls", reset_every=2, **SMALL) < 1e-5


@pytest.mark.parametrize("kind", [RuntimeError, PermissionError])
def test_where_the_compiler_fails_updates_go_on(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(operations: object, **options: object) -> Callable[..., Tensor]:
        def fail(*inputs: object) -> Tensor:
            raise kind("\n  error: no such header\nand a page more")

        return fail

    monkeypatch.setenv("CXX", "c++")
    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(UserWarning, match="^updates are not compiled: error: no such header$"):
        assert distance(balancer="pcgrad", **SMALL) < 1e-6


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("network", networks.available())
@pytest.mark.parametrize("base", ["classic", "strong"])
def test_every_network(network: str, base: str) -> None:
    assert distance(balancer="conicgrad", network=network, **(SMALL if base == "classic" else STRONG)) < 1e-4


def difference(name: str, **options: Any) -> float:
    """Return the largest difference of any number of a balancer whose weights are compiled, over a few updates."""
    plain, compiled = (balancers.make(name, 4, seed=3, **options) for _ in range(2))
    settle = CompiledFunction(compiled.settle, compiled.state.values)
    largest = 0.0
    for update in range(5):
        generator = torch.Generator().manual_seed(update)
        rows = torch.randn(4 * plain.batches, 6, dtype=torch.float64, generator=generator)
        losses = torch.rand(4 * plain.batches, dtype=torch.float64, generator=generator)
        expected, found = plain.settle(rows @ rows.mT, losses), settle(rows @ rows.mT, losses)
        assert expected.statistics.keys() == found.statistics.keys()
        numbers = [(expected.weights, found.weights), *zip(plain.state.values(), compiled.state.values(), strict=True)]
        numbers += [(value, found.statistics[name]) for name, value in expected.statistics.items()]
        largest = max(largest, *(float((a.double() - b.double()).abs().max()) for a, b in numbers))
    return largest


@needs_compiler
@pytest.mark.parametrize("name", ["pcgrad", "conicgrad"])
def test_weights_state_and_draws_of_a_compiled_balancer(name: str) -> None:
    """The tracing of a balancer executes it once, which must not count as an update."""
    assert difference(name) < 1e-12


@needs_compiler
def test_a_state_that_moves_before_the_first_update_counts_once() -> None:
    """A balancer replaces its state when its first input is on another device."""
    state = {"count": torch.zeros((), dtype=torch.int64)}
    counted = CompiledFunction(lambda x: x + state["count"].add_(1), lambda: state.values())
    state["count"] = state["count"].clone()
    assert [int(counted(torch.zeros(()))) for _ in range(3)] == [1, 2, 3]


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", balancers.available())
def test_every_balancer_that_is_compiled(name: str) -> None:
    made = balancers.make(name, 4)
    if made.traceable and made.compares_gradients:
        assert difference(name) < 1e-9


class Branching(balancers.Balancer):
    """A user's method with a branch on the values, as is common in code for a CPU."""

    paper = "none"

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        first = float(gramian[0, 0]) > float(gramian[1, 1])
        weights = torch.full(gramian.shape[:-1], 0.1, dtype=torch.float64)
        weights[0 if first else 1] = 1.0
        return Balance(weights, {})


@needs_compiler
def test_a_users_balancer_may_branch() -> None:
    """It is not traced, since a trace repeats the branch of the first update; neither is a subclass of a method."""
    assert distance(balancer=Branching, **SMALL) < 1e-6
    assert not type("Mine", (balancers.get("pcgrad"),), {})(3).traceable


def test_without_a_compiler_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    agent = MTSAC(SPEC, balancer="ls", device="cpu", execution=Compiled(), **SMALL)
    with pytest.raises(UserError, match=r"compile=true needs a C\+\+ compiler"):
        agent.update(make_batch())
    with pytest.raises(UserError, match=r"compile=true needs a C\+\+ compiler"):
        check(make_config("mt10_small", {"execution": {"compile": True}}))
