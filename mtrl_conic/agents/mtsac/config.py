"""The configuration of the agent in groups, one for each part that uses it.

The configurations of networks and of normalisation are in their packages.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mtrl_conic.agents.normalisation.config import NormalisationConfig
from mtrl_conic.networks.config import ActorConfig, CriticConfig, NetworkConfig
from mtrl_conic.schema import Role

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

`classic` is the recipe behind the published tables: three ReLU layers of 400, twin critics with a squared error on
raw rewards, Adam. The defaults below are those of `classic`. `strong` is the recommended recipe; docs/learning.md
describes its parts and the experiments behind it.
"""

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Size = Annotated[int, Field(ge=0)]


class RecipeConfig(BaseModel):
    """The recipe, which determines the defaults of the other fields."""

    base: Literal["classic", "strong"] = Field(
        "classic", description="recipe that provides the defaults of all fields of the agent"
    )

    @model_validator(mode="before")
    @classmethod
    def _take_defaults_of_base(cls, given: Any) -> Any:
        if isinstance(given, dict):
            return BASES.get(str(given.get("base", "classic")), {}) | given
        return given


class BalancingConfig(BaseModel):
    """The gradients that the balancer combines."""

    balance: Literal["both", "critic", "actor"] = Field(
        "both",
        description=(
            "components whose shared gradients the balancer combines; the other one uses the mean gradient. With a "
            "balancer that needs positive losses, the actor always uses the mean"
        ),
    )
    shared_parameters: Literal["all", "trunk"] = Field(
        "all",
        description="shared parameters whose gradients the balancer combines; trunk: the last layer uses the mean "
        "gradient",
    )


class OptimizerConfig(BaseModel):
    """The optimisers of actor and critic."""

    learning_rate: Annotated[Positive, Role.SETTING] = Field(
        3e-4, description="learning rate of AdamW for actor and critic"
    )
    weight_decay: Annotated[NotNegative, Role.SETTING] = Field(0.0, description="weight decay of AdamW for the critic")
    actor_weight_decay: Annotated[NotNegative, Role.SETTING] = Field(
        0.0, description="weight decay of AdamW for the actor"
    )


class TemperatureConfig(BaseModel):
    """The entropy temperature of each task."""

    temperatures: Literal["task", "shared"] = Field(
        "task",
        description="task: a temperature for each task; shared: one temperature for all tasks, learned from all "
        "their rows",
    )
    initial_temperature: Positive = Field(1.0, description="initial temperature alpha of every task")
    target_entropy: Annotated[float | None, Role.SETTING] = Field(
        None,
        description="target entropy of each task's temperature, in nats; none: minus the number of action components",
    )
    temperature_learning_rate: Annotated[Positive, Role.SETTING] = Field(
        3e-4, description="learning rate of Adam for the temperatures"
    )


class TargetConfig(BaseModel):
    """The targets that critics are fitted to."""

    discount: Annotated[Fraction, Role.SETTING] = Field(0.99, description="discount factor gamma per step")
    n_step: Annotated[Count, Role.SETTING] = Field(1, description="number of rewards in a target before it bootstraps")
    target_rate: Annotated[Fraction, Role.SETTING] = Field(
        0.005,
        description="Polyak averaging rate tau: share of the critic that the target network takes over in each update",
    )


class ScheduleConfig(BaseModel):
    """The schedule of updates, and their batches."""

    batch_size: Annotated[Count, Role.SETTING] = Field(128, description="number of transitions per task in an update")
    priority_exponent: Annotated[NotNegative, Role.SETTING] = Field(
        0.0,
        description=(
            "exponent alpha of the probability of a transition in its error, in prioritised replay; 0: transitions "
            "are drawn uniformly"
        ),
    )
    batch: Literal["balanced", "uniform"] = Field(
        "balanced",
        description=(
            "balanced: the same number of transitions of every task; uniform: transitions drawn from all tasks "
            "together, the same number on average. The loss of a task is the mean over its own transitions, and a "
            "task without any is left out of the update"
        ),
    )
    updates_per_step: Annotated[Count, Role.SETTING] = Field(
        1, description="number of updates per environment step of all tasks"
    )
    actor_every: Annotated[Count, Role.SETTING] = Field(
        1, description="number of critic updates per update of the actor and the temperatures"
    )
    reset_every: Annotated[Count | None, Role.SETTING] = Field(
        None,
        description="number of updates after which networks and optimisers are reset while the replay is kept; none: "
        "never",
    )
    average_over: Size = Field(
        0,
        description=(
            "number of updates over which an exponential average of the actor's weights is taken; the average is "
            "evaluated and exported and does not affect training. 0: no average, the current actor is used"
        ),
    )
    random_steps: Size = Field(
        1000, description="number of steps with uniformly random actions and without updates before learning starts"
    )


class AgentConfig(
    # pydantic lists the fields of the last base class first.
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

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
