"""What may be said of how an update is carried out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from mtrl_conic.schema import Role

COMPILED_AFTER = 20_000
"""Updates after which `compile: auto` compiles: about as many as must still follow until it has paid."""


class ExecutionConfig(BaseModel):
    """How an update is carried out: no part of what a run is."""

    compile: Annotated[bool | Literal["auto"], Role.EXECUTION] = Field(
        "auto",
        description="compile the networks' part of an update (torch.compile; needs a C++ compiler): it takes about a "
        "minute, an update on a processor then about three quarters of its time. auto: on a "
        f"processor, after {COMPILED_AFTER:,} updates",
    )
    record_updates: Annotated[bool, Role.EXECUTION] = Field(
        False,
        description="on a GPU: record an update once as a CUDA graph and replay it, for an update of this size is "
        "bound by the launching of its operations. Nothing changes elsewhere",
    )
