"""Names of agents, and the options that each of a user's own takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic.fields import FieldInfo

from mtrl_conic import schema
from mtrl_conic.errors import UserError, unknown

if TYPE_CHECKING:
    import torch

    from mtrl_conic.agents.protocol import Agent
    from mtrl_conic.envs.spec import TaskSpec

MTSAC = "mtsac"
"""The package's own agent, whose options are the section `agent` of a configuration."""
MakeAgent = Callable[..., "Agent"]
"""(spec, *, balancer, balancer_options, seed, device, **options) -> an untrained agent of the tasks of `spec`. It is
a class, or a function that makes one; its other keyword arguments are the agent's options."""
Maker = TypeVar("Maker", bound=MakeAgent)

_REGISTRY: dict[str, MakeAgent] = {}
_GIVEN = ("spec", "balancer", "balancer_options", "seed", "device")


def register_agent(name: str) -> Callable[[Maker], Maker]:
    """Decorator of a class or function that makes it known by `name`; a name is taken once. See `MakeAgent`."""

    def add(make: Maker) -> Maker:
        taken = _REGISTRY.get(name)
        other = taken is not None and getattr(taken, "__qualname__", "") != make.__qualname__
        if name == MTSAC or other:
            raise UserError(f"an agent named {name!r} exists already")
        _REGISTRY[name] = make
        return make

    return add


def available() -> list[str]:
    """The names of all agents, sorted."""
    return sorted({MTSAC, *_REGISTRY})


def options(name: str) -> dict[str, FieldInfo]:
    """The options of the agent `name`, one of a user's own: default, range and description of each.

    Raises:
        UserError: it is not known; it is once the module that registers it is imported.
    """
    return dict(schema.options_model(_get(name), besides=_GIVEN).model_fields)


def check_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options in `given`, converted and checked; an error names the option and its range."""
    if name == MTSAC and given:
        raise UserError(f"{MTSAC} takes no algorithm_options: its options are fields, such as --width")
    return {} if name == MTSAC else schema.check_options(name, schema.options_model(_get(name), besides=_GIVEN), given)


def make(
    name: str,
    spec: TaskSpec,
    *,
    balancer: str,
    balancer_options: Mapping[str, Any],
    seed: int,
    device: torch.device,
    options: Mapping[str, Any],
) -> Agent:
    """An agent of a user's own, untrained.

    Args:
        name: that it is registered by.
        spec: of the tasks.
        balancer: how it is to combine the tasks' gradients, for `mtrl_conic.balancers.make`.
        balancer_options: the balancer's.
        seed: of all that it draws.
        device: of its networks.
        options: its own.
    """
    return _get(name)(
        spec,
        balancer=balancer,
        balancer_options=dict(balancer_options),
        seed=seed,
        device=device,
        **check_options(name, options),
    )


def _get(name: str) -> MakeAgent:
    if name not in _REGISTRY:
        raise unknown("algorithm", name, available())
    return _REGISTRY[name]
