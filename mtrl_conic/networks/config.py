"""What can be chosen about networks and critics."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from mtrl_conic.networks.hidden import Hidden
from mtrl_conic.networks.registry import available

Count = Annotated[int, Field(ge=1)]


class NetworkConfig(BaseModel):
    """Networks of actor and critics."""

    network: str = Field(
        "shared",
        description=f"one of {', '.join(available())}, or one that you registered; `mtrl-conic networks` tells what "
        "each shares and its options",
    )
    network_options: dict[str, Any] = Field(default_factory=dict, description="key=value of the network's options")
    width: Count = Field(400, description="units of each hidden layer")
    depth: Count = Field(3, description="hidden layers, or residual blocks of two layers each")
    actor_width: Count | None = Field(None, description="the actor's own width; none takes the critic's")
    actor_depth: Count | None = Field(None, description="the actor's own depth; none takes the critic's")
    layer_norm: Literal["none", "critic", "both"] = Field(
        "none", description="networks with layer normalisation before each activation"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "float32",
        description="of the products in the hidden layers that tasks share; auto takes bfloat16 where the processor or "
        "GPU multiplies it in hardware. First and last layers, losses, balancing and optimisers stay in float32",
    )

    @property
    def critic_layers(self) -> Hidden:
        """What is asked of the critics' hidden layers; `precision` is no longer `auto`."""
        assert self.precision != "auto"
        return Hidden(self.width, self.depth, self.layer_norm != "none", self.precision)

    @property
    def actor_layers(self) -> Hidden:
        """What is asked of the actor's hidden layers; `precision` is no longer `auto`."""
        assert self.precision != "auto"
        width, depth = self.actor_width or self.width, self.actor_depth or self.depth
        return Hidden(width, depth, self.layer_norm == "both", self.precision)


class ActorConfig(BaseModel):
    """The policy that the actor describes."""

    log_std: Literal["clamp", "tanh"] = Field(
        "clamp", description="how its log standard deviation keeps to its range: cut off, or by a tanh onto the range"
    )
    log_std_min: float = Field(-20.0, description="smallest log standard deviation of the policy before tanh")
    log_std_max: float = Field(2.0, description="largest log standard deviation of the policy before tanh")


class CriticConfig(BaseModel):
    """What the critics learn and say."""

    critic_loss: Literal["squared", "categorical"] = Field(
        "squared", description="error of a value, or cross-entropy of a distribution over bins"
    )
    bins: Annotated[int, Field(ge=2)] = Field(101, description="of a categorical critic")
    value_limit: Annotated[float, Field(gt=0)] = Field(
        10.0, description="a categorical critic's bins reach from minus this to this"
    )
    bin_spread: Annotated[float, Field(ge=0)] = Field(
        0.75,
        description="standard deviation, in bins, of the Gaussian that a target is spread over; 0 splits it "
        "between the two nearest bins",
    )
    twins: Literal["min", "mean"] = Field("min", description="what the two critics' values are reduced to")
