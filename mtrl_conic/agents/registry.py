"""The registry of agents and of the options that user-defined agents take."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic.fields import FieldInfo

from mtrl_conic import schema
from mtrl_conic.archives import load_archive
from mtrl_conic.errors import UserError, first_line, unknown
from mtrl_conic.plugins import same_definition

if TYPE_CHECKING:
    import torch

    from mtrl_conic.agents.protocol import Agent
    from mtrl_conic.envs.spec import TaskSpec

MTSAC = "mtsac"
"""The package's own agent; its options are the section `agent` of a configuration."""
MakeAgent = Callable[..., "Agent"]
"""A class, or a function that makes an agent: (spec, *, balancer, balancer_options, seed, device, **options) -> an
untrained agent for the tasks of `spec`. Its other keyword arguments are the agent's options."""
Maker = TypeVar("Maker", bound=MakeAgent)

_REGISTRY: dict[str, MakeAgent] = {}
_GIVEN = ("spec", "balancer", "balancer_options", "seed", "device")


def register_agent(name: str) -> Callable[[Maker], Maker]:
    """Register a class or a function under `name`, which must be unused; a decorator. See `MakeAgent`."""

    def add(make: Maker) -> Maker:
        taken = _REGISTRY.get(name)
        other = taken is not None and not same_definition(taken, make)
        if name == MTSAC or other:
            raise UserError(f"an agent named {name!r} already exists")
        _REGISTRY[name] = make
        return make

    return add


def available() -> list[str]:
    """Return the names of all agents, sorted."""
    return sorted({MTSAC, *_REGISTRY})


def options(name: str) -> dict[str, FieldInfo]:
    """Return the options of the user-defined agent `name`: default, range and description of each.

    Raises:
        UserError: the agent is not known; import the module that registers it.
    """
    return dict(schema.options_model(_get(name), besides=_GIVEN).model_fields)


def check_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Convert and check the options in `given`; an error names the option and its range."""
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
    """Make an untrained user-defined agent.

    Args:
        name: its registered name.
        spec: names and sizes of the tasks.
        balancer: the method that combines the gradients of the tasks, for `mtrl_conic.balancers.make`.
        balancer_options: options of the balancer.
        seed: seed of all its random numbers.
        device: device of its networks.
        options: options of the agent.
    """
    given = {"balancer": balancer, "balancer_options": dict(balancer_options), "seed": seed, "device": device}
    named = {**given, **check_options(name, options)}
    takes = f"the algorithm {name} must take (spec, *, {', '.join(given)})"
    schema.check_arguments(_get(name), [spec], named, takes=takes)
    agent = _get(name)(spec, **named)
    _check_members(name, agent)
    _check_state(name, agent)
    return agent


def _check_members(name: str, agent: Agent) -> None:
    """Check that the agent has every attribute and method of the protocol, and that its policy acts.

    Raises:
        UserError: it lacks some, or its policy has no `act`.
    """
    from mtrl_conic.agents.protocol import Agent  # it imports torch

    members = [*Agent.__annotations__, *(member for member in vars(Agent) if not member.startswith("_"))]
    missing = [member for member in members if not hasattr(agent, member)]
    if missing:
        raise UserError(f"algorithm {name!r} lacks {', '.join(missing)}: see mtrl_conic.agents.Agent")
    policy = agent.policy()
    if not hasattr(policy, "act"):
        raise UserError(f"algorithm {name!r}: policy() must return an object with act(), not {type(policy).__name__}")


def _check_state(name: str, agent: Agent) -> None:
    """Check that a checkpoint of the agent can be read again, before the first one is written.

    Raises:
        UserError: the state contains something else than tensors and plain values.
    """
    import torch  # takes seconds, which commands that only list agents need not spend

    for key, value in agent.state_dict().items():
        written = io.BytesIO()
        try:
            torch.save(value, written)
            load_archive(written)
        except Exception as error:  # pickle raises many kinds of errors
            raise UserError(
                f"algorithm {name!r}: state_dict()[{key!r}] cannot be kept in a checkpoint, which holds tensors, "
                f"numbers, texts, lists and dicts: {first_line(error)}"
            ) from None


def _get(name: str) -> MakeAgent:
    if name not in _REGISTRY:
        raise unknown("algorithm", name, available())
    return _REGISTRY[name]
