"""What must hold on a CUDA GPU: the numbers of the CPU, updates recorded or compiled, runs that stop and resume."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.errors import Interrupted
from mtrl_conic.execution import Compiled, CudaGraph, Eager
from mtrl_conic.gradients import backward
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.loading import load_agent
from mtrl_conic.runs.run import train
from mtrl_conic.schema import parse
from mtrl_conic.supervised.config import SupervisedConfig
from mtrl_conic.supervised.training import train as train_supervised
from tests.agents.test_compiled import sizes
from tests.agents.test_mtsac import SPEC, make_batch, parameters
from tests.agents.test_recorded import RECORDED, STRONG
from tests.balancers.test_registry import CASES, few, run
from tests.gradients.loop import K, Net, given, rows, with_features
from tests.reliability.chaos import run_numbers
from tests.supervised.conftest import write_census
from tests.training.conftest import tiny_values

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU and MTRL_CONIC_TEST_GPU=1")


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_directions_are_those_of_the_cpu(name: str, options: dict[str, Any]) -> None:
    jacobians = few(5, dim=60)
    expected = run(balancers.make(name, 5, **options), jacobians)
    balancer = balancers.make(name, 5, **options)
    found = run(balancer, [jacobian.cuda() for jacobian in jacobians])
    assert all(direction.is_cuda for direction in found)
    assert all(value.is_cuda for value in balancer.state.values())
    for direction, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(direction.cpu(), wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", balancers.available())
def test_gradients_that_are_not_finite_raise(name: str) -> None:
    balancer = balancers.make(name, 3)
    jacobian = few(3, count=1, dim=60)[0].cuda()
    losses = torch.tensor([1.0, torch.nan, 1.0], device="cuda")
    with pytest.raises(FloatingPointError, match="not finite"):
        balancer.direction(jacobian * losses.unsqueeze(1), losses)


LOOPS = [(name, False) for name in balancers.available()] + [(name, True) for name in with_features()]


@pytest.mark.parametrize(("name", "features"), LOOPS)
def test_own_loops_with_a_gradient_scaler(name: str, features: bool) -> None:
    """In float16 with a scaler, which reaches its scale by overflowing first."""
    torch.manual_seed(0)
    net = Net().cuda()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cuda", init_scale=2.0**60, growth_interval=10**6)
    balancer, before, made = balancers.make(name, K), net.trunk[0].weight.detach().clone(), 0
    for number in range(60):
        x = rows(number).cuda()
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.float16):
            h = net.trunk(x)
            losses = [loss.float() for loss in net.losses(x, h)]
        told = backward(
            given(losses, balancer),
            balancer,
            shared=net.trunk.parameters(),
            own=net.heads.parameters(),
            features=h if features else None,
            scaler=scaler,
        )
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        if balancer.observes and not told["overflow"]:
            with torch.no_grad():
                balancer.observe(torch.stack(net.losses(x)))
        made += not told["overflow"]
    assert made > 5
    after = net.trunk[0].weight
    assert after.isfinite().all()
    assert not torch.equal(after, before)


def updated(way: Callable[[], Eager], updates: int = 45, **options: Any) -> Tensor:
    """Parameters after updates on the GPU; every tenth one also compares gradients."""
    agent = MTSAC(SPEC, device="cuda", execution=way(), **{**STRONG, **options})
    for update in range(updates):
        agent.update(make_batch(update))  # it is moved to the agent's device
    return parameters(agent)


@pytest.mark.parametrize("balancer", RECORDED)
def test_recorded_updates_equal_ordinary_ones(balancer: str) -> None:
    found, expected = (updated(way, balancer=balancer) for way in (CudaGraph, Eager))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_batches_of_several_sizes_are_recorded() -> None:
    assert sizes(CudaGraph, device="cuda", balancer="conicgrad", **STRONG) < 1e-5


@pytest.mark.parametrize("network", ["multihead", "soft_modularization", "single_task"])
def test_other_networks_are_recorded(network: str) -> None:
    found, expected = (updated(way, balancer="conicgrad", network=network) for way in (CudaGraph, Eager))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("base", ["strong", "classic"])
def test_compiled_updates_equal_ordinary_ones(base: str) -> None:
    found, expected = (updated(way, updates=12, balancer="conicgrad", base=base) for way in (Compiled, Eager))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def on_gpu(**more: Any) -> RunConfig:
    values = tiny_values()
    values["execution"] = {"device": "cuda", "threads": 1} | more
    return parse(RunConfig, values)


@pytest.mark.parametrize("record_updates", [False, True])
def test_a_run_resumes(tmp_path: Path, record_updates: bool) -> None:
    config = on_gpu(record_updates=record_updates)
    train(config, tmp_path / "whole")
    calls = iter(range(10**6))
    with pytest.raises(Interrupted):
        train(config, tmp_path / "parts", interrupted=lambda: next(calls) > 80)
    train(config, tmp_path / "parts")
    found, expected = (list(leaves(run_numbers(tmp_path / name))) for name in ("parts", "whole"))
    if record_updates:  # a graph may sum in another order than the first updates, which are not recorded
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6, nan_ok=True)
    else:
        assert found == expected


def leaves(values: Any) -> Iterator[float]:
    """All numbers of nested lists and dicts."""
    if isinstance(values, list | dict):
        for value in values.values() if isinstance(values, dict) else values:
            yield from leaves(value)
    elif isinstance(values, int | float):
        yield float(values)


def test_a_run_is_loaded_on_a_cpu(tmp_path: Path) -> None:
    train(on_gpu(), tmp_path)
    actions = []
    for device in ("cuda", "cpu"):
        loaded = load_agent(tmp_path, device=device)
        observations = np.random.default_rng(0).normal(size=(3, loaded.agent.spec.observation_dim)).astype(np.float32)
        actions.append(loaded.agent.act(observations, deterministic=True))
        loaded.envs.close()
    np.testing.assert_allclose(*actions, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("devices", [("cuda", "cpu"), ("cpu", "cuda")], ids="-".join)
def test_a_run_resumes_on_another_device(tmp_path: Path, devices: tuple[str, str]) -> None:
    first, second = (on_gpu(device=device) for device in devices)
    calls = iter(range(10**6))
    with pytest.raises(Interrupted):
        train(first, tmp_path, interrupted=lambda: next(calls) > 80)
    assert train(second, tmp_path, allow_changes=True)["step"] == 150


def test_supervised_training(tmp_path: Path) -> None:
    data = write_census(tmp_path / "data")
    values = {"problem": "census", "data": str(data), "epochs": 2, "batch_size": 64, "balancer": "conicgrad"}
    losses = []
    for device in ("cuda", "cpu"):
        config = SupervisedConfig.complete({**values, "execution": {"device": device, "threads": 1}})
        train_supervised(config, tmp_path / device)
        last = (tmp_path / device / "metrics.jsonl").read_text().splitlines()[-1]
        losses.append(torch.tensor([*json.loads(last)["loss"].values()]))
    torch.testing.assert_close(*losses, rtol=0.05, atol=0.02)
