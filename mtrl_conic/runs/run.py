"""The execution of a run from its configuration to its result."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from mtrl_conic.envs import TaskSet, why_untraceable
from mtrl_conic.envs.names import is_metaworld
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.evaluation.curves import best_evaluation
from mtrl_conic.evaluation.success import Evaluator
from mtrl_conic.execution.cores import available_cores
from mtrl_conic.execution.device import choose_device
from mtrl_conic.execution.memory import PeakMemory, keep_freed_memory
from mtrl_conic.files import stopped_by_storage
from mtrl_conic.runs.checking import check, check_fits
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.directory import EARLIER, RunDirectory, open_run
from mtrl_conic.runs.making import make_agent, make_envs, make_evaluation_envs
from mtrl_conic.runs.provenance import PROVENANCE, processor, provenance, versions
from mtrl_conic.runs.room import check_room
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
