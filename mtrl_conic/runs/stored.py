"""What the directory of a run contains: its configuration, checkpoints and result, read without opening the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtrl_conic.errors import UserError
from mtrl_conic.reading import read_json, read_yaml
from mtrl_conic.runs import checkpoints
from mtrl_conic.runs.configuration import KINDS, Configuration, read_budget
from mtrl_conic.runs.earlier import completed
from mtrl_conic.runs.records import is_number

_RESULT = ("step", "seconds")
"""The numbers that every result contains."""


def read_config(path: Path) -> dict[str, Any]:
    """Read the complete configuration of the run at `path`.

    Raises:
        UserError: there is no configuration, or it is not that of a run.
    """
    file = path / "config.yaml"
    if not file.exists():
        raise UserError(f"{path} is not a run directory: it has no config.yaml")
    values = read_yaml(file)
    # A list, because the value may be unhashable.
    if not isinstance(values, dict) or values.get("kind") not in list(KINDS):
        raise UserError(f"{file} is not the configuration of a run: its kind is not one of {', '.join(KINDS)}")
    wrong = _wrong(values)
    if wrong:
        raise UserError(f"{file} is damaged: {wrong}")
    return completed(values)


def read_checkpoint(path: Path, given: Path | None = None) -> dict[str, Any] | None:
    """Read the latest undamaged checkpoint of the run at `path` onto the CPU, or None. Loading runs no code.

    Args:
        path: directory of the run.
        given: another file to read, such as a kept copy of an earlier checkpoint.

    Raises:
        UserError: `given` is not a checkpoint, or all checkpoints of the run are damaged.
    """
    return checkpoints.newest(path / "checkpoints") if given is None else checkpoints.read(given)


def checkpoint_of(path: Path, name: str | None) -> Path | None:
    """Return the file of a checkpoint of the run at `path`, given by a name such as `best` or by its own path.

    Without a name, the result is None, which stands for the latest checkpoint.
    """
    if name is None:
        return None
    own = path / "checkpoints" / f"{name}.pt"
    is_path = "/" in name or name.endswith(".pt") or Path(name).exists()
    return own if own.exists() or not is_path else Path(name)


def read_result(path: Path) -> dict[str, Any] | None:
    """Read the result of the run at `path`; None if it is not finished.

    Raises:
        UserError: the file is not a result.
    """
    file = path / "result.json"
    if not file.exists():
        return None
    result = read_json(file)
    if not isinstance(result, dict):
        raise UserError(f"{file} is not a result: it has no keys")
    for key in _RESULT:
        if not is_number(result.get(key)):
            raise UserError(f"{file} is not a result: its {key} is not a number")
    return result


def is_finished(path: Path, config: Configuration) -> bool:
    """Return whether the run at `path` is finished, and its budget is unchanged or not larger than what it has used."""
    result = read_result(path)
    if result is None:
        return False
    return (
        config.budget == read_budget(read_config(path)) or config.budget.share(result["step"], result["seconds"]) >= 1
    )


def _wrong(values: Mapping[str, Any]) -> str:
    """Return what is missing or wrong in the configuration of a run; empty if it is valid."""
    kinds = {"balancer": str, "balancer_options": dict, "seed": int, KINDS[values["kind"]].counts: int}
    for key, kind in kinds.items():
        if not isinstance(values.get(key), kind):
            return f"it has no {key}" if key not in values else f"its {key} is {str(values[key])[:40]!r}"
    minutes = values.get("minutes")
    return "" if minutes is None or is_number(minutes) else f"its minutes are {str(minutes)[:40]!r}"
