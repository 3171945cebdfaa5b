"""The complete configuration of a run, from a preset, a YAML file and flags."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mtrl_conic import plugins
from mtrl_conic.agents import registry
from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.envs.config import TaskSetConfig
from mtrl_conic.envs.gymnasium.entries import modules_of
from mtrl_conic.envs.registry import available_task_sets
from mtrl_conic.errors import UserError
from mtrl_conic.execution.config import ExecutionConfig
from mtrl_conic.reading import parse_yaml, read_text
from mtrl_conic.runs.configuration import Configuration, check_kind
from mtrl_conic.runs.earlier import in_their_places
from mtrl_conic.schema import Role
from mtrl_conic.training.config import TrainingConfig


class RunConfig(Configuration):
    """One training run: one task set, one balancer, one seed."""

    kind: Literal["reinforcement"] = Field("reinforcement", description="kind of the run: the training of an agent")
    balancer: str = Field(
        "conicgrad",
        description="method that combines the gradients of the tasks, such as conicgrad:c=0.9; see `mtrl-conic "
        "balancers`",
    )
    seed: int = Field(
        0, ge=0, le=2**32 - 1, description="seed of the goals, initial parameters, exploration, batches and balancers"
    )
    task_set: str | list[str | dict[str, Any]] = Field(
        "mt10",
        description=(
            "task set: mt10, mt25, mt50, mt1:<task>, gymnasium-control, gymnasium:<id>, the name of your own, or a "
            "list of tasks or of entries {name: ..., id: ..., kwargs: ..., success: ..., reward_scale: ..., horizon: "
            "...}"
        ),
    )
    steps: Annotated[int, Role.BUDGET] = Field(2_000_000, ge=1, description="number of environment steps per task")
    minutes: Annotated[float | None, Role.BUDGET] = Field(
        None,
        gt=0,
        description=(
            "end training after this many minutes if the steps are not reached before; the final evaluation takes "
            "additional time"
        ),
    )
    execution: ExecutionConfig = Field(default_factory=ExecutionConfig)
    environment: TaskSetConfig = Field(default_factory=TaskSetConfig)
    algorithm: str = Field(
        registry.MTSAC,
        description="agent to train: mtsac (multi-task SAC) or your own, see register_agent",
    )
    algorithm_options: dict[str, Any] = Field(
        default_factory=dict, description="options of your own agent as key=value"
    )
    agent: AgentConfig = Field(default_factory=lambda: AgentConfig())
    training: TrainingConfig = Field(default_factory=lambda: TrainingConfig())

    @model_validator(mode="after")
    def _check_algorithm(self) -> RunConfig:
        # Options are kept as the agent reads them: 0.50, .5 and '0.5' are one run.
        object.__setattr__(self, "algorithm_options", registry.check_options(self.algorithm, self.algorithm_options))
        if self.algorithm != registry.MTSAC:
            theirs = [name for name in AgentConfig.model_fields if getattr(self.agent, name) != getattr(_PLAIN, name)]
            if theirs:
                raise UserError(
                    f"{theirs[0]} is an option of {registry.MTSAC}; those of {self.algorithm} are given as "
                    f"--algorithm-options: {', '.join(registry.options(self.algorithm)) or 'none'}"
                )
        return self


_PLAIN = AgentConfig()


def preset_names() -> list[str]:
    """Return the names of the package's presets."""
    return sorted(file.name.removesuffix(".yaml") for file in _presets().iterdir() if file.name.endswith(".yaml"))


def read_preset(name: str) -> dict[str, Any]:
    """Return the values of a preset, of the YAML file at the path `name`, or for the registered task set `name`.

    Raises:
        UserError: none of these exists.
    """
    if name in preset_names():
        return _values(name, _presets().joinpath(f"{name}.yaml").read_text())
    if name in available_task_sets():
        return {**read_preset("own"), "task_set": name}
    file = Path(name)
    if file.suffix in (".yaml", ".yml"):
        return read_yaml(file)
    known = [*preset_names(), *available_task_sets()]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}, or a YAML file"
    raise UserError(f"unknown preset {name!r}; {hint}")


def make_config(preset: str, overrides: Mapping[str, Any]) -> RunConfig:
    """Make and check the configuration of a run from a preset and given values, which take precedence.

    Args:
        preset: name of a preset, or path of a YAML file.
        overrides: given values, nested like the configuration.
    """
    values = read_preset(preset)
    check_kind(values, "reinforcement", where=preset)
    merged = merge(values, overrides)
    require_modules(merged, of=preset)
    return RunConfig.complete(merged)


def require_modules(values: Mapping[str, Any], *, of: str) -> None:
    """Check that the modules which a configuration needs have been imported, before its names are looked up.

    Args:
        values: values of the configuration, which may be invalid.
        of: the owner of the configuration, for the message.

    Raises:
        UserError: a module was not imported; the message says which `--import` to give.
    """
    imports, task_set = values.get("imports"), values.get("task_set")
    needed = [module for module in imports if isinstance(module, str)] if isinstance(imports, list) else []
    if isinstance(task_set, str | list):
        needed += modules_of(task_set)
    plugins.require(list(dict.fromkeys(needed)), of=of)


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested values into those of a configuration."""
    merged = dict(under)
    if over.get("algorithm", registry.MTSAC) != under.get("algorithm", registry.MTSAC):
        merged.pop("agent", None)  # they are options of another algorithm
    for key, value in over.items():
        there = merged.get(key)
        if isinstance(value, Mapping) and there is not None and not isinstance(there, Mapping):
            continue  # what is not a section stays, so that it is refused as such
        both = isinstance(value, Mapping) and isinstance(there, Mapping)
        merged[key] = merge(merged[key], value) if both and not key.endswith("_options") else value
    if isinstance(under.get("imports"), list) and isinstance(over.get("imports"), list):
        # A module keeps the name that it was first given with, because the process of a run gets absolute paths.
        named = {plugins.module_name(str(module)) for module in under["imports"]}
        new = [module for module in over["imports"] if plugins.module_name(module) not in named]
        merged["imports"] = [*under["imports"], *new]
    for owner in ("balancer", "network", "algorithm"):
        if owner in over and f"{owner}_options" not in over and _name(over, owner) != _name(under, owner):
            merged.pop(f"{owner}_options", None)  # they belong to the replaced balancer, network or algorithm
    return merged


def _name(values: Mapping[str, Any], owner: str) -> str:
    return str(values.get(owner)).partition(":")[0]


def read_yaml(file: Path) -> dict[str, Any]:
    """Return the keys and values in a file.

    Raises:
        UserError: the file cannot be read, or contains something else.
    """
    return _values(str(file), read_text(file))


def _values(name: str, text: str) -> dict[str, Any]:
    values = parse_yaml(text, name) or {}
    if not isinstance(values, dict):
        raise UserError(f"{name} must contain keys and values, such as 'steps: 1000'")
    return in_their_places(values)


def _presets() -> Any:
    return resources.files("mtrl_conic") / "configs"
