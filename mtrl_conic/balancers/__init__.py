"""Balancers combine the gradients of several tasks into one direction.

>>> from mtrl_conic import balancers
>>> balancer = balancers.make("ls", num_tasks=2)
>>> balancer.weights(torch.eye(2))
tensor([0.5000, 0.5000], dtype=torch.float64)
"""

from mtrl_conic.balancers.adam import adam_state, adam_step
from mtrl_conic.balancers.base import Balance, Balancer, Direction, Proposal
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.kinds import ConstantBalancer, JacobianBalancer, LossBalancer
from mtrl_conic.balancers.notation import label, parse_methods
from mtrl_conic.balancers.registry import available, check_options, get, make, options, register
from mtrl_conic.balancers.seam import Combined, Gradients

from mtrl_conic.balancers import methods as _methods  # noqa: F401  # isort: skip  # the import registers them

__all__ = [
    "Balance",
    "Balancer",
    "Combined",
    "ConstantBalancer",
    "Direction",
    "Gradients",
    "JacobianBalancer",
    "LossBalancer",
    "Outcome",
    "Proposal",
    "adam_state",
    "adam_step",
    "available",
    "check_options",
    "get",
    "label",
    "make",
    "options",
    "parse_methods",
    "register",
]
