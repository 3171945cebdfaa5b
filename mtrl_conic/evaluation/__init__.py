"""Evaluation of policies: success and return per task, and statistics over runs."""

from typing import TYPE_CHECKING

from mtrl_conic._lazy import lazy

if TYPE_CHECKING:
    from mtrl_conic.evaluation.policies import expert_policy as expert_policy
    from mtrl_conic.evaluation.policies import random_policy as random_policy
    from mtrl_conic.evaluation.success import Evaluation as Evaluation
    from mtrl_conic.evaluation.success import Evaluator as Evaluator

__all__ = ["Evaluation", "Evaluator", "expert_policy", "random_policy"]

__getattr__ = lazy(
    __name__,
    {
        "Evaluation": "mtrl_conic.evaluation.success",
        "Evaluator": "mtrl_conic.evaluation.success",
        "expert_policy": "mtrl_conic.evaluation.policies",
        "random_policy": "mtrl_conic.evaluation.policies",
    },
)
