"""What a program of one's own calls: the agent with the loop at hand, and a run with its directory."""

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
    """As `mtrl_conic.agents.mtsac.agent.MTSAC`, and it trains itself on its task set."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._trainer: Trainer | None = None
        self._evaluator: Evaluator | None = None
        self._run_dir: Path | None = None
        self._asked = 0
        """Steps of every task that `learn` was asked for in its directory, and that were done or found there."""

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

        The replay is kept between two calls. Episodes go on where they were, or begin anew where the last call was
        broken off within a step, or where the environments were stepped by someone else.

        Args:
            steps: of every task.
            callbacks: called in this order, see `mtrl_conic.training.callbacks.Callback`; those of
                `mtrl_conic.training.ready` stop early, by `evaluate_every`.
            evaluate_every: steps between two evaluations, on environments of their own, which callbacks are told of;
                there is one at the end too. None: there are none, or in a run's directory as its defaults say.
            run_dir: keep a run there, as `train` does: records, checkpoints, result. Where it holds one of this agent,
                that is taken up first, and its steps count: the same program again goes on where it was stopped. Given
                at the first call of `learn`, it is given at all of them.
            allow_changes: go on in a directory though this agent's constants of learning (its learning rate, say) are
                not those that the run there had; what changed is kept in `changes.jsonl`.
            progress: show a bar.

        Raises:
            UserError: the agent was made without a task set, or one of which there is no second; or the directory holds
                another run, or is missing after a call that had it.
            Diverged: numbers went bad, a `FloatingPointError`.
            Failed: there is no room to write.
        """
        if self.envs is None:
            raise UserError("this agent has no task set to learn on: give one to MTSAC.load(path, envs=...)")
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
            raise UserError(f"this agent learns in run_dir={str(self._run_dir) if self._run_dir else None!r} already")

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
                f"a run in a directory names its balancer: give name and options of {method.name}, registered"
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
                if kept.result is None:
                    kept.append(PROVENANCE, provenance())
                    run.go_on(self._trainer, kept, config, memory)
                elif self._trainer.step == 0:
                    self._trainer.resume()
            finally:
                kept.close()

    def evaluate(self, episodes_per_task: int | None = None) -> dict[str, Any]:
        """Success and return of the deterministic policy, on environments of its own.

        Args:
            episodes_per_task: on Meta-World the first goals, each once; None: 50, or as many as a task has.

        Returns:
            As a line of `evaluations.jsonl`: `success`, `mean_success`, `returns` and more, by task; a notebook shows
            it as a table.

        Raises:
            UserError: the agent has no task set, or one of which there is no second.
        """
        act = self.policy().act
        return Record(self._own_evaluator().evaluate(act, episodes_per_task=episodes_per_task).record())

    def _own_evaluator(self) -> Evaluator:
        if self.envs is None:
            raise UserError("this agent has no task set to be evaluated on: give one to MTSAC.load(path, envs=...)")
        if self._evaluator is None:
            if self.envs.again is None:
                raise UserError("this task set was made from a stepper, and evaluation needs another one of its kind")
            envs = self.envs.again(seed=self.envs.seed)
            self._evaluator = Evaluator(envs, min(TrainingConfig().episodes_per_task, envs.stepper.num_episodes))
        return self._evaluator


def _described(envs: TaskSet) -> dict[str, Any]:
    """The sections of a run's configuration that make a task set like this one."""
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
    """The constants of a loop that evaluates every so many steps, on no more episodes than there are."""
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
    """A run with its directory: trained, evaluated, checkpointed; the same call again goes on with it.

    Args:
        preset: a preset's name or a YAML file's path.
        run_dir: made where it is missing.
        task_set: instead of the preset's: a name, a list of tasks, or a `TaskSet`. Of that the run makes copies of its
            own, for training and evaluation; its seed and its number of environments are the run's where no others are
            given. Another program that reads the run has to register it, see `register_task_set`.
        callbacks: called in this order, see `mtrl_conic.training.callbacks.Callback`.
        allow_changes: go on though constants of learning differ from those of the run; see `docs/runs.md`.
        fields: any field of `RunConfig` by its own name, as the command line takes it: `steps=`, `balancer=`, `width=`.

    Returns:
        The content of `result.json`; a notebook shows it as a table.

    Raises:
        UserError: a name or value that does not fit, or a directory that cannot be used.
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
