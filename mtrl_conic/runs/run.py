"""The execution of a run from its configuration to its result."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mtrl_conic import balancers, networks
from mtrl_conic.agents import Agent, registry
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.mtsac.making import make_networks, settled
from mtrl_conic.envs import TaskSet, make_task_set, why_untraceable
from mtrl_conic.envs.names import check_spec, is_metaworld, task_names
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError, first_line
from mtrl_conic.evaluation.curves import best_evaluation
from mtrl_conic.evaluation.success import Evaluator, check_episodes
from mtrl_conic.execution.choice import make_execution
from mtrl_conic.execution.compiled import check_compiler
from mtrl_conic.execution.cores import available_cores, check_fits_cores
from mtrl_conic.execution.device import choose_device
from mtrl_conic.execution.memory import PeakMemory, free_memory, keep_freed_memory
from mtrl_conic.files import stopped_by_storage
from mtrl_conic.runs.config import RunConfig, require_modules
from mtrl_conic.runs.configuration import Configuration, check_kind
from mtrl_conic.runs.directory import EARLIER, RunDirectory, open_run
from mtrl_conic.runs.provenance import PROVENANCE, processor, provenance, versions
from mtrl_conic.runs.room import PROCESS, check_room, of_process
from mtrl_conic.runs.stored import read_checkpoint, read_config
from mtrl_conic.schema import parse
from mtrl_conic.training.callbacks import Callback, TensorBoard
from mtrl_conic.training.trainer import Trainer

_LOGGER = logging.getLogger(__name__)


def train(
    config: RunConfig,
    directory: Path,
    *,
    callbacks: Sequence[Callback] = (),
    allow_changes: bool = False,
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Start or resume the training that `config` describes, and evaluate it at the end.

    Args:
        config: complete configuration with checked fields.
        directory: directory of the run; it is created if needed.
        callbacks: callbacks besides TensorBoard.
        allow_changes: whether to resume although settings (fields of the role `SETTING`) differ; `changes.jsonl`
            records the changes. A changed run keeps its changed settings, whichever of the values is given later.
        interrupted: see `Trainer`.

    Returns:
        The content of `result.json`. A finished run is not changed unless its budget is larger now: then it continues,
        and the earlier result is kept in `earlier_results.jsonl`.

    Raises:
        UserError: an invalid name or value, or a directory that cannot be used.
        Failed: the disk is full or the training diverged; the last checkpoint is kept.
        Interrupted: the run was stopped between two steps; the same call resumes it.
    """
    check(config)
    with stopped_by_storage(directory):
        run = open_run(directory, config, changes="make" if allow_changes else "follow")
        try:
            config = RunConfig.complete(run.config)
            result = run.result if run.finished else None
            return result or _train(config, run, callbacks, interrupted=interrupted)
        except UserError:
            run.withdraw()  # an error that only the environments or the networks could find
            raise
        finally:
            run.close()


def check(config: RunConfig) -> None:
    """Check combinations of fields before anything is built or written."""
    require_modules(dict(config), of="this run")
    check_spec(config.task_set)
    balancers.check_options(config.balancer, config.balancer_options)
    networks.check_options(config.agent.network, config.agent.network_options)
    for episodes in (config.training.training_episodes_per_task, config.training.episodes_per_task):
        check_goals(config, episodes)
    check_fits_cores("threads", config.execution.threads)
    check_fits_cores("stepping_threads", config.execution.stepping_threads)
    device = choose_device(config.execution.device)
    if config.execution.compile is True:
        check_compiler()
    if config.training.replay == "disk" and device.type != "cpu":
        raise UserError("replay=disk needs --device cpu; use replay=memory on a GPU")


def check_fits(config: RunConfig, directory: Path) -> None:
    """Check that a run on Meta-World fits into the machine before its environments are created; see `check_room`.

    The sizes of other tasks are known only after one environment of each is created.

    Args:
        config: configuration of the run.
        directory: directory of the run, which need not exist.
    """
    if is_metaworld(config.task_set):
        check_room(config, spec_of(config), directory)


def check_jobs(configs: Sequence[Configuration], jobs: int) -> None:
    """Check that a number of processes of a comparison fits into memory.

    Raises:
        UserError: it does not fit; the message names a number that fits.
    """
    sizes = sorted((_process_bytes(config) for config in configs), reverse=True)[:jobs]
    room = free_memory(torch.device("cpu"))
    fitting = sum(total <= room for total in itertools.accumulate(sizes))
    if fitting < len(sizes):
        raise UserError(
            f"--jobs {jobs}: {len(sizes)} runs at a time would take {sum(sizes) / 1e9:,.1f} GB of memory, and "
            f"{room / 1e9:,.1f} GB are free; --jobs {max(1, fitting)} fits"
        )


