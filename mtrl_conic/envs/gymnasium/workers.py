"""Environments in separate processes, each of which may end or stop answering at any moment."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import Finalize
from typing import Any

import numpy as np
from gymnasium.vector.utils import CloudpickleWrapper
from numpy.typing import NDArray

from mtrl_conic import workers
from mtrl_conic.envs.failures import failure
from mtrl_conic.envs.gymnasium.task import Task
from mtrl_conic.errors import UserError, first_line

_CLOSING_SECONDS = 5.0
"""The time for all environments to close by themselves."""
_MAKING_SECONDS = 120.0
"""The smallest timeout for a process to start and create its environment."""
_REMEDIES = (
    "check what its step() does there, free memory, or increase worker_timeout",
    'guard the main code of a program that uses vector=async with `if __name__ == "__main__":`, or increase '
    "worker_timeout",
)
"""What to do if a process is lost twice in an episode, and at its start."""
_LOGGER = logging.getLogger(__name__)

Request = tuple[str, Any]
"""A command and its argument."""


class Workers:
    """The environments of `tasks`, each in its own process.

    A process that ends or does not answer in time is restarted once and brought back to its state by the actions of its
    episode. If that fails too, an error names the task.

    Args:
        tasks: tasks, one per environment.
        timeout: number of seconds without any answer.

    Raises:
        UserError: an environment fails, or its process fails twice; the message names the task, episode and step.
    """

    def __init__(self, tasks: Sequence[Task], *, timeout: float) -> None:
        self._timeout = timeout
        self._workers = [_Worker(task) for task in tasks]
        # At the end of the program, this must happen before `multiprocessing` waits for the processes.
        self._end = Finalize(self, _end, args=(self._workers,), exitpriority=10)
        try:
            for worker in self._workers:
                worker.start()
            self._answers([(worker, worker.making) for worker in self._workers])
        except BaseException:
            self.close()
            raise

    def reset(self, row: int, episode: int) -> NDArray[np.float64]:
        """Return the first observation (O,) of an episode of one environment."""
        worker = self._workers[row]
        worker.episode, worker.actions, worker.seen = episode, [], None
        (worker.seen,) = self._answers([(worker, ("reset", episode))])
        return worker.seen

    def step(self, actions: NDArray[np.float32]) -> list[Any]:
        """Return the results of each environment's `step`."""
        answers = self._answers([(worker, ("step", row)) for worker, row in zip(self._workers, actions, strict=True)])
        for worker, row, answer in zip(self._workers, actions, answers, strict=True):
            worker.actions.append(np.array(row))
            worker.seen = answer[0]
        return answers

    def render(self) -> list[Any]:
        """Return the results of each environment's `render`."""
        return self._answers([(worker, ("render", None)) for worker in self._workers])

    def close(self) -> None:
        """Close the environments, and end their processes in any case; safe to call twice."""
        self._end()

    def _answers(self, requests: Sequence[tuple[_Worker, Request]]) -> list[Any]:
        if not self._end.still_active():
            raise UserError("these environments have been closed")
        answers, lost = self._ask(requests)
        for worker, words in lost.items():
            request = dict(requests)[worker]
            _LOGGER.warning("%s; it is restarted", worker.failure(request, f"its process {words}"))
            answers[worker] = self._again(worker, request, words)
        for good, value in answers.values():
            if not good:
                raise UserError(value)
        return [answers[worker][1] for worker, _ in requests]

    def _ask(
        self, requests: Sequence[tuple[_Worker, Request]]
    ) -> tuple[dict[_Worker, tuple[bool, Any]], dict[_Worker, str]]:
        """Return the answers, and for processes without an answer the reason."""
        answers: dict[_Worker, tuple[bool, Any]] = {}
        lost: dict[_Worker, str] = {}
        for worker, request in requests:
            if not worker.send(request):
                lost[worker] = worker.ending()
        waiting = {worker.connection: worker for worker, _ in requests if worker not in lost}
        making = any(request[0] == "make" for _, request in requests)
        timeout = max(self._timeout, _MAKING_SECONDS) if making else self._timeout
        while waiting:
            ready = wait(list(waiting), timeout)
            if not ready:
                lost |= dict.fromkeys(waiting.values(), f"did not answer for {timeout:g} seconds")
                break
            for connection in ready:
                worker = waiting[connection]  # type: ignore[index]  # only these were waited for
                try:
                    answer = worker.receive()
                except (EOFError, OSError):
                    lost[worker] = worker.ending()
                else:
                    if answer is None:
                        continue
                    answers[worker] = answer
                del waiting[connection]  # type: ignore[arg-type]
        return answers, lost

    def _again(self, worker: _Worker, request: Request, words: str) -> tuple[bool, Any]:
        """Replace the worker's process by a new one, and return its answer to `request`."""
        worker.end()
        worker.start()
        answer: tuple[bool, Any] = (True, None)
        for each in worker.way_to(request):
            if each is request and worker.seen is not None and not np.array_equal(worker.seen, answer[1]):
                raise worker.failure(
                    request,
                    f"its process {words}, and a new one, brought to the same step by the same actions, observes "
                    "something else: the environment is not determined by its reset seed and actions",
                )
            answers, lost = self._ask([(worker, each)])
            if lost:
                again = f"its process {words}, and a new one {lost[worker]}"
                raise worker.failure(request, f"{again}: {_REMEDIES[request[0] == 'make']}")
            good, value = answers[worker]
            if not good:
                return False, value
            answer = (True, value[0] if each[0] == "step" and each is not request else value)
        return answer


