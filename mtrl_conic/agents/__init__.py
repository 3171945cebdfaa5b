"""Multi-task soft actor-critic: networks, losses, optimisers."""

from typing import TYPE_CHECKING

from mtrl_conic._lazy import lazy

if TYPE_CHECKING:
    from mtrl_conic.agents.policy import Policy as Policy
    from mtrl_conic.agents.protocol import Agent as Agent
    from mtrl_conic.agents.protocol import Batch as Batch
    from mtrl_conic.agents.protocol import Schedule as Schedule
    from mtrl_conic.agents.protocol import Statistics as Statistics
    from mtrl_conic.agents.registry import register_agent as register_agent
    from mtrl_conic.envs.spec import TaskSpec as TaskSpec

__all__ = ["Agent", "Batch", "Policy", "Schedule", "Statistics", "TaskSpec", "register_agent"]

__getattr__ = lazy(
    __name__,
    {
        "Agent": "mtrl_conic.agents.protocol",
        "Batch": "mtrl_conic.agents.protocol",
        "Policy": "mtrl_conic.agents.policy",
        "Schedule": "mtrl_conic.agents.protocol",
        "Statistics": "mtrl_conic.agents.protocol",
        "TaskSpec": "mtrl_conic.envs.spec",
        "register_agent": "mtrl_conic.agents.registry",
    },
)
