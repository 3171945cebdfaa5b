"""The configuration of a task set."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mtrl_conic.envs.metaworld.goals import GOALS_PER_TASK
from mtrl_conic.schema import Role
from mtrl_conic.workers import TIMEOUT


class SteppingConfig(BaseModel):
    """How environments are stepped, which does not affect the results."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stepping: Annotated[Literal["auto", "fast", "metaworld"], Role.EXECUTION] = Field(
        default="auto",
        description=(
            "implementation that simulates the environments: Meta-World's own code, the fast compiled equivalent, or "
            "(auto) the fast one if it supports the tasks"
        ),
    )
    stepping_threads: Annotated[int, Role.EXECUTION] = Field(
        default=1,
        ge=1,
        description="Meta-World: number of threads for compiled stepping; the results do not depend on it",
    )
    vector: Annotated[Literal["sync", "async"] | None, Role.EXECUTION] = Field(
        default=None,
        description=(
            "Gymnasium tasks: sync steps the environments one after the other, async runs each in its own process; "
            "none: sync"
        ),
    )
    worker_timeout: Annotated[float, Role.EXECUTION] = Field(
        default=TIMEOUT,
        gt=0,
        description="Gymnasium tasks: number of seconds within which a process of vector=async must answer; one that "
        "does not, or that is killed, is started again once",
    )


class TaskSetConfig(BaseModel):
    """Options of `mtrl_conic.envs.make_task_set` except the tasks and the seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon: int = Field(
        default=500, ge=1, le=500, description="Meta-World: number of steps after which an episode is truncated"
    )
    reward_version: Literal["v1", "v2"] = Field(
        default="v2",
        description="version of Meta-World's rewards: v2 is the current protocol, v1 that of the older published "
        "tables",
    )
    num_goals: int = Field(
        default=GOALS_PER_TASK,
        ge=1,
        le=GOALS_PER_TASK,
        description="Meta-World: number of goals per task, of which every episode draws one; 1: a fixed goal",
    )
    goal_stream: Literal["independent", "metaworld"] = Field(
        default="independent",
        description=(
            "how the goal of each episode is chosen: independently for every task, or the same goal number for all "
            "tasks as in Meta-World's vector environments"
        ),
    )
    copies: int = Field(
        default=1,
        ge=1,
        description="number of training environments per task; a step of n environments counts as n steps of their "
        "task",
    )
    time_limit: int | None = Field(
        default=None,
        ge=1,
        description=(
            "Gymnasium tasks: number of steps after which an episode is truncated; none: the limit of each environment"
        ),
    )
    one_hot: bool = Field(default=True, description="append the one-hot code of the task to its observations")


class TaskSetOptions(SteppingConfig, TaskSetConfig):
    """All options of `make_task_set` except the tasks and the seed."""
