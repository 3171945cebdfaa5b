"""What a configuration describes: its tasks, its environments and its agent."""

from __future__ import annotations

from mtrl_conic.agents import Agent, registry
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.envs import TaskSet, make_task_set
from mtrl_conic.envs.names import is_metaworld, task_names
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.execution.choice import make_execution
from mtrl_conic.execution.device import choose_device
from mtrl_conic.runs.config import RunConfig


def spec_of(config: RunConfig, *, probe: bool = False) -> TaskSpec:
    """Return the spec of a configuration's tasks; it is known for Meta-World without any simulation.

    Args:
        config: configuration of a run.
        probe: whether to reset and step other environments once.
    """
    if is_metaworld(config.task_set):
        names, one_hot = task_names(config.task_set), config.environment.one_hot
        return TaskSpec(names, 39 + len(names) * one_hot, 4, one_hot)
    envs = make_evaluation_envs(config)
    try:
        if probe:
            envs.reset()
            envs.step(envs.action_space.sample())
        return TaskSpec.of(envs)
    finally:
        envs.close()


def make_agent(config: RunConfig, envs: TaskSet | TaskSpec) -> Agent:
    """Make the untrained agent of a configuration."""
    chosen = config.execution
    if config.algorithm != registry.MTSAC:
        return registry.make(
            config.algorithm,
            envs if isinstance(envs, TaskSpec) else TaskSpec.of(envs),
            balancer=config.balancer,
            balancer_options=config.balancer_options,
            seed=config.seed,
            device=choose_device(chosen.device),
            options=config.algorithm_options,
        )
    execution = make_execution(choose_device(chosen.device), compile=chosen.compile, cuda_graph=chosen.record_updates)
    return MTSAC(
        envs,
        balancer=config.balancer,
        balancer_options=config.balancer_options,
        seed=config.seed,
        device=chosen.device,
        execution=execution,
        config=config.agent,
    )


def make_envs(config: RunConfig) -> TaskSet:
    """Make a new task set of a configuration: training and evaluation use separate ones with the same goals."""
    options = config.environment.model_dump() | config.execution.stepping_options
    return make_task_set(config.task_set, seed=config.seed, **options)


def make_evaluation_envs(config: RunConfig) -> TaskSet:
    """Make the task set for evaluation, with one environment per task."""
    return make_envs(config.model_copy(update={"environment": config.environment.model_copy(update={"copies": 1})}))
