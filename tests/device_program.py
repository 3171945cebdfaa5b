"""Runs balancers and updates on a second device that computes shapes and devices but no values; prints what went wrong.

Anything that reads a value, for which a GPU would have to be waited for, is an error there. It is a process of its own,
because the device, the replaced functions and the tensors that are cached on it remain until the process ends.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
import torch._dynamo
import torch._inductor.compile_fx
import torch.distributed.tensor
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import backend_registration

from mtrl_conic import balancers, networks
from mtrl_conic.agents.mtsac import agent as mtsac
from mtrl_conic.gradients import ways
from tests.agents.test_mtsac import SMALL, SPEC, make_batch
from tests.agents.test_recorded import STRONG
from tests.balancers.test_registry import CASES

THERE = "elsewhere"
_tensor, _randn, _generator = torch.tensor, torch.randn, torch.Generator


def tensor(values: Any, *, device: Any = None, **options: Any) -> Tensor:
    """Like `torch.tensor`, which cannot create values on a device without memory."""
    return _tensor(values, **options).to(device or "cpu")


def randn(*size: Any, device: Any = None, generator: Any = None, **options: Any) -> Tensor:
    """Like `torch.randn`, for a device without generators."""
    return _randn(*size, **options).to(device or "cpu")


def move(module: nn.Module, device: Any) -> nn.Module:
    """Like `nn.Module.to`, which swaps tensors that cannot be swapped."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                part._parameters[name] = nn.Parameter(value.detach().to(device), requires_grad=value.requires_grad)
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else buffer.to(device)
    return module


def prepare() -> None:
    """Name the device, and replace what torch lacks for it."""
    backend_registration._setup_privateuseone_for_python_backend(THERE)
    torch.tensor, torch.randn = tensor, randn
    torch.Generator = lambda device="cpu": _generator()
    torch.autocast = lambda *arguments, **options: nullcontext()
    nn.Module.to = move
    mtsac.choose_device = torch.device
    ways.are_separate = lambda *given: True  # the first update of an agent looks at values


def directions(name: str, options: dict[str, Any], losses_on: str) -> None:
    """Take two directions of gradients on the other device, with losses on either."""
    balancer = balancers.make(name, 3, **options)
    balancer.on_nonfinite = "skip"  # there are no values that could be looked at
    rows = 3 * balancer.batches
    for _ in range(2):
        jacobian = torch.rand(rows, 7, dtype=torch.float64, device="cpu").to(THERE)
        direction = balancer.direction(jacobian, torch.rand(rows, device="cpu").to(losses_on))
        balancer.observe(torch.rand(3, device="cpu").to(losses_on))
        for value in (direction, *balancer.state.values()):
            assert value.device.type == THERE, f"a result on {value.device}"


def updates(mode: FakeTensorMode, **options: Any) -> None:
    """Make updates of an agent, some of which compare gradients, of batches that are moved to the device."""
    agent = mtsac.MTSAC(SPEC, device=THERE, **{"balancer": "conicgrad", **STRONG, **options})
    for number in range(3):
        batch = make_batch(number)
        agent.update(type(batch)(*map(mode.from_tensor, batch[:5])))


def agents(mode: FakeTensorMode) -> dict[str, Callable[[], None]]:
    """Return the updates to check by name."""
    options = [{"network": name} for name in networks.available()]
    options += [{"reset_every": 2}, {"actor_every": 2}, {"average_over": 3}, {"critics": 3}, {"temperatures": "shared"}]
    options += [{**SMALL, "base": "classic"}, {"balancer": "famo"}, {"balancer": "moco"}, {"balancer": "pcgrad"}]
    return {str(each): partial(updates, mode, **each) for each in options}


def main() -> None:
    """Check all methods and variants, and the agent with all networks."""
    gc.disable()  # torch crashes when it collects a tensor of the device while it makes another
    prepare()
    errors = {}
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        checks: dict[str, Callable[[], None]] = agents(mode)
        for name, options in CASES:
            for losses_on in (THERE, "cpu"):
                checks[f"{name} {options}, losses on {losses_on}"] = partial(directions, name, options, losses_on)
        for check, work in checks.items():
            try:
                work()
            except Exception as error:  # reported by the test
                errors[check] = f"{type(error).__name__}: {error}"[:300]
    print(json.dumps({"checked": len(checks), "errors": errors}), flush=True)
    os._exit(0)  # torch also crashes when the tensors are collected at the end


if __name__ == "__main__":
    main()
