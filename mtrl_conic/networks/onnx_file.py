"""Export of a module to an ONNX file."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from mtrl_conic import files
from mtrl_conic.errors import not_installed


def check_installed() -> None:
    """Check that the packages for the export are installed.

    Raises:
        UserError: one is missing.
    """
    try:
        import onnxscript  # noqa: F401  # torch's exporter needs it, and onnx
    except ImportError:
        raise not_installed("onnxscript", "onnx") from None


def write_onnx(module: nn.Module, example: Tensor, file: Path) -> Path:
    """Write `module`, which maps `observations` (..., B, D) to `actions` (..., B, A), for any B.

    Args:
        module: module on the CPU.
        example: an input with B of at least 2.
        file: file to write; it is replaced completely or not at all, and its folders are created if needed.

    Raises:
        UserError: a missing package, or a file that cannot be written.
    """
    check_installed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter causes torch's own deprecation warnings
        program = torch.onnx.export(
            module,
            (example,),
            input_names=["observations"],
            output_names=["actions"],
            dynamic_shapes=({example.dim() - 2: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    with files.told_of(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        files.replace(file, program.model_proto.SerializeToString())
    return file
