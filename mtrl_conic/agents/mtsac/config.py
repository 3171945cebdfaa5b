"""Every constant of the agent, with its meaning and its range: a group for each part that uses them.

Those of networks and of normalisation stand beside them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mtrl_conic.agents.normalisation.config import NormalisationConfig
from mtrl_conic.networks.config import ActorConfig, CriticConfig, NetworkConfig

BASES: dict[str, dict[str, Any]] = {
    "classic": {},
    "strong": {
        "batch_size": 32,
        "width": 512,
        "depth": 2,
        "actor_width": 256,
        "layer_norm": "both",
        "critic_loss": "categorical",
        "twins": "mean",
        "reward_scale": "return",
        "n_step": 3,
        "learning_rate": 1e-3,
        "initial_temperature": 0.001,
        "target_entropy": -2.0,
    },
}
"""A base is a named set of defaults of `AgentConfig`: the recipe on which balancers are compared.

`classic` is the one behind the published tables: three ReLU layers of 400, twin critics with a squared
error on raw rewards, Adam. The defaults below are its own. `strong` is the one to use: its parts, and
trials of it, stand in docs/learning.md.
"""

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Size = Annotated[int, Field(ge=0)]


class RecipeConfig(BaseModel):
    """The recipe, which says what the other fields are where they are not given."""

    base: Literal["classic", "strong"] = Field(
        "classic", description="recipe whose defaults all fields of the agent take"
    )

    @model_validator(mode="before")
    @classmethod
    def _take_defaults_of_base(cls, given: Any) -> Any:
        if isinstance(given, dict):
            return BASES.get(str(given.get("base", "classic")), {}) | given
        return given


class BalancingConfig(BaseModel):
    """What the balancer combines."""

    balance: Literal["both", "critic", "actor"] = Field(
        "both",
        description="components whose shared gradients the balancer combines; the other one takes the mean. "
        "A balancer that needs positive losses leaves the actor to the mean in any case",
    )
    shared_parameters: Literal["all", "trunk"] = Field(
        "all", description="which shared parameters the balancer combines; trunk leaves the last layer to the mean"
    )


class OptimizerConfig(BaseModel):
    """The optimisers of actor and critic."""

    learning_rate: Positive = Field(3e-4, description="AdamW's, of actor and critic")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="AdamW's, of the critic")
    actor_weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="AdamW's, of the actor")


class TemperatureConfig(BaseModel):
    """The entropy temperature of each task."""

    temperatures: Literal["task", "shared"] = Field(
        "task", description="each task has its own; shared: one for all tasks, learned from the rows of all"
    )
    initial_temperature: Positive = Field(1.0, description="alpha of every task at the start")
    target_entropy: float | None = Field(
        None, description="entropy each task's temperature aims at, in nats; none means minus the action's size"
    )
    temperature_learning_rate: Positive = Field(3e-4, description="Adam's, of the per-task temperatures")


class TargetConfig(BaseModel):
    """The targets that critics are fitted to."""

    discount: Fraction = Field(0.99, description="gamma, the discount of a step")
    n_step: Count = Field(1, description="rewards in a target before it bootstraps")
    target_rate: Fraction = Field(0.005, description="tau, the share of the critic that its target takes up per update")


class ScheduleConfig(BaseModel):
    """What is done when."""

    batch_size: Count = Field(128, description="transitions per task and update")
    batch: Literal["balanced", "uniform"] = Field(
        "balanced",
        description="as many transitions of each task; uniform: as many on average, drawn over the transitions of all "
        "tasks. A loss is the mean over its task's own, and a task without any is left out of that update",
    )
    updates_per_step: Count = Field(1, description="updates for each step of all tasks")
    actor_every: Count = Field(1, description="updates of the critic for one of actor and temperatures")
    reset_every: Count | None = Field(
        None, description="updates after which networks and optimisers start afresh on the replay; none: never"
    )
    average_over: Size = Field(
        0,
        description="updates over which the actor's weights are averaged, exponentially, into the policy that is "
        "evaluated and exported; training is the same with it. 0: the actor as it is",
    )
    random_steps: Size = Field(
        1000, description="steps of uniformly random actions, without updates, before learning starts"
    )


class AgentConfig(
    # Fields come in the opposite order.
    ScheduleConfig,
    TargetConfig,
    TemperatureConfig,
    OptimizerConfig,
    BalancingConfig,
    NormalisationConfig,
    CriticConfig,
    ActorConfig,
    NetworkConfig,
    RecipeConfig,
):
    """Multi-task soft actor-critic."""

    model_config = ConfigDict(frozen=True, extra="forbid")
