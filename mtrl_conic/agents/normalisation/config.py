"""The configuration of reward and observation normalisation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class NormalisationConfig(BaseModel):
    """Normalisation of rewards and observations by statistics from training."""

    reward_scale: Literal["none", "return", "deviation"] = Field(
        "none",
        description=(
            "return: rewards are divided by the task's largest discounted return so far when a batch is drawn; "
            "deviation: rewards are divided by the root of a running variance of the task's rewards when they are "
            "stored"
        ),
    )
    deviation_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        0.001, description="weight of a new reward in the running mean and variance of its task"
    )
    return_limit: Annotated[float, Field(gt=0)] = Field(
        5.0, description="value that the largest return so far is scaled to"
    )
    observation_scale: Literal["none", "shared", "task"] = Field(
        "none",
        description=(
            "normalise every feature of the observations to mean 0 and standard deviation 1. shared: with the "
            "observations of all tasks so far, for features that mean the same in all tasks; task: with the "
            "observations of each task"
        ),
    )
