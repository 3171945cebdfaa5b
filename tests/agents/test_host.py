"""Tests that an update never waits for the device, so a GPU is kept busy and the update can be captured."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.distributed.tensor  # the first optimizer imports it, and it needs the true torch.Generator
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from mtrl_conic import balancers, networks
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.protocol import Batch
from mtrl_conic.linalg import gram as gramian
from tests.balancers.test_registry import CASES, few, run

from .test_mtsac import SMALL, SPEC, make_batch

WAIT = {
    "_local_scalar_dense",
    "nonzero",
    "is_nonzero",
    "equal",
    "masked_select",
    "_unique2",
    "_linalg_eigh",
    "lift_fresh",
}
"""Operations whose result, or its shape, the host has to know; eigh looks at its error code, `lift_fresh` is a list of
numbers made a tensor."""


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn off the compiled loop for processors, as on a GPU."""
    monkeypatch.setattr(gramian, "_suits_compiled", lambda jacobian: False)


class Waits(TorchDispatchMode):
    """Records the operations for whose result the host has to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in WAIT:
            self.found.append(name)
        return func(*args, **kwargs or {})


def waits(balancer: str, **options: Any) -> list[str]:
    agent = MTSAC(SPEC, balancer=balancer, device="cpu", **options)
    for update in range(3):  # the first update makes the optimisers' state
        batch = make_batch(update)
        with Waits() as mode:
            agent.update(batch)
    return mode.found


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_no_direction_waits(name: str, options: dict[str, Any]) -> None:
    balancer = balancers.make(name, 3, **options)
    balancer.on_nonfinite = "skip"
    run(balancer, few(3))  # the first calls keep constants on the device
    with Waits() as mode:
        run(balancer, few(3))
    assert mode.found == (["_linalg_eigh"] * 4 if balancer.waits else [])


@pytest.mark.parametrize("balancer", balancers.available())
def test_no_update_waits(balancer: str) -> None:
    assert waits(balancer, **SMALL) == (["_linalg_eigh"] * 2 if balancers.make(balancer, 3).waits else [])


@pytest.mark.parametrize("network", networks.available())
def test_no_network_waits(network: str) -> None:
    assert waits("conicgrad", base="strong", width=16, network=network) == []


def test_waiting_is_noticed() -> None:
    with Waits() as mode:
        assert torch.ones(3).sum().item() == 3
    assert mode.found == ["_local_scalar_dense"]


BATCH = make_batch()


class Crossings(TorchDispatchMode):
    """Records the operations between tensors on two devices."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **kwargs or {})
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        if len({tensor.device for tensor in tensors}) > 1:
            self.found.append(func.overloadpacket.__name__)
        return result


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """Put torch's meta device in the place of a GPU, and replace the functions that it does not support."""
    generator, device = torch.Generator, torch.device("meta")
    monkeypatch.setattr("mtrl_conic.agents.mtsac.agent.choose_device", lambda name: device)
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator())
    randn = torch.randn  # the generator above draws on the CPU only
    monkeypatch.setattr(torch, "randn", lambda *shape, generator, **options: randn(*shape, **options))
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())
    optimizer = sys.modules["torch.optim.optimizer"]  # torch.optim deletes the name
    monkeypatch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: ["cpu", "meta"])
    return device


@pytest.mark.parametrize("balancer", balancers.available())
def test_an_update_stays_on_its_device(balancer: str, elsewhere: torch.device) -> None:
    batch = Batch(*(torch.empty(part.shape, device=elsewhere) for part in BATCH if isinstance(part, torch.Tensor)))
    agent = MTSAC(SPEC, balancer=balancer, base="strong", width=16, network="multihead")
    agent.update(batch)  # a balancer's state moves to the device of its first input
    with Crossings() as mode:
        statistics = agent.update(batch)
    assert mode.found == []
    assert {value.device for value in statistics.values()} == {elsewhere}


@pytest.mark.parametrize("losses_on", ["cpu", "meta"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_a_direction_stays_on_the_device_of_the_gradients(name: str, options: dict[str, Any], losses_on: str) -> None:
    """Losses on another device are moved; a loop of one's own may keep them on the CPU."""
    balancer = balancers.make(name, 3, **options)
    balancer.on_nonfinite = "skip"
    rows = 3 * balancer.batches
    for _ in range(2):
        losses = torch.ones(rows, device=losses_on, dtype=torch.float64)
        direction = balancer.direction(torch.ones(rows, 7, device="meta", dtype=torch.float64), losses)
        balancer.observe(losses[:3])
    assert {value.device.type for value in (direction, *balancer.state.values())} == {"meta"}


def test_crossings_are_noticed() -> None:
    with Crossings() as mode:
        torch.ones(3).to("meta")
    assert mode.found == ["_to_copy"]
