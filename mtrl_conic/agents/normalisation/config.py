"""What can be chosen about the scales of rewards and observations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class NormalisationConfig(BaseModel):
    """Scales of rewards and observations, learned from those seen in training."""

    reward_scale: Literal["none", "return", "deviation"] = Field(
        "none",
        description="return: a task's rewards are divided, when drawn, by its largest discounted return so far; "
        "deviation: as they come in, by the root of a running variance of its rewards",
    )
    deviation_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        0.001, description="what a reward counts in its task's running mean and variance"
    )
    return_limit: Annotated[float, Field(gt=0)] = Field(5.0, description="what the largest return so far is scaled to")
    observation_scale: Literal["none", "shared", "task"] = Field(
        "none",
        description="shared: every feature is brought to mean 0 and deviation 1 by the observations of all tasks so "
        "far, where it means the same in all of them; task: by each task's own",
    )
