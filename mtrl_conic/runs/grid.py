"""From one description to many runs: every single-valued field that is given as a list is an axis."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtrl_conic import plugins
from mtrl_conic.errors import UserError
from mtrl_conic.runs.config import RunConfig, make_config, read_preset
from mtrl_conic.schema import is_scalar, leaves

FieldPath = tuple[str, ...]
_BALANCER, _SEED = ("balancer",), ("seed",)


@dataclass(frozen=True)
class PlannedRun:
    """One run of a comparison: its name is its path below the comparison's folder."""

    name: str
    directory: Path
    config: RunConfig

    @property
    def threads(self) -> int | None:
        """What its configuration says."""
        return self.config.threads

    def command(self, threads: int) -> list[str]:
        """The arguments of `mtrl-conic` that train it, its directory being claimed."""
        directory = str(self.directory)
        imports = [f"--import={module}" for module in plugins.absolute(self.config.imports)]
        return ["train", f"{directory}/config.yaml", "--run-dir", directory, "--threads", str(threads), *imports]


def plan(preset: str, given: Mapping[str, Any], folder: Path) -> list[PlannedRun]:
    """The runs of a comparison, the first seed of everything first.

    An axis is a field that takes single values (`balancer`, `seed`, `agent.base`, `agent.learning_rate`, ... but
    not the list of tasks) and is given as a list, in the preset or in `given`. There is a run for every
    combination, in `<folder>/<balancer>/seed_<n>`; other axes join the balancer's name.

    Args:
        preset: a preset's name or a YAML file's path.
        given: over the preset's values, nested like a configuration.
        folder: of the comparison.

    Raises:
        UserError: a value that does not fit, an empty list, a value that stands in its list twice.
    """
    values = read_preset(preset)
    axes = _axes(values, given)
    fixed = dict(given)
    if isinstance(values.get("balancer"), list) and "balancer_options" in values:
        # Options beside a list of balancers are meant for all of them, not for a preset's own one.
        fixed.setdefault("balancer_options", values["balancer_options"])
    order = sorted(axes, key=lambda path: path != _SEED)  # the seed turns slowest
    runs = []
    for chosen in itertools.product(*(axes[path] for path in order)):
        overrides = copy.deepcopy(fixed)
        for path, value in zip(order, chosen, strict=True):
            _set(overrides, path, value)
        config = make_config(preset, overrides)
        name = _name(config, [path for path in axes if path not in (_BALANCER, _SEED)])
        runs.append(PlannedRun(name, folder / name, config))
    _check_distinct(runs)
    return runs


def _axes(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[FieldPath, list[Any]]:
    axes = {}
    for path, field in leaves(RunConfig):
        if is_scalar(field):
            value = _get(given, path, _get(values, path, None))
            if value == []:
                raise UserError(f"{'.'.join(path)}=[]: give at least one value")
            if isinstance(value, list):
                axes[path] = value
    return axes


def _get(values: Mapping[str, Any], path: FieldPath, default: Any) -> Any:
    inner: Any = values
    for part in path:
        if not isinstance(inner, Mapping) or part not in inner:
            return default
        inner = inner[part]
    return inner


def _set(values: dict[str, Any], path: FieldPath, value: Any) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
    values[path[-1]] = value


def _name(config: RunConfig, axes: list[FieldPath]) -> str:
    parts = [config.balancer]
    for path in axes:
        value: Any = config
        for part in path:
            value = getattr(value, part)
        parts.append(f"{path[-1]}={value}")
    return f"{_readable('_'.join(parts))}/seed_{config.seed}"


def _readable(text: str) -> str:
    """Only characters that need no quoting in a shell."""
    return re.sub(r"[^\w.=+-]", "-", text)


def _check_distinct(runs: list[PlannedRun]) -> None:
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{name} would run twice: a list holds a value twice")
