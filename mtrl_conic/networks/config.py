"""What can be chosen about networks and critics."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, model_validator

from mtrl_conic.errors import UserError
from mtrl_conic.networks.hidden import Hidden
from mtrl_conic.networks.registry import available
from mtrl_conic.schema import Role

Count = Annotated[int, Field(ge=1)]
A = TypeVar("A", bound="ActorConfig")


class NetworkConfig(BaseModel):
    """The networks of the actor and the critics."""

    network: str = Field(
        "shared",
        description=f"network: one of {', '.join(available())}, or your own; `mtrl-conic networks` lists their "
        "options and what they share",
    )
    network_options: dict[str, Any] = Field(default_factory=dict, description="options of the network as key=value")
    width: Count = Field(400, description="number of units of each hidden layer")
    depth: Count = Field(3, description="number of hidden layers, or of residual blocks with two layers each")
    actor_width: Count | None = Field(None, description="width of the actor's hidden layers; none: that of the critics")
    actor_depth: Count | None = Field(
        None, description="number of the actor's hidden layers; none: that of the critics"
    )
    layer_norm: Literal["none", "critic", "both"] = Field(
        "none", description="networks that apply layer normalisation before each activation"
    )
    precision: Annotated[Literal["auto", "float32", "bfloat16"], Role.SETTING] = Field(
        "float32",
        description=(
            "precision of the products in the shared hidden layers; auto uses bfloat16 if the CPU or GPU supports it "
            "in hardware. The first and last layers, the losses, the balancing and the optimisers stay in float32"
        ),
    )

    @property
    def critic_layers(self) -> Hidden:
        """The settings of the critics' hidden layers; `precision` must not be `auto`."""
        assert self.precision != "auto"
        return Hidden(self.width, self.depth, self.layer_norm != "none", self.precision)

    @property
    def actor_layers(self) -> Hidden:
        """The settings of the actor's hidden layers; `precision` must not be `auto`."""
        assert self.precision != "auto"
        width, depth = self.actor_width or self.width, self.actor_depth or self.depth
        return Hidden(width, depth, self.layer_norm == "both", self.precision)


class ActorConfig(BaseModel):
    """The policy that the actor represents."""

    log_std: Literal["clamp", "tanh"] = Field(
        "clamp",
        description="how the log standard deviation is limited to its range: clamped, or mapped to the range by a tanh",
    )
    log_std_min: float = Field(-20.0, description="smallest log standard deviation of the policy before tanh")
    log_std_max: float = Field(2.0, description="largest log standard deviation of the policy before tanh")

    @model_validator(mode="after")
    def _check_range(self: A) -> A:
        if self.log_std_min >= self.log_std_max:
            raise UserError(f"log_std_min={self.log_std_min:g} must be below log_std_max={self.log_std_max:g}")
        return self


class CriticConfig(BaseModel):
    """The critics' values and their loss."""

    critic_loss: Literal["squared", "categorical"] = Field(
        "squared",
        description="squared: squared error of a value; categorical: cross-entropy of a distribution over bins",
    )
    bins: Annotated[int, Field(ge=2)] = Field(101, description="number of bins of a categorical critic")
    value_limit: Annotated[float, Field(gt=0)] = Field(
        10.0, description="largest value that the bins of a categorical critic represent; the smallest is minus this"
    )
    bin_spread: Annotated[float, Field(ge=0)] = Field(
        0.75,
        description=(
            "standard deviation, in bins, of the Gaussian that a target is spread over; 0: split between the two "
            "nearest bins"
        ),
    )
    critics: Count = Field(2, description="number of critics; an update with one takes about two thirds of the time")
    twins: Annotated[Literal["min", "mean"], Role.SETTING] = Field(
        "min", description="how the values of the critics are combined"
    )
    actor_twins: Annotated[Literal["all", "first"], Role.SETTING] = Field(
        "all",
        description="critics in the actor's loss: all, combined as in the targets, or the first alone as in TD3, which "
        "is cheaper",
    )
