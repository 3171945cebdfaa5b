"""A shared trunk with a separate last layer for each task."""

from __future__ import annotations

from mtrl_conic.networks.registry import register_network
from mtrl_conic.networks.trunks.shared import Shared


@register_network("multihead")
class MultiHead(Shared):
    """A shared trunk with a separate last layer for each task."""

    own_output = True
