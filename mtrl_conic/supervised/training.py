"""Training of one supervised run: epochs, evaluations, checkpoints and the result. A repeated call resumes the run."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from mtrl_conic.errors import Diverged, Failed, Interrupted, UserError, first_line
from mtrl_conic.execution.cores import check_fits_cores
from mtrl_conic.execution.device import choose_device
from mtrl_conic.execution.memory import PeakMemory, keep_freed_memory
from mtrl_conic.execution.seeding import seeded
from mtrl_conic.files import stopped_by_storage
from mtrl_conic.runs.directory import RunDirectory, open_run
from mtrl_conic.runs.provenance import PROVENANCE, provenance, versions
from mtrl_conic.supervised.checking import check_interface, check_names, check_run
from mtrl_conic.supervised.config import SupervisedConfig
from mtrl_conic.supervised.data.identity import data_of, identity
from mtrl_conic.supervised.gradients import Statistics
from mtrl_conic.supervised.learners import SINGLE_TASK, Learner, make_learner
from mtrl_conic.supervised.problem import Batch, Meter, Problem, Source
from mtrl_conic.supervised.selection import select
from mtrl_conic.training.metrics import Means, plain
from mtrl_conic.training.sound import REMEDY, RESUME, unsound

Record = dict[str, Any]


class Listener(Protocol):
    """A function that is called after every epoch."""

    def __call__(self, config: SupervisedConfig, record: Record) -> None:
        """Receive the configuration and the line that was added to `evaluations.jsonl`."""


def train(
    config: SupervisedConfig,
    directory: Path,
    *,
    listener: Listener = lambda config, record: None,
    allow_changes: bool = False,
    interrupted: Callable[[], bool] = lambda: False,
) -> Record:
    """Train what a complete `config` describes, or resume it; see `SupervisedConfig.complete`.

    Args:
        config: a configuration without open fields.
        directory: directory of the run, which is created if it does not exist.
        listener: called after every epoch.
        allow_changes: resume even if learning constants (fields with the role `SETTING`) differ, and record the
            differences in `changes.jsonl`.
        interrupted: called between two steps; the run stops if it returns true.

    Returns:
        The content of `result.json`. A finished run is left unchanged, unless it is now given more epochs.

    Raises:
        UserError: the data are faulty, or the directory cannot be used.
        Failed: the disk is full or the numbers became unsound; the last checkpoint is kept.
        Interrupted: `interrupted` returned true; the same call resumes after the last finished epoch.
    """
    _check_machine(config)
    with stopped_by_storage(directory):
        run = open_run(directory, config, changes="make" if allow_changes else "follow")
        try:
            config = SupervisedConfig.complete(run.config)
            data = identity(Path(config.data))
            check_data(directory, config, data)
            result = run.result if run.finished else None
            with _workers_told(interrupted):
                return result or _Run(config, run, data, listener, interrupted).train()
        except UserError:
            run.withdraw()  # faults of the data are found only after the directory has been created
            raise
        finally:
            run.close()


@contextmanager
def _workers_told(interrupted: Callable[[], bool]) -> Iterator[None]:
    """Turn torch's error about a lost worker process, which can be raised anywhere, into an error of the run."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader"):
            raise
        if interrupted():  # an interruption ends the workers as well
            raise Interrupted from None
        raise Failed(
            f"a worker process that reads files was lost: {first_line(error)}; free memory or lower --workers, "
            "then repeat the command to resume"
        ) from None


@contextmanager
def _ended(batches: Iterator[Batch]) -> Iterator[Iterator[Batch]]:
    """End the worker processes of a pass that was left early, before torch can report a lost one outside the run."""
    try:
        yield batches
    finally:
        if isinstance(batches, Generator):
            batches.close()