def _process_bytes(config: Configuration) -> int:
    if isinstance(config, RunConfig) and is_metaworld(config.task_set):
        return of_process(config, spec_of(config))
    return PROCESS  # the sizes of other tasks are not known yet


def probe(configs: Sequence[RunConfig]) -> None:
    """Find errors before the first step: reset and step your own environments, build networks without memory.

    Raises:
        UserError: an environment, a network or a balancer fails, or they do not fit together.
    """
    specs: dict[str, TaskSpec] = {}
    checked: list[tuple[Any, ...]] = []
    for config in configs:
        tasks = repr((config.task_set, config.environment, config.execution.stepping_options))
        if tasks not in specs:
            specs[tasks] = spec_of(config, probe=True)
        whole = (tasks, config.algorithm, config.algorithm_options, config.agent, config.method)
        if whole not in checked:
            checked.append(whole)
            if config.algorithm != registry.MTSAC:
                make_agent(config, specs[tasks])
                continue
            agent, network = settled(config.agent, {}, None, torch.device("cpu"))
            with torch.device("meta"):
                make_networks(specs[tasks], agent, network, torch.Generator())
            names = specs[tasks].task_names
            balancers.make(config.balancer, len(names), task_names=names, **config.balancer_options)


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


def check_goals(config: RunConfig, episodes_per_task: int) -> None:
    """Check that Meta-World's tasks have enough goals; Gymnasium's tasks have any number of episodes."""
    if is_metaworld(config.task_set):
        check_episodes(episodes_per_task, config.environment.num_goals)


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


class LoadedRun(NamedTuple):
    """A run loaded from its checkpoint."""

    config: RunConfig
    agent: Agent
    envs: TaskSet
    """The task set for evaluation; the caller closes it."""


def load_agent(directory: Path, *, device: str = "auto", checkpoint: Path | None = None) -> LoadedRun:
    """Load the configuration of a run, the agent of its last checkpoint, and a task set for evaluation.

    Args:
        directory: directory of the run.
        device: device of the networks.
        checkpoint: another file to load, such as `checkpoints/best.pt`, see `KeepBest`.
    """
    config, saved = read_run(directory, checkpoint=checkpoint)
    config = config.model_copy(update={"execution": config.execution.model_copy(update={"device": device})})
    envs = make_evaluation_envs(config)
    agent = make_agent(config, envs)
    take_up(agent, saved, of=checkpoint or directory)
    return LoadedRun(config, agent, envs)


def take_up(agent: Agent, saved: dict[str, Any], *, of: Path) -> None:
    """Load the state in a checkpoint into an agent.

    Args:
        agent: agent of the run's configuration.
        saved: content of the checkpoint.
        of: the run or the file, for the message.

    Raises:
        UserError: the state is that of another agent.
    """
    try:
        agent.load_state_dict(saved["agent"])
    except (UserError, RuntimeError, KeyError, TypeError) as error:  # torch raises these for other shapes and names
        raise UserError(f"the checkpoint of {of} does not fit its configuration: {first_line(error)}") from None


def read_run(directory: Path, *, checkpoint: Path | None = None) -> tuple[RunConfig, dict[str, Any]]:
    """Read the configuration of a run and the content of its last checkpoint, or of the file `checkpoint`."""
    values = read_config(directory)
    check_kind(values, "reinforcement", where=directory)
    require_modules(values, of=str(directory))
    config = parse(RunConfig, values, where=str(directory / "config.yaml"))
    saved = read_checkpoint(directory, checkpoint)
    if saved is None:
        raise UserError(f"the run {directory} has no checkpoint yet")
    if "agent" not in saved or "step" not in saved:
        raise UserError(f"{checkpoint or directory} has no checkpoint of an agent")
    return config, saved


def make_envs(config: RunConfig) -> TaskSet:
    """Make a new task set of a configuration: training and evaluation use separate ones with the same goals."""
    options = config.environment.model_dump() | config.execution.stepping_options
    return make_task_set(config.task_set, seed=config.seed, **options)


