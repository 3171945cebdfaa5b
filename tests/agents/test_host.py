"""An update never waits for the device, so that a GPU is fed without a pause and the update can be captured."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from mtrl_conic import balancers
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.mtsac.updates import Updates
from mtrl_conic.linalg import gram as gramian
from mtrl_conic.training.replay import Batch

from .test_mtsac import SMALL, SPEC, A, B, K, make_batch

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
    """Without the loop that is compiled for processors."""
    monkeypatch.setattr(gramian, "_suits_compiled", lambda jacobian: False)


class Waits(TorchDispatchMode):
    """Counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in WAIT:
            self.found.append(name)
        return func(*args, **kwargs or {})


def waits(balancer: str, *, seeds: int = 1, **options: Any) -> list[str]:
    agents = [MTSAC(SPEC, balancer=balancer, seed=seed, device="cpu", **options) for seed in range(seeds)]
    updates = Updates(agents)
    for update in range(3):  # the first makes the optimisers' state
        batches = [make_batch(update)] * seeds
        with Waits() as mode:
            updates(batches)
    return mode.found


@pytest.mark.parametrize("balancer", balancers.available())
def test_no_update_waits(balancer: str) -> None:
    assert waits(balancer, **SMALL) == (["_linalg_eigh"] * 2 if balancers.make(balancer, 3).waits else [])


@pytest.mark.parametrize("network", ["shared", "multihead", "soft_modularization", "single_task"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_no_network_waits(network: str, seeds: int) -> None:
    assert waits("conicgrad", seeds=seeds, base="strong", width=16, network=network) == []


def test_waiting_is_noticed() -> None:
    with Waits() as mode:
        assert torch.ones(3).sum().item() == 3
    assert mode.found == ["_local_scalar_dense"]


class Crossings(TorchDispatchMode):
    """Notes the operations between tensors of two devices."""

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
    """Torch's device without content, in the place of a GPU, with all that it lacks of one."""
    generator, device = torch.Generator, torch.device("meta")
    monkeypatch.setattr("mtrl_conic.agents.mtsac.agent.choose_device", lambda name: device)
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator())
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())
    optimizer = sys.modules["torch.optim.optimizer"]  # torch.optim deletes the name
    monkeypatch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: ["cpu", "meta"])
    noises = torch.empty(2, K, B, A, device=device)
    monkeypatch.setattr(MTSAC, "draw", lambda agent, batch: (batch, noises))
    return device


@pytest.mark.parametrize("balancer", balancers.available())
def test_an_update_stays_on_its_device(balancer: str, elsewhere: torch.device) -> None:
    agent = MTSAC(SPEC, balancer=balancer, base="strong", width=16, network="multihead")
    batch = Batch(*(part.to(elsewhere) for part in make_batch()))
    agent.update(batch)  # a balancer's state follows its first input
    with Crossings() as mode:
        statistics = agent.update(batch)
    assert mode.found == []
    assert {value.device for value in statistics.values()} == {elsewhere}


def test_crossings_are_noticed() -> None:
    with Crossings() as mode:
        torch.ones(3).to("meta")
    assert mode.found == ["_to_copy"]
