"""Task sets: the environments that are trained together.

>>> from mtrl_conic.envs import make_task_set
>>> envs = make_task_set("mt10", seed=0)
>>> observations, _ = envs.reset()
>>> observations, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())
"""

from typing import TYPE_CHECKING

from mtrl_conic._lazy import lazy

if TYPE_CHECKING:
    from mtrl_conic.envs.check import check_task_set as check_task_set
    from mtrl_conic.envs.check import why_untraceable as why_untraceable
    from mtrl_conic.envs.config import TaskSetConfig as TaskSetConfig
    from mtrl_conic.envs.gymnasium.task import Task as Task
    from mtrl_conic.envs.make import make_task_set as make_task_set
    from mtrl_conic.envs.metaworld.goals import draw_goals as draw_goals
    from mtrl_conic.envs.names import task_names as task_names
    from mtrl_conic.envs.registry import available_task_sets as available_task_sets
    from mtrl_conic.envs.registry import register_task_set as register_task_set
    from mtrl_conic.envs.running import Untraceable as Untraceable
    from mtrl_conic.envs.stepper import Step as Step
    from mtrl_conic.envs.stepper import Stepper as Stepper
    from mtrl_conic.envs.task_set import TaskSet as TaskSet

__all__ = [
    "Step",
    "Stepper",
    "Task",
    "TaskSet",
    "TaskSetConfig",
    "Untraceable",
    "available_task_sets",
    "check_task_set",
    "draw_goals",
    "make_task_set",
    "register_task_set",
    "task_names",
    "why_untraceable",
]

__getattr__ = lazy(
    __name__,
    {
        "Step": "mtrl_conic.envs.stepper",
        "Stepper": "mtrl_conic.envs.stepper",
        "Task": "mtrl_conic.envs.gymnasium.task",
        "TaskSet": "mtrl_conic.envs.task_set",
        "TaskSetConfig": "mtrl_conic.envs.config",
        "Untraceable": "mtrl_conic.envs.running",
        "available_task_sets": "mtrl_conic.envs.registry",
        "check_task_set": "mtrl_conic.envs.check",
        "draw_goals": "mtrl_conic.envs.metaworld.goals",
        "make_task_set": "mtrl_conic.envs.make",
        "register_task_set": "mtrl_conic.envs.registry",
        "task_names": "mtrl_conic.envs.names",
        "why_untraceable": "mtrl_conic.envs.check",
    },
)
