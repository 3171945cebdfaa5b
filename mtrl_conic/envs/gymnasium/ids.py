"""Ids of registered environments, as for `gymnasium.make`."""

from __future__ import annotations

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, find_highest_version, get_env_id, parse_env_id

from mtrl_conic import plugins
from mtrl_conic.errors import UserError, first_line


def module_of(identifier: str) -> str | None:
    """Return the module that an id such as `my_module:MyEnv-v0` names; None if it names none."""
    module, colon, _ = identifier.rpartition(":")
    return module if colon else None


def find_environment(identifier: str) -> EnvSpec:
    """Return Gymnasium's spec of an id. A module in front of the id is imported; without a version the latest is used.

    Raises:
        UserError: the environment does not exist, or its module cannot be imported.
    """
    module = module_of(identifier)
    if module is not None:
        plugins.load([module])
    try:
        name = identifier.rpartition(":")[2]
        namespace, plain, version = parse_env_id(name)
        if version is None:
            name = get_env_id(namespace, plain, find_highest_version(namespace, plain))
        return gym.spec(name)
    except gym.error.Error as error:
        said = first_line(error)
        if "Did you mean" not in said and module is None:
            said = f"{said.rstrip('.?')}; to use your own environment, import the module that registers it (--import)"
        raise UserError(said) from None
