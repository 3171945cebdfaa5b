"""The functions for your own programs: an agent that trains itself, and a run with its directory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from typing_extensions import Self

from mtrl_conic.agents.mtsac import agent
from mtrl_conic.envs.config import SteppingConfig, TaskSetConfig
from mtrl_conic.envs.make import make_task_set
from mtrl_conic.envs.names import Spec
from mtrl_conic.envs.registry import register_again
from mtrl_conic.envs.task_set import TaskSet
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.evaluation.record import Record
from mtrl_conic.evaluation.success import Evaluator
from mtrl_conic.execution.memory import PeakMemory
from mtrl_conic.files import stopped_by_storage
from mtrl_conic.runs import run
from mtrl_conic.runs.config import RunConfig, make_config
from mtrl_conic.runs.directory import open_run
from mtrl_conic.runs.provenance import PROVENANCE, provenance
from mtrl_conic.schema import leaves, parse
from mtrl_conic.training.callbacks import Callback
from mtrl_conic.training.config import TrainingConfig
from mtrl_conic.training.ready import Progress
from mtrl_conic.training.trainer import Trainer


class MTSAC(agent.MTSAC):
    """The agent `mtrl_conic.agents.mtsac.agent.MTSAC` with methods that train and evaluate it on its task set."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._trainer: Trainer | None = None
        self._evaluator: Evaluator | None = None
        self._run_dir: Path | None = None
        self._asked = 0
        """The number of steps per task that all calls of `learn` with a directory have asked for so far."""

    def learn(
        self,
        steps: int,
        *,
        callbacks: Sequence[Callback] = (),
        evaluate_every: int | None = None,
        run_dir: str | Path | None = None,
        allow_changes: bool = False,
        progress: bool = False,
    ) -> Self:
        """Train for another `steps` environment steps of every task.

        The replay is kept between two calls. Episodes continue, or start again if the last call was interrupted within
        a step or if the environments were stepped by other code.

        Args:
            steps: number of steps per task.
            callbacks: callbacks, called in this order, see `mtrl_conic.training.callbacks.Callback`; early stopping
                with those of `mtrl_conic.training.ready` requires `evaluate_every`.
            evaluate_every: number of steps between two evaluations, on separate environments; callbacks receive them,
                and there is another one at the end. None: no evaluations, or with `run_dir` the defaults of a run.
            run_dir: directory of a run with records, checkpoints and a result, as for `train`. If it contains a run of
                this agent, that run is resumed and its steps count, so the same program continues where it was stopped.
                Give it at all calls of `learn` or at none.
            allow_changes: whether to resume a run although settings of this agent such as its learning rate differ;
                `changes.jsonl` records the changes.
            progress: whether to show a progress bar.

        Raises:
            UserError: the agent has no task set, or a task set that cannot be created again; or the directory contains
                another run, or is missing after a call that had it.
            Diverged: the training diverged; a `FloatingPointError`.
            Failed: the disk is full.
        """
        if self.envs is None:
            raise UserError("this agent has no task set to learn on: give one to MTSAC.load(path, envs=...)")
        if not isinstance(steps, int) or steps < 1:
            raise UserError(f"steps={steps!r}: must be a whole number of at least 1")
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise UserError(f"callbacks: {callback!r} is not an object of a class derived from Callback")
        self._check_directory(run_dir)
        if run_dir is not None:
            until = self._asked + steps
            told = [*callbacks, *([Progress(until)] if progress else [])]
            self._learn_in(Path(run_dir), until, evaluate_every, told, allow_changes)
            self._asked = until
            return self
        if self._trainer is None:
            self._trainer = Trainer(self.envs, self)
        trainer, until = self._trainer, self._trainer.step + steps
        trainer.evaluator = None if evaluate_every is None else self._own_evaluator()
        trainer.config = _evaluating(trainer.config, evaluate_every, trainer.evaluator)
        trainer.callbacks = [*callbacks, Progress(until)] if progress else callbacks
        trainer.train(until)
        return self

    def _check_directory(self, run_dir: str | Path | None) -> None:
        if self._trainer is None:
            self._run_dir = None if run_dir is None else Path(run_dir)
        elif self._run_dir != (None if run_dir is None else Path(run_dir)):
            there = str(self._run_dir) if self._run_dir else None
            raise UserError(f"this agent learns in run_dir={there!r}: give the same run_dir to all calls of learn")

    def _learn_in(
        self,
        directory: Path,
        until: int,
        evaluate_every: int | None,
        callbacks: Sequence[Callback],
        allow_changes: bool,
    ) -> None:
        assert self.envs is not None
        method = self.balancing
        if not method.named:
            raise UserError(
                f"a run in a directory needs its balancer by name: register {method.name}, then give name and options"
            )
        evaluator = self._own_evaluator()
        training = _evaluating(TrainingConfig(), evaluate_every or TrainingConfig().evaluate_every, evaluator)
        config = RunConfig.complete(
            {
                **_described(self.envs),
                **{"balancer": method.name, "balancer_options": method.options, "seed": self.seed},
                **{"steps": until, "agent": self.config.model_dump(), "training": training.model_dump()},
            }
        )
        memory = PeakMemory(self.device)
        with stopped_by_storage(directory):
            kept = open_run(directory, config, changes="make" if allow_changes else "refuse")
            try:
                if self._trainer is None:
                    self._trainer = Trainer(self.envs, self, config=training, evaluator=evaluator, run=kept)
                self._trainer.run, self._trainer.config = kept, training
                self._trainer.callbacks = [*run.recording(kept), *callbacks]
                if not kept.finished:
                    kept.append(PROVENANCE, provenance())
                    run.go_on(self._trainer, kept, config, memory)
                elif self._trainer.step == 0:
                    kept.resume(self._trainer.load_state_dict)  # the records of a finished run stay as they are
            finally:
                kept.close()

    def evaluate(self, episodes_per_task: int | None = None) -> dict[str, Any]:
        """Evaluate the success and the return of the deterministic policy on separate environments.

        Args:
            episodes_per_task: number of episodes per task; on Meta-World, the first goals, each once. None: 50, or all
                that a task has.

        Returns:
            A record like a line of `evaluations.jsonl`, with `success`, `mean_success`, `returns` and more, by task; a
            notebook shows it as a table.

        Raises:
            UserError: the agent has no task set, or a task set that cannot be created again.
        """
        act = self.policy().act
        return Record(self._own_evaluator().evaluate(act, episodes_per_task=episodes_per_task).record())

    def _own_evaluator(self) -> Evaluator:
        if self.envs is None:
            raise UserError("this agent has no task set to be evaluated on: give one to MTSAC.load(path, envs=...)")
        if self._evaluator is None:
            if self.envs.again is None:
                raise UserError(
                    "this task set was made from a stepper, and evaluation needs a second task set of its kind"
                )
            envs = self.envs.again(seed=self.envs.seed)
            self._evaluator = Evaluator(envs, min(TrainingConfig().episodes_per_task, envs.stepper.num_episodes))
        return self._evaluator