def check(configs: Iterable[SupervisedConfig]) -> None:
    """Check everything that requires the data and the networks, before any file is written.

    Raises:
        UserError: the data are faulty, a method does not fit the network, or the device is not available.
    """
    problems: dict[tuple[str, str, str], Problem] = {}
    learners: dict[tuple[str, ...], Learner] = {}
    for config in configs:
        _check_machine(config)
        of = (config.problem, config.data, repr(config.options))
        if of not in problems:
            problems[of] = _load(config)
        by = (*of, config.method)
        if by not in learners:
            with seeded(torch.device("cpu"), config.seed, 0):
                learners[by] = _learner(config, problems[of], torch.device("cpu"))
        check_run(config, problems[of], learners[by])


def check_data(directory: Path, config: SupervisedConfig, data: str) -> None:
    """Check that a run was not trained on other data before.

    Args:
        directory: directory of the run.
        config: its configuration.
        data: the identity of the data that the configuration names.

    Raises:
        UserError: the run in `directory` was trained on other data.
    """
    if data_of(directory) not in (None, data):
        raise UserError(f"{directory} was trained on other data than {config.data}; choose another --out or --run-dir")


def _check_machine(config: SupervisedConfig) -> None:
    """Check that the machine has the device and the cores that a run asks for."""
    choose_device(config.execution.device)
    check_fits_cores("threads", config.execution.threads)
    check_fits_cores("workers", config.execution.workers)


def _load(config: SupervisedConfig) -> Problem:
    options = config.problem_class.options_model.model_validate(config.options)
    problem = config.problem_class.load(Path(config.data), options, seed=config.seed, workers=config.execution.workers)
    check_names(problem)
    return problem


