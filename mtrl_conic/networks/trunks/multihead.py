"""A trunk that the tasks share, a last layer of each task's own."""

from __future__ import annotations

from mtrl_conic.networks.registry import register_network
from mtrl_conic.networks.trunks.shared import Shared


@register_network("multihead")
class MultiHead(Shared):
    """The trunk is shared, and each task has a last layer of its own."""

    own_output = True
