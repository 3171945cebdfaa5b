"""The device of the networks, and its fast precision."""

from __future__ import annotations

from typing import Literal

import torch

from mtrl_conic.errors import UserError


def choose_device(name: str) -> torch.device:
    """Return the torch device called `name`; `auto` is a CUDA GPU if there is one, otherwise the CPU.

    Raises:
        UserError: not a device, or a device that this machine lacks.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"unknown device {name!r}; known: auto, cpu, cuda, cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {name!r}: torch sees no CUDA GPU here; use --device cpu or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device {name!r}: there are only {torch.cuda.device_count()} GPUs, cuda:0 is the first")
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device {name!r} is not supported; known: auto, cpu, cuda, cuda:N")
    return device


def fast_precision(device: torch.device) -> Literal["float32", "bfloat16"]:
    """Return the type for `precision: auto`: bfloat16 if this device supports its products in hardware."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    # torch multiplies bfloat16 on any processor, but without these instructions slower than float32.
    asked = (getattr(torch.cpu, f"_is_{name}_supported", bool) for name in ("amx_tile", "avx512_bf16"))
    return "bfloat16" if any(supported() for supported in asked) else "float32"
