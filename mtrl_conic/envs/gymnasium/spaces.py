"""Checks of an environment's spaces: observations must be float vectors, actions a bounded Box."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

from mtrl_conic.errors import UserError


def check_observations(name: str, space: Any) -> None:
    """Check that an agent can read the observations of task `name`; if not, a `UserError` says what to do."""
    if not isinstance(space, Box):
        fix = "wrap it in gymnasium.wrappers.FlattenObservation" if isinstance(space, Dict) else "give a Box of floats"
        raise UserError(f"task {name!r}: observations are a {type(space).__name__}, a Box is needed; {fix}")
    if len(space.shape) >= 2 and np.issubdtype(space.dtype, np.integer):
        raise UserError(
            f"task {name!r}: observations are images {space.shape}, which the agents do not support; "
            "give its environment a vector of features"
        )
    if len(space.shape) != 1:
        raise UserError(
            f"task {name!r}: observations have shape {space.shape}, a vector is needed; "
            "wrap it in gymnasium.wrappers.FlattenObservation"
        )
    if not np.issubdtype(space.dtype, np.floating):
        raise UserError(
            f"task {name!r}: observations are {space.dtype}, floats are needed in every task; "
            "wrap it in gymnasium.wrappers.DtypeObservation(env, np.float32)"
        )
    if space.shape[0] == 0:
        raise UserError(f"task {name!r}: observations are empty; give a Box with at least one entry")


def check_actions(name: str, space: Any) -> None:
    """Check that an agent can act in the space of task `name`; if not, a `UserError` says what to do."""
    if isinstance(space, Discrete | MultiDiscrete | MultiBinary):
        raise UserError(
            f"task {name!r}: actions are discrete ({space}), but agents need continuous ones; "
            "use an environment with a Box of actions, such as MountainCarContinuous-v0 for MountainCar-v0"
        )
    if not isinstance(space, Box):
        raise UserError(f"task {name!r}: actions are a {type(space).__name__}, a Box of floats is needed")
    if not np.issubdtype(space.dtype, np.floating):
        raise UserError(f"task {name!r}: actions are {space.dtype}, floats are needed; wrap it in TransformAction")
    if not np.prod(space.shape):
        raise UserError(f"task {name!r}: actions are empty; give a Box with at least one entry")
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all() and (space.low < space.high).all()):
        raise UserError(
            f"task {name!r}: the bounds of its actions are not finite and increasing; "
            "declare a Box with the range that its actuators have"
        )
