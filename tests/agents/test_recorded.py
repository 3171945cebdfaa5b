"""Tests that recorded updates equal ordinary ones.

Without a GPU, a list of the operations that an update calls replaces the CUDA graph. It is replayed on the same
tensors, as a graph is, so an update that keeps anything outside of tensors written in place fails here too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from mtrl_conic import balancers
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.execution import CudaGraph, Eager, make_execution
from mtrl_conic.execution import cuda_graph as recorded
from mtrl_conic.linalg import gram as gramian
from tests.networks.test_own_modules import Own as OwnTrunk

from .test_compiled import sizes
from .test_mtsac import SMALL, SPEC, make_batch, parameters

STRONG = {"base": "strong", "width": 24, "actor_width": 16, "batch_size": 6}
RECORDED = [name for name in balancers.available() if not balancers.make(name, 3).waits]


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record updates on the CPU, and return a list with the number of replays."""
    replays = [0]

    def record(function: Callable[..., Any], inputs: tuple[Any, ...]) -> tuple[Callable[[], None], Any]:
        kept: list[Any] = []

        def once(*given: Any) -> Any:
            kept.append(function(*given))
            return kept[0]

        operations = make_fx(once)(*inputs)
        for node in reversed(operations.graph.nodes):
            if "profiler" in str(node.target):  # their handles do not outlive the recording
                operations.graph.erase_node(node)
        operations.recompile()
        outputs = pytree.tree_map(torch.empty_like, kept[0])
        done = [kept[0]]  # tracing carries out the operations; recording a graph does not

        def replay() -> None:
            replays[0] += 1
            with torch.no_grad():
                found = done.pop() if done else operations(*inputs)
            pytree.tree_map(lambda to, value: to.copy_(value), outputs, found)

        return replay, outputs

    monkeypatch.setattr(recorded, "warm_up", lambda function, inputs: function(*inputs))
    monkeypatch.setattr(recorded, "record", record)
    monkeypatch.setattr(gramian, "_suits_compiled", lambda jacobian: False)  # it is not among torch's operations
    return replays


def distance(replays: list[int], *, updates: int = 7, **options: Any) -> float:
    """Return the largest difference between the parameters of two agents after ordinary and recorded updates."""
    ordinary, replayed = (MTSAC(SPEC, device="cpu", execution=way, **options) for way in (Eager(), CudaGraph()))
    for update in range(updates):
        batch = make_batch(update)
        rewards, ended = torch.full((3,), 1.0 + update), torch.zeros(3, dtype=torch.bool)
        for agent in (ordinary, replayed):
            agent.observe(batch.observations[:, 0].numpy(), rewards.numpy(), ended.numpy())
        told, found = ordinary.update(batch), replayed.update(batch)
        assert told.keys() == found.keys()
        torch.testing.assert_close(list(told.values()), list(found.values()), rtol=1e-6, atol=1e-7, equal_nan=True)
    assert replays[0] > 0
    return float((parameters(ordinary) - parameters(replayed)).abs().max())


OF_EACH_KIND = ("conicgrad", "famo", "gradnorm", "moco", "pcgrad")
"""From Gram matrix, losses or gradients; with and without random numbers, a state and a look at the batch after it."""


@pytest.mark.parametrize(
    "balancer", [pytest.param(name, marks=() if name in OF_EACH_KIND else pytest.mark.slow) for name in RECORDED]
)
def test_every_balancer(balancer: str, on_cpu: list[int]) -> None:
    assert distance(on_cpu, balancer=balancer, **SMALL) == 0


@pytest.mark.parametrize("network", ["shared", "multihead", "soft_modularization", "single_task"])
def test_every_network(network: str, on_cpu: list[int]) -> None:
    assert distance(on_cpu, balancer="conicgrad", network=network, **STRONG) == 0


@pytest.mark.parametrize(
    "option",
    [
        {"reset_every": 6},
        {"actor_every": 2},
        {"priority_exponent": 0.6},
        {"network_options": {"embedding": 5}},
        {"average_over": 3},
    ],
    ids=str,
)
def test_options(option: dict[str, Any], on_cpu: list[int]) -> None:
    """These options change from update to update what is computed, or in which tensors."""
    assert distance(on_cpu, updates=13, balancer="ls", **STRONG, **option) == 0


def test_loaded_agents_are_recorded_again(on_cpu: list[int]) -> None:
    """Optimisers keep the tensors that they are given, so an earlier recording would update the old ones."""
    one, other = (MTSAC(SPEC, balancer="ls", device="cpu", execution=way, **SMALL) for way in (Eager(), CudaGraph()))
    for update in range(14):
        if update == 7:
            for agent in (one, other):
                agent.load_state_dict(agent.state_dict())
        for agent in (one, other):
            agent.update(make_batch(update))
    assert torch.equal(parameters(one), parameters(other))
    assert on_cpu[0] > 4


def test_a_balancer_that_waits_is_not_recorded() -> None:
    for balancer, way in (("aligned_mtl", Eager), ("ls", CudaGraph)):
        agent = MTSAC(SPEC, balancer=balancer, device="cpu", execution=CudaGraph(), **SMALL)
        assert type(agent.execution) is way


def test_batches_of_several_sizes(on_cpu: list[int]) -> None:
    assert sizes(CudaGraph, balancer="conicgrad", **STRONG) < 1e-6  # a recording copies its inputs, which are slices
    assert on_cpu[0] > 0


def test_what_a_user_wrote_is_not_recorded() -> None:
    """Its Python code would not be executed again."""

    class Own(balancers.Balancer):
        calls = 0

        def balance(self, gramian: Tensor, losses: Tensor | None = None) -> balancers.Balance:
            self.calls += 1
            return balancers.Balance(torch.full(gramian.shape[:-1], 1 / self.calls, dtype=torch.float64), {})

    def trunk(*sizes: Any, generator: torch.Generator) -> nn.Module:
        return OwnTrunk(*sizes, generator=generator, middle=lambda width, generator: nn.Identity())

    for more in ({"balancer": Own(3)}, {"balancer": "ls", "network": trunk}):
        agent = MTSAC(SPEC, device="cpu", execution=CudaGraph(), **SMALL, **more)
        assert type(agent.execution) is Eager


def test_what_cannot_be_recorded_is_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(function: Callable[..., Any], inputs: tuple[Any, ...]) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nSearch for it elsewhere")

    monkeypatch.setattr(recorded, "warm_up", lambda function, inputs: function(*inputs))
    monkeypatch.setattr(recorded, "record", record)
    ways = Eager(), CudaGraph()
    ordinary, other = (MTSAC(SPEC, balancer="ls", device="cpu", execution=way, **SMALL) for way in ways)
    told = "^updates are not recorded: operation not permitted when stream is capturing$"
    for update in range(9):  # the first one compares gradients and is of another kind
        ordinary.update(make_batch(update))
        with pytest.warns(UserWarning, match=told) if update == 4 else nullcontext():
            other.update(make_batch(update))
    assert torch.equal(parameters(ordinary), parameters(other))


def test_updates_are_recorded_on_a_gpu_alone() -> None:
    chosen = {name: make_execution(torch.device(name), compile=False, cuda_graph=True) for name in ("cpu", "cuda")}
    assert {name: type(way) for name, way in chosen.items()} == {"cpu": Eager, "cuda": CudaGraph}
