"""An update never waits for the device, so that a GPU is fed without a pause and the update can be captured."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mtrl_conic import balancers
from mtrl_conic.agents.mtsac import MTSAC
from mtrl_conic.agents.work import work_together

from .test_mtsac import SMALL, SPEC, make_batch

WAIT = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "_unique2", "_linalg_eigh"}
"""Operations whose result, or its shape, the host has to know; eigh looks at its error code."""


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
    for update in range(3):  # the first makes the optimisers' state
        with Waits() as mode:
            work_together([a.steps(make_batch(update)) for a in agents], [a.watch for a in agents])
    return mode.found


@pytest.mark.parametrize("balancer", balancers.available())
def test_no_update_waits(balancer: str) -> None:
    assert waits(balancer, **SMALL) == (["_linalg_eigh"] * 2 if balancer == "aligned_mtl" else [])


@pytest.mark.parametrize("network", ["shared", "multihead", "soft_modularization", "single_task"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_no_network_waits(network: str, seeds: int) -> None:
    assert waits("conicgrad", seeds=seeds, base="strong", width=16, network=network) == []


def test_waiting_is_noticed() -> None:
    with Waits() as mode:
        assert torch.ones(3).sum().item() == 3
    assert mode.found == ["_local_scalar_dense"]
