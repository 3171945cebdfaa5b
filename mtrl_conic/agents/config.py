"""Every constant of the agent, with its meaning and its range."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

BASES: dict[str, dict[str, Any]] = {"classic": {}}
"""A base is a named set of defaults of `AgentConfig`: the recipe on which balancers are compared.

`classic` is the one behind the published tables: three ReLU layers of 400, twin critics with a squared
error on raw rewards, Adam. The defaults below are its own.
"""

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class AgentConfig(BaseModel):
    """Multi-task soft actor-critic: network, losses, optimisers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: Literal["classic"] = Field("classic", description="recipe whose defaults all fields of the agent take")
    network: Literal["shared", "multihead"] = Field(
        "shared",
        description="shared: one trunk, which reads the one-hot; multihead: a trunk and a head per task",
    )
    width: Count = Field(400, description="units of each hidden layer")
    depth: Count = Field(3, description="hidden layers")
    balance: Literal["both", "critic", "actor"] = Field(
        "both",
        description="components whose shared gradients the balancer combines; the other one takes the mean. "
        "A balancer that needs positive losses leaves the actor to the mean in any case",
    )
    batch_size: Count = Field(128, description="transitions per task and update")
    updates_per_step: Count = Field(1, description="updates for each step of all tasks")
    random_steps: Annotated[int, Field(ge=0)] = Field(
        1000, description="steps of uniformly random actions, without updates, before learning starts"
    )
    discount: Fraction = Field(0.99, description="gamma, the discount of a step")
    target_rate: Fraction = Field(0.005, description="tau, the share of the critic that its target takes up per update")
    learning_rate: Positive = Field(3e-4, description="Adam's, of actor and critic")
    temperature_learning_rate: Positive = Field(3e-4, description="Adam's, of the per-task temperatures")
    initial_temperature: Positive = Field(1.0, description="alpha of every task at the start")
    target_entropy: float | None = Field(
        None, description="entropy each task's temperature aims at, in nats; none means minus the action's size"
    )
    log_std_min: float = Field(-20.0, description="smallest log standard deviation of the policy before tanh")
    log_std_max: float = Field(2.0, description="largest log standard deviation of the policy before tanh")

    @model_validator(mode="before")
    @classmethod
    def _take_defaults_of_base(cls, given: Any) -> Any:
        if isinstance(given, dict):
            return BASES.get(str(given.get("base", "classic")), {}) | given
        return given
