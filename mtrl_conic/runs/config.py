"""One run, completely described: from a preset, a YAML file, flags."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.envs.config import TaskSetConfig
from mtrl_conic.errors import UserError, first_line
from mtrl_conic.schema import parse


class TrainingConfig(BaseModel):
    """The loop around the agent: replay, records, evaluation, checkpoints. Steps are steps per task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    replay_capacity: int = Field(100_000, ge=1, description="transitions kept per task")
    replay: Literal["memory", "disk"] = Field(
        "memory", description="disk: the replay is a memory-mapped file in the run directory"
    )
    log_every: int = Field(500, ge=1, description="steps between two lines of metrics")
    evaluate_every: int = Field(25_000, ge=1, description="steps between two evaluations during training")
    checkpoint_every: int = Field(5_000, ge=1, description="steps between two checkpoints")
    training_episodes_per_task: int = Field(10, ge=1, description="goals per task in an evaluation during training")
    episodes_per_task: int = Field(50, ge=1, description="goals per task in the final evaluation, whose rates count")
    report_best: bool = Field(
        False,
        description="also report the best of all evaluations of the run, labelled so: it is chosen by the very "
        "episodes that it reports, as in the older published tables",
    )


class RunConfig(BaseModel):
    """One training run: one task set, one balancer, one seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_set: str | list[str] = Field(
        "mt10", description="mt10, mt25, mt50, mt1:<task>, gymnasium-control, gymnasium:<id>, or a list of tasks"
    )
    balancer: str = Field("conicgrad", description="how the tasks' gradients are combined; see `mtrl-conic balancers`")
    balancer_options: dict[str, Any] = Field(default_factory=dict, description="key=value of the balancer's options")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of goals, initial values, exploration, batches and balancers")
    steps: int = Field(2_000_000, ge=1, description="environment steps of every task")
    minutes: float | None = Field(
        None, gt=0, description="end training earlier, after this many minutes; the final evaluation comes on top"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N")
    threads: int | None = Field(None, ge=1, description="processor threads of the update; none leaves it to torch")
    overlap: bool | None = Field(
        None, description="step the environments beside the update, for the same numbers; none: where a core is free"
    )
    environment: TaskSetConfig = Field(default_factory=TaskSetConfig)
    agent: AgentConfig = Field(default_factory=lambda: AgentConfig())
    training: TrainingConfig = Field(default_factory=lambda: TrainingConfig())


SITTING = ("device", "threads", "overlap")
"""Fields that may change when a run is taken up again: they say where it runs, not what it is."""


def preset_names() -> list[str]:
    """The presets that come with the package."""
    return sorted(file.name.removesuffix(".yaml") for file in _presets().iterdir() if file.name.endswith(".yaml"))


def read_preset(name: str) -> dict[str, Any]:
    """The values of a preset, or of the YAML file at the path `name`.

    Raises:
        UserError: neither a preset nor a readable file.
    """
    if name in preset_names():
        return _read_yaml(name, _presets().joinpath(f"{name}.yaml").read_text())
    file = Path(name)
    if file.suffix in (".yaml", ".yml"):
        try:
            return _read_yaml(name, file.read_text())
        except OSError as error:
            raise UserError(f"cannot read {name}: {error.strerror}") from None
    near = difflib.get_close_matches(name, preset_names(), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(preset_names())}, or a YAML file"
    raise UserError(f"unknown preset {name!r}; {hint}")


def make_config(preset: str, overrides: Mapping[str, Any]) -> RunConfig:
    """The configuration of a run: the preset's values under the given ones, checked.

    Args:
        preset: a preset's name or a YAML file's path.
        overrides: nested like the configuration.
    """
    return parse(RunConfig, _merge(read_preset(preset), overrides))


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both and key != "balancer_options" else value
    if "balancer" in over and "balancer_options" not in over and over["balancer"] != under.get("balancer"):
        merged.pop("balancer_options", None)  # they belong to the preset's own balancer
    return merged


def _read_yaml(name: str, text: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{name} is not valid YAML: {first_line(error)}") from None
    if not isinstance(values, dict):
        raise UserError(f"{name} must hold keys and values, such as 'steps: 1000'")
    return values


def _presets() -> Any:
    return resources.files("mtrl_conic") / "configs"
