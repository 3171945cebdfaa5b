"""The configuration of the training loop."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mtrl_conic.schema import Role


class TrainingConfig(BaseModel):
    """The training loop: replay, records, evaluation and checkpoints. Steps are steps per task."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    replay_capacity: int = Field(100_000, ge=1, description="number of transitions that the replay keeps per task")
    replay: Annotated[Literal["memory", "disk"], Role.EXECUTION] = Field(
        "memory", description="where the replay is kept; disk: in a memory-mapped file in the run directory"
    )
    log_every: Annotated[int, Role.EXECUTION] = Field(
        500, ge=1, description="number of steps between two lines of metrics"
    )
    evaluate_every: Annotated[int, Role.SETTING] = Field(
        25_000, ge=1, description="number of steps between two evaluations during training"
    )
    checkpoint_every: int = Field(5_000, ge=1, description="number of steps between two checkpoints")
    training_episodes_per_task: Annotated[int, Role.SETTING] = Field(
        10, ge=1, description="number of goals per task in an evaluation during training"
    )
    episodes_per_task: int = Field(
        50, ge=1, description="number of goals per task in the final evaluation, whose success rates are reported"
    )
    on_untraceable: Annotated[Literal["fresh", "refuse"], Role.EXECUTION] = Field(
        "fresh",
        description=(
            "what to do if a run is resumed and its saved episodes cannot be reproduced because an environment is "
            "not determined by seed and actions: start new episodes (fresh), or refuse to resume"
        ),
    )
    report_best: bool = Field(
        False,
        description=(
            "also report the best evaluation of the run, labelled as such because the same episodes select and score "
            "it, as in the older published tables"
        ),
    )
