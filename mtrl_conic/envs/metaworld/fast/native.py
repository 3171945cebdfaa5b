"""The interface of compiled code to numba and to the mujoco library."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite.binding
import mujoco
import numba
from numba import types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a part of the kernel to machine code in IEEE arithmetic: no reassociation, no fused operations."""
    return cast(F, numba.njit(nogil=True, error_model="numpy")(function))


def _library() -> Path:
    """Return the shared library that the mujoco package has loaded."""
    pattern = {"win32": "mujoco.dll", "darwin": "libmujoco.*.dylib"}.get(sys.platform, "libmujoco.so.*")
    return next(Path(mujoco.__file__).parent.glob(pattern))


# Symbols, unlike ctypes function objects, leave compiled code cacheable on disk.
llvmlite.binding.load_library_permanently(str(_library()))


def _function(name: str) -> Any:
    """Return a mujoco function of (model, data), both given by their addresses."""
    return types.ExternalFunction(name, types.void(types.int64, types.int64))


mj_step = _function("mj_step")
mj_forward = _function("mj_forward")
mj_make_constraint = _function("mj_makeConstraint")
mj_project_constraint = _function("mj_projectConstraint")
mj_reference_constraint = _function("mj_referenceConstraint")
mj_fwd_actuation = _function("mj_fwdActuation")
mj_fwd_acceleration = _function("mj_fwdAcceleration")
mj_fwd_constraint = _function("mj_fwdConstraint")
mj_check_acc = _function("mj_checkAcc")
mj_euler = _function("mj_Euler")


def _doubles(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float64)(types.int64), generate


doubles = cast(Callable[[int], Any], intrinsic(_doubles))
"""The float64 numbers at an address as an array; only usable in compiled code."""