def make_evaluation_envs(config: RunConfig) -> TaskSet:
    """Make the task set for evaluation, with one environment per task."""
    return make_envs(config.model_copy(update={"environment": config.environment.model_copy(update={"copies": 1})}))


def _train(
    config: RunConfig,
    run: RunDirectory,
    callbacks: Sequence[Callback],
    *,
    interrupted: Callable[[], bool],
) -> dict[str, Any]:
    check_fits(config, run.path)
    run.append(PROVENANCE, provenance())
    keep_freed_memory()
    memory = PeakMemory(choose_device(config.execution.device))
    if config.execution.threads:
        torch.set_num_threads(config.execution.threads)
    evaluation_envs = make_evaluation_envs(config)
    if not is_metaworld(config.task_set):
        check_room(config, TaskSpec.of(evaluation_envs), run.path)
    envs = make_envs(config)
    evaluator = Evaluator(evaluation_envs, config.training.episodes_per_task)
    trainer = Trainer(
        envs,
        make_agent(config, envs),
        config=config.training,
        evaluator=evaluator,
        run=run,
        callbacks=[*recording(run), *callbacks],
        overlap=_overlap(config),
        interrupted=interrupted,
    )
    try:
        return go_on(trainer, run, config, memory)
    finally:
        envs.close()
        evaluation_envs.close()


def go_on(trainer: Trainer, run: RunDirectory, config: RunConfig, memory: PeakMemory) -> dict[str, Any]:
    """Resume a run from its last checkpoint, train to the end of its budget, and write its result.

    Args:
        trainer: trainer that writes to `run`.
        run: open run directory.
        config: configuration of the run.
        memory: memory measured since the run's start in this process.

    Returns:
        The content of `result.json`.
    """
    earlier = run.result or next(reversed(run.records(EARLIER)), None)
    # The final evaluation of a smaller budget is kept, although training continues from there.
    resumed = trainer.resume(evaluated_at=earlier["step"] if earlier else 0)
    run.go_on()
    if earlier and earlier["step"] == trainer.step and config.budget.share(trainer.step, trainer.seconds) >= 1:
        run.finish(earlier)  # a larger budget was given, and taken back before another checkpoint
        return earlier
    if not resumed and not is_metaworld(config.task_set) and trainer.evaluator is not None:
        _warn_of_untraceable(trainer.evaluator.envs, config)
    evaluation = trainer.train(config.steps, minutes=config.minutes)
    assert evaluation is not None
    result = _result(trainer, evaluation.record(), memory)
    if trainer.stopped is not None:
        result["stopped"] = trainer.stopped
    if config.training.report_best:
        result["best_over_training"] = best_evaluation(run.records("evaluations"))
    run.finish(result)
    return result


def recording(run: RunDirectory) -> list[Callback]:
    """Return the callbacks that write further records to the directory of every run."""
    return [TensorBoard(run.path), _Tells(run)]


class _Tells(Callback):
    """Writes the current activity besides the steps to the run directory, for display by other processes."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run

    def on_doing(self, trainer: Trainer, words: str) -> None:
        self._run.tell(words)

    def on_stop(self, trainer: Trainer) -> None:
        with suppress(OSError):  # a full disk, which is reported where it ends the run
            self._run.tell("")


def _warn_of_untraceable(envs: TaskSet, config: RunConfig) -> None:
    """Warn before a run starts if it cannot be resumed within episodes."""
    reason = why_untraceable(envs)
    if reason is not None:
        fresh = config.training.on_untraceable == "fresh"
        then = "if it is resumed, it will start new episodes" if fresh else "it cannot be resumed"
        _LOGGER.warning("%s; this run starts anyway, but %s", reason, then)


def _overlap(config: RunConfig) -> bool:
    if config.execution.overlap is not None:
        return config.execution.overlap
    free = available_cores() - torch.get_num_threads()
    return choose_device(config.execution.device).type != "cpu" or free > 0


def _result(trainer: Trainer, evaluation: dict[str, Any], memory: PeakMemory) -> dict[str, Any]:
    return {
        "step": trainer.step,
        "seconds": round(trainer.seconds, 3),
        **evaluation,
        "seconds_by_part": {part: round(seconds, 3) for part, seconds in trainer.watch.seconds.items()},
        "peak_memory_mib": round(memory.peak() / 2**20, 1),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions(["mtrl-conic", "torch", "metaworld", "mujoco", "numpy"]),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "device": str(trainer.agent.device),
        },
    }