def _described(envs: TaskSet) -> dict[str, Any]:
    """Return the sections of a run's configuration that describe this task set."""
    again = envs.again
    if isinstance(again, partial) and again.func is make_task_set:
        options = {**again.keywords, "copies": envs.copies}
        environment = {name: options[name] for name in TaskSetConfig.model_fields if name in options}
        execution = {name: options[name] for name in SteppingConfig.model_fields if name in options}
        spec = again.args[0]
        return {
            "task_set": spec if isinstance(spec, str) else list(spec),
            "environment": environment,
            "execution": execution,
        }
    return {"task_set": register_again(envs), "environment": {"copies": envs.copies}}


def _evaluating(config: TrainingConfig, every: int | None, evaluator: Evaluator | None) -> TrainingConfig:
    """Return the configuration of a loop that evaluates every so many steps, on at most all episodes."""
    if every is None or evaluator is None:
        return config
    final = evaluator.episodes_per_task
    episodes = {
        "episodes_per_task": final,
        "training_episodes_per_task": min(TrainingConfig().training_episodes_per_task, final),
    }
    return parse(TrainingConfig, {**config.model_dump(), "evaluate_every": every, **episodes})


def train(
    preset: str = "own",
    *,
    run_dir: str | Path,
    task_set: TaskSet | Spec | None = None,
    callbacks: Sequence[Callback] = (),
    allow_changes: bool = False,
    **fields: Any,
) -> dict[str, Any]:
    """Train, evaluate and checkpoint a run in a directory; the same call resumes it.

    Args:
        preset: name of a preset, or path of a YAML file.
        run_dir: directory of the run; it is created if needed.
        task_set: task set that replaces that of the preset: a name, a list of tasks, or a `TaskSet`. The run creates
            copies of a `TaskSet` for training and evaluation, and uses its seed and number of environments unless
            others are given. Another program that reads the run must register it, see `register_task_set`.
        callbacks: callbacks, called in this order, see `mtrl_conic.training.callbacks.Callback`.
        allow_changes: whether to resume a run although settings such as the learning rate differ; see `docs/runs.md`.
        fields: fields of `RunConfig` by name, as on the command line: `steps=`, `balancer=`, `width=`.

    Returns:
        The content of `result.json`; a notebook shows it as a table.

    Raises:
        UserError: an invalid name or value, or a directory that cannot be used.
    """
    given: dict[str, Any] = {}
    if isinstance(task_set, TaskSet):
        fields = {"seed": task_set.seed, "copies": task_set.copies, **fields}
        task_set = register_again(task_set)
    if task_set is not None:
        fields = {**fields, "task_set": task_set if isinstance(task_set, str) else list(task_set)}
    paths = {path[-1]: path for path, _ in leaves(RunConfig)}
    for name, value in fields.items():
        if name not in paths:
            raise unknown("field", name, paths)
        section = given
        for part in paths[name][:-1]:
            section = section.setdefault(part, {})
        section[name] = value
    config, directory = make_config(preset, given), Path(run_dir)
    return Record(run.train(config, directory, callbacks=callbacks, allow_changes=allow_changes))
