"""Vectors that describe tasks, read from a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mtrl_conic.errors import UserError, unknown
from mtrl_conic.reading import read_json

NAMES = Path(__file__).with_name("task_names.json")
"""The vectors that `scripts/task_name_vectors.py` computes from the names of Meta-World's fifty tasks."""


def read_metadata(source: str, task_names: Sequence[str]) -> Tensor:
    """Read a vector per task, (K, F).

    Args:
        source: a JSON file that maps tasks to lists of numbers of the same length; `names` is the file of the package.
        task_names: names of the tasks, K of them.

    Raises:
        UserError: the file does not exist, has invalid content, or lacks a task.
    """
    file = NAMES if source == "names" else Path(source)
    try:
        found = read_json(file)
    except UserError as error:
        raise UserError(f"metadata={source}: {error}; give a JSON file, or metadata=names") from None
    if not isinstance(found, Mapping):
        raise UserError(f"metadata={source} must map tasks to lists of numbers")
    vectors = []
    for name in task_names:
        if name not in found:
            raise unknown(f"task of metadata={source}", name, list(found))
        vectors.append(_vector(found[name], f"metadata={source}: {name}"))
        if len(vectors[-1]) != len(vectors[0]):
            raise UserError(
                f"metadata={source}: {name} has {len(vectors[-1])} numbers, {task_names[0]} has {len(vectors[0])}"
            )
    return torch.tensor(vectors)


def _vector(value: Any, where: str) -> list[float]:
    numbers = isinstance(value, list) and all(isinstance(x, int | float) and math.isfinite(x) for x in value)
    if not numbers or not value:
        raise UserError(f"{where} must have a list of finite numbers")
    return list(map(float, value))
