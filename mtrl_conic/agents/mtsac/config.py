"""Every constant of the agent, with its meaning and its range."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mtrl_conic.execution.config import COMPILED_AFTER
from mtrl_conic.networks.registry import check_network

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


class AgentConfig(BaseModel):
    """Multi-task soft actor-critic: networks, losses, optimisers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: Literal["classic", "strong"] = Field(
        "classic", description="recipe whose defaults all fields of the agent take"
    )
    network: Annotated[str, AfterValidator(check_network)] = Field(
        "shared",
        description="shared: all of it; multihead: a trunk and a head per task; soft_modularization: modules mixed "
        "by task and state; single_task: nothing, an agent of its own per task; or one that you registered",
    )
    modules: Count = Field(4, description="of each layer, soft modularisation's")
    width: Count = Field(400, description="units of each hidden layer")
    depth: Count = Field(3, description="hidden layers, or residual blocks of two layers each")
    actor_width: Count | None = Field(None, description="the actor's own width; none takes the critic's")
    actor_depth: Count | None = Field(None, description="the actor's own depth; none takes the critic's")
    layer_norm: Literal["none", "critic", "both"] = Field(
        "none", description="networks with layer normalisation before each activation"
    )
    residual: bool = Field(False, description="a first layer, then `depth` blocks of two layers with a skip connection")
    embedding: Size = Field(
        0, description="size of a learned code of unit length per task, in the place of the one-hot; 0 keeps that"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "float32",
        description="of the products in the hidden layers that tasks share; auto takes bfloat16 where the processor or "
        "GPU multiplies it in hardware. First and last layers, losses, balancing and optimisers stay in float32",
    )
    balance: Literal["both", "critic", "actor"] = Field(
        "both",
        description="components whose shared gradients the balancer combines; the other one takes the mean. "
        "A balancer that needs positive losses leaves the actor to the mean in any case",
    )
    critic_loss: Literal["squared", "categorical"] = Field(
        "squared", description="error of a value, or cross-entropy of a distribution over bins"
    )
    bins: Annotated[int, Field(ge=2)] = Field(101, description="of a categorical critic")
    value_limit: Positive = Field(10.0, description="a categorical critic's bins reach from minus this to this")
    bin_spread: Annotated[float, Field(ge=0)] = Field(
        0.75,
        description="standard deviation, in bins, of the Gaussian that a target is spread over; 0 splits it "
        "between the two nearest bins",
    )
    twins: Literal["min", "mean"] = Field("min", description="what the two critics' values are reduced to")
    reward_scale: Literal["none", "return"] = Field(
        "none",
        description="return: a task's rewards are divided, when drawn, by its largest discounted return so far",
    )
    observation_scale: Literal["none", "shared", "task"] = Field(
        "none",
        description="shared: every feature is brought to mean 0 and deviation 1 by the observations of all tasks so "
        "far, where it means the same in all of them; task: by each task's own",
    )
    return_limit: Positive = Field(5.0, description="what the largest return so far is scaled to")
    n_step: Count = Field(1, description="rewards in a target before it bootstraps")
    shared_parameters: Literal["all", "trunk"] = Field(
        "all", description="which shared parameters the balancer combines; trunk leaves the last layer to the mean"
    )
    batch_size: Count = Field(128, description="transitions per task and update")
    compile: bool | Literal["auto"] = Field(
        "auto",
        description="compile the networks' part of an update (torch.compile; needs a C++ compiler): it takes about a "
        "minute, an update on a processor then about three quarters of its time. auto: on a "
        f"processor, after {COMPILED_AFTER:,} updates",
    )
    record_updates: bool = Field(
        False,
        description="on a GPU: record an update once as a CUDA graph and replay it, for an update of this size is "
        "bound by the launching of its operations. Nothing changes elsewhere",
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
    discount: Fraction = Field(0.99, description="gamma, the discount of a step")
    target_rate: Fraction = Field(0.005, description="tau, the share of the critic that its target takes up per update")
    learning_rate: Positive = Field(3e-4, description="AdamW's, of actor and critic")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="AdamW's, of the critic")
    actor_weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="AdamW's, of the actor")
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
