"""Recorded updates equal ordinary ones.

Where there is no GPU, a list of the operations that an update calls stands in for the CUDA graph: it is replayed on the
same tensors, as a graph is, so whatever an update keeps elsewhere than in tensors written in place shows here too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from mtrl_conic import balancers
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.mtsac.updates import Updates
from mtrl_conic.execution import cuda_graph as recorded
from mtrl_conic.linalg import gram as gramian
from mtrl_conic.training.replay import Batch

from .test_mtsac import SMALL, SPEC, make_batch, parameters

STRONG = {"base": "strong", "width": 24, "actor_width": 16, "batch_size": 6}
RECORDED = [name for name in balancers.available() if not balancers.make(name, 3).waits]


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Updates are recorded on a CPU; the list holds how many were replayed."""
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
        done = [kept[0]]  # tracing carries the operations out, a graph's recording does not

        def replay() -> None:
            replays[0] += 1
            with torch.no_grad():
                found = done.pop() if done else operations(*inputs)
            pytree.tree_map(lambda to, value: to.copy_(value), outputs, found)

        return replay, outputs

    monkeypatch.setattr(recorded, "warm_up", lambda function, inputs: function(*inputs))
    monkeypatch.setattr(recorded, "record", record)
    monkeypatch.setattr(MTSAC, "records", property(lambda agent: agent.config.record_updates))
    monkeypatch.setattr(gramian, "_suits_compiled", lambda jacobian: False)  # a list of torch's operations lacks it
    return replays


def distance(replays: list[int], *, seeds: int = 1, updates: int = 7, **options: Any) -> float:
    """The largest difference of any number between ordinary and recorded updates."""
    ordinary, replayed = (
        [MTSAC(SPEC, seed=seed, device="cpu", record_updates=record, **options) for seed in range(seeds)]
        for record in (False, True)
    )
    make = [Updates(ordinary), Updates(replayed)]
    for update in range(updates):
        batches = [make_batch(10 * update + seed) for seed in range(seeds)]
        for agent in (*ordinary, *replayed):
            rewards, ended = torch.full((3,), 1.0 + update), torch.zeros(3, dtype=torch.bool)
            agent.observe(batches[0].observations[:, 0].numpy(), rewards.numpy(), ended.numpy())
        told, found = (each(batches) for each in make)
        for mine, theirs in zip(told, found, strict=True):
            assert mine.keys() == theirs.keys()
            torch.testing.assert_close(list(mine.values()), list(theirs.values()), rtol=1e-6, atol=1e-7, equal_nan=True)
    assert replays[0] > 0
    return max(
        float((parameters(one) - parameters(other)).abs().max()) for one, other in zip(ordinary, replayed, strict=True)
    )


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
    "option", [{"reset_every": 6}, {"actor_every": 2}, {"embedding": 5}, {"average_over": 3}], ids=str
)
def test_options(option: dict[str, Any], on_cpu: list[int]) -> None:
    """Those that change from update to update what is done, or in which tensors."""
    assert distance(on_cpu, updates=13, balancer="ls", **STRONG, **option) == 0


def test_several_seeds(on_cpu: list[int]) -> None:
    assert distance(on_cpu, seeds=3, balancer="pcgrad", **STRONG) < 1e-6


def test_loaded_agents_are_recorded_again(on_cpu: list[int]) -> None:
    """Optimisers take over the tensors they are given."""
    one, other = (MTSAC(SPEC, balancer="ls", device="cpu", record_updates=r, **SMALL) for r in (False, True))
    for update in range(14):
        if update == 7:
            for agent in (one, other):
                agent.load_state_dict(agent.state_dict())
        for agent in (one, other):
            agent.update(make_batch(update))
    assert torch.equal(parameters(one), parameters(other))
    assert on_cpu[0] > 4


def test_a_balancer_that_waits_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    records = {}
    for balancer in ("aligned_mtl", "ls"):
        agent = MTSAC(SPEC, balancer=balancer, device="cpu", record_updates=True, **SMALL)
        assert not agent.records
        monkeypatch.setattr(agent, "device", torch.device("cuda"))
        records[balancer] = agent.records
    assert records == {"aligned_mtl": False, "ls": True}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("balancer", RECORDED if torch.cuda.is_available() else ["any"])
def test_on_a_gpu(balancer: str, seeds: int) -> None:  # pragma: no cover  # no GPU in continuous integration
    agents = [
        [MTSAC(SPEC, balancer=balancer, seed=s, device="cuda", record_updates=r, **STRONG) for s in range(seeds)]
        for r in (False, True)
    ]
    make = [Updates(each) for each in agents]
    for update in range(45):  # an update that compares gradients comes every tenth time
        batches = [Batch(*(part.cuda() for part in make_batch(10 * update + seed))) for seed in range(seeds)]
        for each in make:
            each(batches)
    for one, other in zip(*agents, strict=True):
        torch.testing.assert_close(parameters(one), parameters(other), rtol=1e-4, atol=1e-5)
