"""Networks by name: the layers between an observation and the output, and which parameters tasks share.

>>> from mtrl_conic import networks
>>> networks.available()
['care', 'moore', 'multihead', 'paco', 'shared', 'single_task', 'soft_modularization']
>>> list(networks.options("soft_modularization"))
['modules']

Listing networks does not import torch; it is imported when a network is used.
"""

from typing import TYPE_CHECKING

from mtrl_conic._lazy import lazy
from mtrl_conic.networks.hidden import Hidden
from mtrl_conic.networks.registry import (
    Network,
    available,
    check_options,
    choose,
    get,
    options,
    register_network,
)

if TYPE_CHECKING:
    from mtrl_conic.networks.actor_critic import Actor as Actor
    from mtrl_conic.networks.actor_critic import Critic as Critic

__all__ = [
    "Actor",
    "Critic",
    "Hidden",
    "Network",
    "available",
    "check_options",
    "choose",
    "get",
    "options",
    "register_network",
]

__getattr__ = lazy(
    __name__, {"Actor": "mtrl_conic.networks.actor_critic", "Critic": "mtrl_conic.networks.actor_critic"}
)
