"""Balancers: how the gradients of several tasks become one direction.

>>> from mtrl_conic import balancers
>>> balancer = balancers.make("ls", num_tasks=2)
>>> balancer.weights(torch.eye(2))
tensor([0.5000, 0.5000], dtype=torch.float64)
"""

from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.registry import available, check_options, get, make, options, register

from mtrl_conic.balancers import methods as _methods  # noqa: F401  # isort: skip  # being there is being registered

__all__ = ["Balance", "Balancer", "available", "check_options", "get", "make", "options", "register"]
