"""The plan of a comparison: every single-valued field that is given as a list is varied."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtrl_conic import plugins
from mtrl_conic.errors import UserError
from mtrl_conic.escaping import as_file_name
from mtrl_conic.runs.config import merge
from mtrl_conic.runs.configuration import KINDS, Configuration
from mtrl_conic.schema import Role, is_scalar, leaves

FieldPath = tuple[str, ...]
_BALANCER, _SEED = ("balancer",), ("seed",)


@dataclass(frozen=True)
class Job:
    """A run that is executed by its own command; the same command resumes it."""

    name: str
    """A unique, readable name: its path below the folder of the comparison."""
    directory: Path
    config: Configuration
    arguments: tuple[str, ...] = ()
    """Further arguments of its command."""

    @property
    def threads(self) -> int | None:
        """The number of threads in its configuration."""
        return self.config.execution.threads

    def command(self, threads: int) -> list[str]:
        """Return the arguments of `mtrl-conic` that execute the run in its claimed directory on `threads` threads."""
        directory = str(self.directory)
        imports = [f"--import={module}" for module in plugins.absolute(self.config.imports)]
        name = KINDS[self.config.kind].command
        given = ["--run-dir", directory, "--threads", str(threads), *imports, *self.arguments]
        return [name, f"{directory}/config.yaml", *given]


def plan(
    model: type[Configuration],
    values: Mapping[str, Any],
    given: Mapping[str, Any],
    folder: Path,
    *,
    arguments: tuple[str, ...] = (),
) -> list[Job]:
    """Return the runs of a comparison, ordered so that the first seed of every method comes first.

    A field is varied if it takes single values (`balancer`, `seed`, `agent.base`, `agent.learning_rate` and others, but
    not the list of tasks) and is given as a list, in `values` or in `given`. There is a run for every combination, in
    `<folder>/<method>/seed_<n>`; the values of other varied fields are appended to the method's name.

    Args:
        model: model of each run's configuration.
        values: values of a preset or a YAML file.
        given: values that replace those, nested like a configuration. Balancers may be one text, `ls,conicgrad:c=0.9`.
        folder: folder of the comparison.
        arguments: further arguments of each run's command.

    Raises:
        UserError: a value is invalid, a list is empty or contains a value twice, or two runs would differ only in how
            they are executed.
    """
    axes = _axes(model, values, given)
    fixed = dict(given)
    if isinstance(values.get("balancer"), list) and "balancer_options" in values:
        # Options given beside a list of balancers apply to all of them, not only to the balancer of a preset.
        fixed.setdefault("balancer_options", values["balancer_options"])
    order = sorted(axes, key=lambda path: path != _SEED)  # the seed varies slowest
    runs = []
    for chosen in itertools.product(*(axes[path] for path in order)):
        overrides = copy.deepcopy(fixed)
        for path, value in zip(order, chosen, strict=True):
            _set(overrides, path, value)
        config = model.complete(merge(values, overrides))
        method = folder_name(config, [path for path in axes if path not in (_BALANCER, _SEED)])
        name = f"{method}/seed_{config.seed}"
        runs.append(Job(name, folder / name, config, arguments))
    _check_distinct(runs)
    return runs


def _axes(model: type[Configuration], values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[FieldPath, Any]:
    axes: dict[FieldPath, Any] = {}
    for path, field in leaves(model):
        if is_scalar(field):
            value = _get(given, path, _get(values, path, None))
            if value == []:
                raise UserError(f"{'.'.join(path)}=[]: give at least one value")
            if path == _BALANCER and value is not None:
                axes[path] = _methods(model, value)
            elif isinstance(value, list):
                if Role.EXECUTION in field.metadata:
                    raise UserError(
                        f"{'.'.join(path)} takes one value in a comparison: what differs only in it is not another "
                        "method"
                    )
                axes[path] = value
    return axes


def _methods(model: type[Configuration], value: Any) -> list[str]:
    """Return the methods in a list or a text, in which `all` stands for every method with its defaults."""
    from mtrl_conic.balancers import label

    # None stands after a comma at the end of the list.
    text = ",".join(str(each) for each in value if each is not None) if isinstance(value, list) else str(value)
    return [label(*method) for method in model.read_methods(text)]


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


def folder_name(config: Configuration, axes: Sequence[FieldPath] = ()) -> str:
    """Return the folder name of a method, such as `conicgrad_c=0.9`, followed by the values of the fields in `axes`."""
    parts = [config.balancer, *(f"{key}={value}" for key, value in config.balancer_options.items())]
    for path in axes:
        value: Any = config
        for part in path:
            value = getattr(value, part)
        parts.append(f"{path[-1]}={value}")
    return as_file_name("_".join(parts))


def _check_distinct(runs: list[Job]) -> None:
    names: dict[str, str] = {}
    for run in runs:
        config = json.dumps(run.config.model_dump(mode="json"), sort_keys=True)
        for what in (run.name, config):
            if what in names:
                twice = "a list contains a value twice" if run.name == names[what] else f"as {names[what]}"
                raise UserError(f"{run.name} would run twice: {twice}")
            names[what] = run.name
