"""Multi-task reinforcement learning with selectable gradient balancers.

>>> from mtrl_conic import MTSAC, make_task_set
>>> agent = MTSAC(make_task_set("mt10"), balancer="conicgrad")
>>> agent.learn(steps=100_000)
"""

from typing import TYPE_CHECKING

from mtrl_conic._lazy import lazy

if TYPE_CHECKING:
    from mtrl_conic.agents.policy import Policy as Policy
    from mtrl_conic.api import MTSAC as MTSAC
    from mtrl_conic.api import train as train
    from mtrl_conic.envs import TaskSet as TaskSet
    from mtrl_conic.envs import make_task_set as make_task_set

__version__ = "0.2.0"

__all__ = ["MTSAC", "Policy", "TaskSet", "__version__", "make_task_set", "train"]

__getattr__ = lazy(
    __name__,
    {
        "MTSAC": "mtrl_conic.api",
        "Policy": "mtrl_conic.agents.policy",
        "TaskSet": "mtrl_conic.envs",
        "make_task_set": "mtrl_conic.envs",
        "train": "mtrl_conic.api",
    },
)
