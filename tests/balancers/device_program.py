"""Runs every balancer on a second device that computes shapes and devices but no values; prints what went wrong.

A process of its own, because the device and the tensors that balancers cache on it remain until the process ends.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import backend_registration

from mtrl_conic import balancers
from tests.balancers.test_registry import CASES

THERE = "elsewhere"
_tensor = torch.tensor


def tensor(values: Any, *, device: Any = None, **options: Any) -> Tensor:
    """Like `torch.tensor`, which cannot create values on a device without memory."""
    return _tensor(values, **options).to(device or "cpu")


def check(name: str, options: dict[str, Any], losses_on: str) -> None:
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


def main() -> None:
    """Check all methods and variants."""
    backend_registration._setup_privateuseone_for_python_backend(THERE)
    torch.tensor = tensor
    errors = {}
    with FakeTensorMode():
        for name, options in CASES:
            for losses_on in (THERE, "cpu"):
                try:
                    check(name, options, losses_on)
                except Exception as error:  # reported by the test
                    errors[f"{name} {options}, losses on {losses_on}"] = f"{type(error).__name__}: {error}"[:300]
    print(json.dumps({"checked": len(CASES), "errors": errors}))


if __name__ == "__main__":
    main()
