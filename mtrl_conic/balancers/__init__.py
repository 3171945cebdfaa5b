"""Balancers: how the gradients of several tasks become one direction.

>>> from mtrl_conic import balancers
>>> balancer = balancers.make("ls", num_tasks=2)
>>> balancer.weights(torch.eye(2))
tensor([0.5000, 0.5000], dtype=torch.float64)
"""

import importlib
import pkgutil

from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.registry import available, check_options, get, make, options, register

# A balancer is registered by lying in this folder.
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Balance", "Balancer", "available", "check_options", "get", "make", "options", "register"]
