"""The training loop: act, step, store and update; log, evaluate and save checkpoints."""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.agents.protocol import ERRORS, Agent, Statistics
from mtrl_conic.envs.running import Untraceable
from mtrl_conic.envs.task_set import TaskSet
from mtrl_conic.errors import Diverged, Interrupted
from mtrl_conic.evaluation.success import Evaluation, Evaluator
from mtrl_conic.execution.preparation import PREPARATION
from mtrl_conic.training.callbacks import Callback
from mtrl_conic.training.config import TrainingConfig
from mtrl_conic.training.metrics import Means, plain
from mtrl_conic.training.replay import Replay, slack_for
from mtrl_conic.training.returned import array_of, check_statistics
from mtrl_conic.training.run import Run
from mtrl_conic.training.sound import REMEDY, RESUME, unsound

_LOGGER = logging.getLogger(__name__)


class Trainer:
    """Trains an agent on a task set.

    Args:
        envs: the task set; nothing else should step it during training.
        agent: an agent for these tasks.
        config: constants of the loop.
        evaluator: evaluates the agent during and after training; None: no evaluations.
        run: stores records and checkpoints; None: nothing is written, and training cannot be resumed.
        callbacks: callbacks, called in this order.
        overlap: whether to step the environments on another thread during the update. The results are the same,
            because the updates of a step never use its transition.
        interrupted: function that is called between steps, also during an evaluation; when it returns True, a
            checkpoint is written and `Interrupted` is raised.
    """

    def __init__(
        self,
        envs: TaskSet,
        agent: Agent,
        *,
        config: TrainingConfig | None = None,
        evaluator: Evaluator | None = None,
        run: Run | None = None,
        callbacks: Sequence[Callback] = (),
        overlap: bool = False,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self.envs, self.agent, self.evaluator, self.run = envs, agent, evaluator, run
        self.config = config or TrainingConfig()
        self.callbacks = callbacks
        self.watch = agent.watch
        self.step = 0
        self.seconds = 0.0
        self.stopped: str | None = None
        """The reason given to `stop`; None if training ended with its budget."""
        self.replay = Replay(
            envs.num_tasks,
            self.config.replay_capacity,
            agent.spec.observation_dim,
            agent.spec.action_dim,
            n_step=agent.schedule.n_step,
            discount=agent.schedule.discount,
            priority_exponent=agent.schedule.priority_exponent,
            copies=envs.copies,
            slack=slack_for(self.config.checkpoint_every, envs.copies) if run else 0,
            seed=agent.seed,
            device=agent.device,
            file=run.checkpoints / "replay.npy" if run else None,
            memory_map=self.config.replay == "disk",
        )
        self._overlap = overlap
        self._stepping: ThreadPoolExecutor | None = None
        self._interrupted = interrupted
        self._observations: NDArray[np.float32] | None = None
        self._moves = 0
        self._means = Means()
        self._episodes: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._evaluated_at = 0
        self._logged = (0, 0.0)
        self._now = self._prepared = 0.0
        self._has_stepped = self._has_updated = False

    def train(self, steps: int, *, minutes: float | None = None) -> Evaluation | None:
        """Train for `steps` steps of every task in total, or `minutes` of training in total, whichever ends first.

        The totals include the time before training was resumed. Compilation does not count: neither the first step
        and update of a process, nor later compilations.

        Returns:
            The final evaluation; None without an evaluator.

        Raises:
            Diverged: an action, a loss or the agent's state is not finite; it is not written to a checkpoint.
            Interrupted: `interrupted` returned True; training can be resumed.
        """
        self._now, self._prepared = time.perf_counter(), PREPARATION.seconds
        self._logged = (self.step, self.seconds)
        self.stopped = None
        with ExitStack() as opened:  # each is closed even if another one raises
            for callback in self.callbacks:
                callback.on_start(self)
                opened.callback(callback.on_stop, self)
            if self._overlap:
                self._stepping = ThreadPoolExecutor(1, thread_name_prefix="stepping")
                opened.callback(self._end_stepping)
            try:
                self._loop(steps, minutes)
                if self.run:
                    self.save()
                stopped = self.stopped  # the final evaluation may ask to stop, and there is nothing left to stop
                found = self.evaluate(self.config.episodes_per_task) if self.evaluator else None
                self.stopped = stopped
                return found
            except Interrupted:
                if self.run:
                    self.save()
                raise
            except BaseException:
                self._observations = None  # it is unknown how far the step came
                raise

    def _loop(self, steps: int, minutes: float | None) -> None:
        self._current_observations()
        while True:
            self._evaluate_if_due(steps)
            self._tick()
            spent = self.step >= steps or (minutes is not None and self.seconds >= 60 * minutes)
            if spent or self.stopped is not None:
                return
            if self.run and self.replay.unsaved >= self.config.checkpoint_every:
                self.save()
            self._raise_if_interrupted()
            with PREPARATION.told_to(self._tell):
                self._advance()

    def stop(self, reason: str) -> None:
        """End training normally after the current step, with the final evaluation.

        Args:
            reason: text that is written to the run's result.
        """
        self.stopped = reason

    def _end_stepping(self) -> None:
        assert self._stepping is not None
        self._stepping.shutdown()
        self._stepping = None

    def evaluate(self, episodes_per_task: int) -> Evaluation:
        """Evaluate the agent, and record the result at the current step."""
        assert self.evaluator is not None
        with self.watch("evaluation"):
            evaluation = self.evaluator.evaluate(
                self.agent.policy().act,
                episodes_per_task=episodes_per_task,
                each_episode=lambda number, count: self._tell(f"evaluating {number} of {count}"),
                each_step=self._raise_if_interrupted,
            )
        self._tell("")
        self._tick()
        self._evaluated_at = self.step
        record = {"step": self.step, "time": round(self.seconds, 3), **evaluation.record()}
        if self.run:
            self.run.append("evaluations", record)
        for callback in self.callbacks:
            callback.on_evaluation(self, record)
        return evaluation

    def _advance(self) -> None:
        """Take one step of every environment, and make its updates on the transitions before it.

        This counts as one step of a task for each of its environments.
        """
        watch, agent = self.watch, self.agent
        learning = self.step >= agent.schedule.random_steps or agent.updates > 0
        observations = self._current_observations()
        actions = self._actions(observations, learning=learning)
        finish = self._begin_step(actions)
        if learning and len(self.replay):
            with nullcontext() if self._has_updated else PREPARATION("compiling"):
                self._update()
            self._has_updated = True
        with watch("stepping"), nullcontext() if self._has_stepped else PREPARATION("compiling"):
            following, rewards, terminated, truncated, infos = finish()
        self._has_stepped = True
        with watch("storing"):
            kept = agent.observe(observations, rewards, terminated | truncated)
            kept = rewards if kept is None else array_of("observe", kept, rewards.shape, np.float64)
            self.replay.add(observations, actions, kept, terminated, truncated, infos["final_obs"])
        self._observations, self._moves = following, self.envs.moves
        self.step += self.envs.copies
        self._note_ended(terminated | truncated, infos)
        for callback in self.callbacks:
            callback.on_step(self)
        if self._passed(self.config.log_every, self.step - self.envs.copies):
            with watch("writing"):
                self._log()

    def _actions(self, observations: NDArray[np.float32], *, learning: bool) -> NDArray[np.float32]:
        """Return the agent's actions (N, A), random ones before it learns."""
        agent, envs = self.agent, self.envs
        with self.watch("acting"):
            chosen = agent.act(observations) if learning else agent.random_actions(envs.copies)
        shape = (envs.num_envs, agent.spec.action_dim)
        actions = array_of("act" if learning else "random_actions", chosen, shape, np.float32)
        finite = np.isfinite(actions).reshape(envs.num_tasks, -1).all(1)
        if not finite.all():
            named = [name for name, sound in zip(envs.task_names, finite, strict=True) if not sound]
            raise self._diverged(f"the policy's actions for {', '.join(named)} are not finite")
        return actions

    def _current_observations(self) -> NDArray[np.float32]:
        """Return the observations (N, D); new episodes start if something else stepped the environments."""
        if self._observations is None or self._moves != self.envs.moves:
            self._observations, _ = self.envs.reset()
            self._moves = self.envs.moves
            self.replay.cut()
            self.agent.begin()
        return self._observations

    def _begin_step(self, actions: NDArray[np.float32]) -> Callable[[], Any]:
        """Start a step of the environments, on the other thread if there is one, and return a function that ends it."""
        if self._stepping is None:
            return partial(self.envs.step, actions)
        return self._stepping.submit(self.envs.step, actions).result

    def _update(self) -> None:
        schedule = self.agent.schedule
        for _ in range(schedule.updates_per_step * self.envs.copies):
            with self.watch("sampling"):
                batch = self.replay.sample(schedule.batch_size, balanced=schedule.balanced)
            try:
                statistics = self.agent.update(batch)  # it measures its own parts of the time
            except FloatingPointError as error:
                raise self._diverged(str(error)) from error
            if not self._has_updated:
                errors = tuple(batch.rewards.shape) if self.replay.prioritised else None
                check_statistics(statistics, self.agent.components, self.envs.num_tasks, errors=errors)
            if self.agent.device.type == "cpu":  # other devices would have to be waited for
                self._check_finite(statistics)
            with self.watch("storing"):
                if self.replay.prioritised:
                    self.replay.prioritise(statistics.pop(ERRORS))
                self._means.add(statistics)
            for callback in self.callbacks:
                callback.on_update(self, statistics)

    def _note_ended(self, ended: NDArray[np.bool_], infos: dict[str, Any]) -> None:
        for row in np.flatnonzero(ended):
            task = row // self.envs.copies
            name = self.envs.task_names[task]
            if self.envs.has_success[task]:
                self._episodes["training/success"][name].append(float(infos["episode_success"][row]))
            self._episodes["training/return"][name].append(float(infos["episode_return"][row]))

    def _log(self) -> None:
        self._tick()
        step, seconds = self._logged
        record: dict[str, Any] = {
            "step": self.step,
            "time": round(self.seconds, 3),
            "steps_per_second": (self.step - step) / max(self.seconds - seconds, 1e-9),
        }
        self._logged = (self.step, self.seconds)
        means = self._means.take()
        record |= {name: plain(mean, self.envs.task_names) for name, mean in means.items()}
        for name, by_task in self._episodes.items():
            record[name] = {task: sum(values) / len(values) for task, values in by_task.items()}
        self._episodes.clear()
        if self.run:
            self.run.append("metrics", record)
        for callback in self.callbacks:
            callback.on_metrics(self, record)
        self._check_finite(means)

    def _check_finite(self, statistics: Statistics) -> None:
        for component in self.agent.components:
            losses = statistics.get(f"{component}/loss")
            if losses is None or math.isfinite(losses.sum()):
                continue
            for task, loss in zip(self.envs.task_names, losses.tolist(), strict=True):
                if not math.isfinite(loss):
                    raise self._diverged(f"the {component}'s loss of {task} is {loss}")

    def _diverged(self, what: str) -> Diverged:
        kept = f"; {RESUME}" if self.run else ""
        return Diverged(f"training diverged at step {self.step}: {what}; {REMEDY}{kept}")

    def _evaluate_if_due(self, steps: int) -> None:
        # The final evaluation follows the last step.
        due = self.step < steps and self._passed(self.config.evaluate_every, self._evaluated_at)
        if due and self.evaluator:
            self.evaluate(self.config.training_episodes_per_task)

    def _passed(self, every: int, before: int) -> bool:
        """Return whether a multiple of `every` lies after the step `before` and not after the current one."""
        return self.step // every > before // every

    def _tell(self, words: str) -> None:
        for callback in self.callbacks:
            callback.on_doing(self, words)

    def _raise_if_interrupted(self) -> None:
        if self._interrupted():
            raise Interrupted

    def _tick(self) -> None:
        now = time.perf_counter()
        self.seconds += now - self._now - (PREPARATION.seconds - self._prepared)
        self._now, self._prepared = now, PREPARATION.seconds

    def save(self) -> None:
        """Write a checkpoint, from which training resumes bit for bit.

        Raises:
            Diverged: the agent's state is not finite; the previous checkpoint is kept.
        """
        assert self.run is not None
        self._tick()
        with self.watch("writing"):
            state = self.state_dict()
            place = unsound(state["agent"])
            if place:
                raise self._diverged(f"the agent's {place} is not finite")
            self.run.save_checkpoint(state)

    def resume(self, *, evaluated_at: int = 0) -> bool:
        """Resume from the latest checkpoint of the run; return False if there is none.

        Args:
            evaluated_at: step of a final evaluation that is kept although the run is extended; checkpoints do not
                contain it.
        """
        assert self.run is not None
        resumed = self.run.resume(self.load_state_dict)
        if resumed:
            self._evaluated_at = max(self._evaluated_at, evaluated_at)
        self.run.rewind("metrics", self.step)
        self.run.rewind("evaluations", self._evaluated_at)
        return resumed

    def state_dict(self) -> dict[str, Any]:
        """Return the complete state of training; the rows of the replay are written to its file."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "evaluated_at": self._evaluated_at,
            "agent": self.agent.state_dict(),
            "envs": self.envs.state_dict(),
            "replay": self.replay.save(),
            "means": self._means.state_dict(),
            "episodes": {name: dict(by_task) for name, by_task in self._episodes.items()},
            "watch": dict(self.watch.seconds),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore a `state_dict`.

        Raises:
            Damaged: the replay's file does not contain the rows that were saved; nothing else was restored.
        """
        self.replay.load(saved["replay"])
        self.step, self.seconds = saved["step"], saved["seconds"]
        self._evaluated_at = saved["evaluated_at"]
        self.agent.load_state_dict(saved["agent"])
        try:
            self._observations = self.envs.load_state_dict(saved["envs"])
            self._moves = self.envs.moves
        except Untraceable as error:
            if self.config.on_untraceable == "refuse":
                raise
            _LOGGER.warning("%s; new episodes are started", error)
            self._observations = None
        self._means.load_state_dict(saved["means"], self.agent.device)
        for name, by_task in saved["episodes"].items():
            self._episodes[name] = defaultdict(list, {task: list(values) for task, values in by_task.items()})
        self.watch.seconds = defaultdict(float, saved["watch"])
