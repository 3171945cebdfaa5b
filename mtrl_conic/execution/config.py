"""The configuration of how and where a run is executed, which is not part of the run's identity."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mtrl_conic.envs.config import SteppingConfig
from mtrl_conic.schema import Role

COMPILED_AFTER = 20_000
"""The number of updates after which `compile: auto` compiles, about as many as it takes to recover the cost."""


class MachineConfig(BaseModel):
    """Where a run is executed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Annotated[str, Role.EXECUTION] = Field(
        "auto", description="device: auto, cpu, cuda or cuda:N; auto uses a GPU if there is one"
    )
    threads: Annotated[int | None, Role.EXECUTION] = Field(
        None, ge=1, description="number of processor threads of a run; none: torch decides"
    )


class UpdateConfig(BaseModel):
    """How an update is executed."""

    compile: Annotated[bool | Literal["auto"], Role.EXECUTION] = Field(
        "auto",
        description="compile the networks' part of an update and the balancer (torch.compile; needs a C++ compiler). "
        "Compiling takes about a minute and reduces the time of an update on a CPU to about three quarters. auto: on a "
        f"CPU, after {COMPILED_AFTER:,} updates",
    )
    record_updates: Annotated[bool, Role.EXECUTION] = Field(
        True,
        description=(
            "on a GPU, record an update once as a CUDA graph and replay it, which takes a tenth of the time, because "
            "launching its many small operations takes most of it; no effect on other devices and on networks and "
            "balancers of your own"
        ),
    )
    overlap: Annotated[bool | None, Role.EXECUTION] = Field(
        None,
        description=(
            "step the environments in parallel with the update, without changing the results; none: if a core is free"
        ),
    )


class ExecutionConfig(
    # pydantic orders the fields from the last base to the first.
    UpdateConfig,
    SteppingConfig,
    MachineConfig,
):
    """How and where an agent is trained; a run may be resumed with different values."""

    @property
    def stepping_options(self) -> dict[str, Any]:
        """The options of `mtrl_conic.envs.make_task_set`."""
        return self.model_dump(include=set(SteppingConfig.model_fields))