def _learner(config: SupervisedConfig, problem: Problem, device: torch.device) -> Learner:
    assert config.learning_rate is not None
    assert config.gradients is not None
    assert config.batch_size is not None
    learner = make_learner(
        problem,
        config.balancer,
        config.balancer_options,
        seed=config.seed,
        learning_rate=config.learning_rate,
        gradients=config.gradients,
        epoch_steps=max(1, len(problem.training) // config.batch_size),
        device=device,
    )
    check_interface(problem, learner, device)
    return learner


class _Run:
    def __init__(
        self,
        config: SupervisedConfig,
        run: RunDirectory,
        data: str,
        listener: Listener,
        interrupted: Callable[[], bool],
    ) -> None:
        run.append(PROVENANCE, {**provenance(), "data": data})
        keep_freed_memory()
        if config.execution.threads:
            torch.set_num_threads(config.execution.threads)
        self.config, self.run, self.listener, self.interrupted = config, run, listener, interrupted
        self.device = choose_device(config.execution.device)
        self.problem = _load(config)
        self.memory = PeakMemory(self.device)
        with seeded(self.device, config.seed, 0):
            self.learner = _learner(config, self.problem, self.device)
        check_run(config, self.problem, self.learner)
        self.epoch, self.seconds = 0, 0.0
        self.curve: list[Record] = []

    def train(self) -> Record:
        assert self.config.epochs is not None
        self._resume()
        self.run.go_on()
        while self.epoch < self.config.epochs:
            self._one_epoch()
            self._save()
        result = self._result()
        self.run.finish(result)
        return result

    def _one_epoch(self) -> None:
        config = self.config
        assert config.batch_size is not None
        if config.halve_every:
            self.learner.scale_learning_rate(0.5 ** (self.epoch // config.halve_every))
        means, start, start_cpu = Means(), time.perf_counter(), time.process_time()
        self.learner.network.train()
        with (
            seeded(self.device, config.seed, self.epoch + 1) as order,
            _ended(self.problem.training.batches(config.batch_size, seed=order)) as batches,
        ):
            # A step may use several batches. Batches that do not fill a last step are dropped, as incomplete ones are.
            for taken in zip(*[batches] * self.learner.batches, strict=False):
                means.add(self._step(*taken))
                if self.interrupted():
                    raise Interrupted
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
        self.epoch, self.seconds = self.epoch + 1, self.seconds + seconds
        told = {name: plain(value, self.problem.tasks) for name, value in means.take().items()}
        self._check_finite(told["loss"])  # on a GPU, a check at every step would wait for the device
        self.run.append("metrics", {"step": self.epoch, "time": self.seconds, **told})
        record: Record = {
            "step": self.epoch,
            "time": self.seconds,
            "epoch_seconds": seconds,
            "epoch_cpu_seconds": cpu_seconds,
        }
        record["loss"] = told["loss"]
        record |= {"test": self._evaluate(self.problem.test)}
        if self.problem.validation is not None:
            record["validation"] = self._evaluate(self.problem.validation)
        self.curve.append(record)
        self.run.append("evaluations", record)
        self.listener(config, record)

    def _step(self, *batches: Batch) -> Statistics:
        try:
            statistics = self.learner.step(*map(self._moved, batches))
        except FloatingPointError as error:
            raise self._diverged(str(error).partition(": nothing")[0]) from error
        if self.device.type == "cpu":
            self._check_finite(plain(statistics["loss"], self.problem.tasks))
        return statistics

    def _check_finite(self, losses: dict[str, float]) -> None:
        bad = [task for task, loss in losses.items() if not math.isfinite(loss)]
        if bad:
            raise self._diverged(f"the loss of {', '.join(bad)} is not finite")

    def _diverged(self, what: str) -> Diverged:
        return Diverged(f"training diverged after epoch {self.epoch}: {what}; {REMEDY}; {RESUME}")

    def _evaluate(self, source: Source) -> dict[str, float]:
        assert self.config.batch_size is not None
        self.learner.network.eval()
        meter: Meter = self.problem.meter()
        with _ended(source.batches(self.config.batch_size)) as batches:
            for batch in batches:
                meter.add(self.learner.predict(self._moved(batch)), batch.targets)
        return meter.values()

    def _moved(self, batch: Batch) -> Batch:
        if self.device.type == "cpu":
            return batch
        return Batch(*(tuple(part.to(self.device, non_blocking=True) for part in parts) for parts in batch))

    def _save(self) -> None:
        state = {"epoch": self.epoch, "seconds": self.seconds, "curve": self.curve, "memory": self.memory.peak()}
        learner = self.learner.state_dict()
        place = unsound(learner)
        if place:
            raise self._diverged(f"the learner's {place} is not finite")
        self.run.save_checkpoint({**state, "learner": learner})

    def _resume(self) -> None:
        self.run.resume(self._restore)
        for name in ("metrics", "evaluations"):
            self.run.rewind(name, self.epoch)

    def _restore(self, saved: Record) -> None:
        self.learner.load_state_dict(saved["learner"])
        self.epoch, self.seconds, self.curve = saved["epoch"], saved["seconds"], saved["curve"]
        self.memory.at_least(saved["memory"])

    def _result(self) -> Record:
        config = self.config
        assert config.selection is not None
        alone = config.balancer == SINGLE_TASK
        values, epochs = select(config.selection, self.problem.metrics, self.curve, each_task_alone=alone)
        return {
            "step": self.epoch,
            "seconds": round(self.seconds, 3),
            "metrics": values,
            "measured": [dataclasses.asdict(metric) for metric in self.problem.metrics],
            "selected_epochs": epochs,
            "seconds_per_epoch": float(np.median([record["epoch_seconds"] for record in self.curve])),
            "cpu_seconds_per_epoch": float(np.median([record["epoch_cpu_seconds"] for record in self.curve])),
            "peak_memory_bytes": self.memory.peak(),
            "parameters": sum(parameter.numel() for parameter in self.learner.network.parameters()),
            "facts": self.problem.facts(),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "versions": versions(["mtrl-conic", "torch", "numpy"]),
            "machine": {"threads": torch.get_num_threads(), "device": str(self.device)},
        }