class _Worker:
    """A process as seen by its parent, with its running episode."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.episode: int | None = None
        self.actions: list[NDArray[np.float32]] = []
        self.seen: NDArray[np.float64] | None = None
        """The last observation of the episode."""
        try:
            self.making: Request = ("make", bytes(ForkingPickler.dumps(CloudpickleWrapper(task))))
        except Exception as error:
            raise UserError(
                f"task {task.name!r}: its environment cannot be sent to a separate process: "
                f"{type(error).__name__}: {first_line(error)}; use vector=sync"
            ) from error
        self.connection: Connection
        self._requests = 0

    def start(self) -> None:
        """Start a process, which does not create its environment yet.

        Raises:
            UserError: no more processes can be started.
        """
        context = multiprocessing.get_context("spawn")  # a fork would inherit the locks of torch's threads
        self.connection, other = context.Pipe()
        at_once = threading.current_thread() is threading.main_thread()
        arguments = (self.task.name, other, os.getpid(), at_once)
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        try:
            with workers.requests_held_back():
                self.process.start()
        except OSError as error:
            raise UserError(
                f"task {self.task.name!r}: no process can be started for its environment: {error.strerror}; "
                "lower copies, or use vector=sync"
            ) from None
        other.close()  # the end of the process is now the end of the connection

    def way_to(self, request: Request) -> Iterator[Request]:
        """Return the requests that bring a new process to `request`, which is the last of them."""
        if request[0] != "make":
            yield self.making
        if request[0] in ("step", "render") and self.seen is not None:
            yield "reset", self.episode
            for action in self.actions:
                yield "step", action
        yield request

    def send(self, request: Request) -> bool:
        """Send a request; return whether the process can receive it."""
        self._requests += 1
        try:
            self.connection.send((self._requests, *request))
        except OSError:
            return False
        return True

    def receive(self) -> tuple[bool, Any] | None:
        """Receive the answer to the last request; None if it belongs to an earlier request that was interrupted."""
        number, *answer = self.connection.recv()
        return (answer[0], answer[1]) if number == self._requests else None

    def ending(self) -> str:
        """Describe how the process ended."""
        self.process.join(1.0)
        code = self.process.exitcode
        return f"was killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended with exit code {code}"

    def failure(self, request: Request, words: str) -> UserError:
        """Return an error at the step of `request`."""
        return failure(self.task.name, self.episode, len(self.actions) + (request[0] == "step"), words)

    def end(self) -> None:
        """End the process without waiting for operations that do not return."""
        self.connection.close()
        self.process.kill()
        self.process.join(1.0)


def _end(of: Iterable[_Worker]) -> None:
    """Give the environments time to close, then end the remaining processes."""
    started = [worker for worker in of if hasattr(worker, "process")]
    asked = {worker.process.sentinel for worker in started if worker.send(("close", None))}
    deadline = time.monotonic() + _CLOSING_SECONDS
    while asked and (left := deadline - time.monotonic()) > 0:
        asked -= set(wait(list(asked), left))
    for worker in started:
        worker.end()


def _work(name: str, connection: Connection, parent: int, at_once: bool) -> None:
    """Answer requests; the main function of the process."""
    workers.leave_requests_to_parent()
    workers.end_with(parent, at_once=at_once)
    env: Any = None
    answer: tuple[bool, Any]
    while True:
        try:
            number, command, argument = connection.recv()
        except (EOFError, OSError):
            return  # the parent has closed the connection or ended
        try:
            if command == "close":
                if env is not None:
                    env.close()
                return
            if command == "make":
                env = pickle.loads(argument).fn()
                answer = True, None
            elif command == "reset":
                answer = True, env.reset(seed=argument)[0]
            else:
                answer = True, env.step(argument) if command == "step" else env.render()
        except UserError as error:
            answer = False, str(error)
        except Exception as error:
            answer = False, f"task {name!r}: its environment fails: {type(error).__name__}: {first_line(error)}"
        connection.send((number, *answer))
