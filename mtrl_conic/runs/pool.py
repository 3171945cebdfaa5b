"""Execution of many runs, a few at a time: starting, watching, restarting and stopping them."""

from __future__ import annotations

import shlex
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

from mtrl_conic.files import replace
from mtrl_conic.runs.plan import Job
from mtrl_conic.runs.status import ERROR_FILE, last_line

ATTEMPTS = 3
"""A run that was killed (out of memory, lost machine) continues from its checkpoint. After this number of kills without
a new checkpoint in between, it has failed."""
_POLL_SECONDS = 0.2
WRONG_INPUT = 2
"""The exit code of a command with invalid input, which it describes in one line."""

End = Literal["finished", "failed", "refused", "stopped", "killed"]
"""The end of a run; refused: the command found the user's input invalid, exit code 2."""


class Watcher(Protocol):
    """The interface of an object that is informed of events of runs."""

    def started(self, run: Job) -> None:
        """The run starts or continues."""

    def ended(self, run: Job, end: End, words: str) -> None:
        """The run ended; `words` say why it failed or was killed. A killed run is restarted."""

    def tick(self, running: Sequence[Job]) -> None:
        """Some time has passed."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of an attempt at a run."""

    end: End
    reason: str = ""
    """The reason why it failed or was killed."""
    errors: str = ""
    """Its standard error."""

    @classmethod
    def of_code(cls, code: int, errors: str) -> Outcome:
        """Return the outcome of a command that ended by itself."""
        if code == 0:
            return cls("finished")
        return cls("refused" if code == WRONG_INPUT else "failed", f"exit code {code}", errors)


class Attempt(Protocol):
    """The execution of one command."""

    @property
    def arguments(self) -> Sequence[str]:
        """Arguments of `mtrl-conic`."""

    def has_started(self) -> bool:
        """Return whether it has started, rather than waiting for resources."""

    def outcome(self) -> Outcome | None:
        """Return its outcome; None while it is running."""

    def stop(self) -> None:
        """Ask it, once, to write its checkpoint and end."""

    def kill(self) -> None:
        """End it at once."""


def carry_out(
    runs: Sequence[Job],
    start: Callable[[Job], Attempt],
    *,
    jobs: int,
    watcher: Watcher,
    interrupted: Callable[[], bool],
) -> dict[str, End]:
    """Execute all `runs`, `jobs` at a time; a run that fails does not stop the others.

    Args:
        runs: claimed unfinished runs.
        start: function that starts an attempt at a run.
        jobs: number of attempts at a time.
        watcher: watcher that is informed of events.
        interrupted: function; once it returns true, every run is asked to write its checkpoint and end.

    Returns:
        The end of each run that was started, by name.
    """
    pool = _Pool(runs, start, watcher)
    try:
        while pool.active or pool.waiting:
            if interrupted():
                pool.stop()
            pool.fill(jobs)
            pool.collect()
            watcher.tick([active.run for active in pool.active if active.told])
            time.sleep(_POLL_SECONDS if pool.active else 0)
    finally:
        for active in pool.active:
            active.attempt.kill()
    return pool.ends


@dataclass
class _Active:
    run: Job
    attempt: Attempt
    told: bool = False


class _Pool:
    def __init__(self, runs: Sequence[Job], start: Callable[[Job], Attempt], watcher: Watcher) -> None:
        self._start, self._watcher = start, watcher
        self.waiting = deque(runs)
        self.active: list[_Active] = []
        self.ends: dict[str, End] = {}
        self._kills: dict[str, tuple[int, int]] = {}
        """For each killed run, the number of kills and the time of its checkpoint at the last one."""

    def fill(self, jobs: int) -> None:
        while self.waiting and len(self.active) < jobs:
            run = self.waiting.popleft()
            (run.directory / ERROR_FILE).unlink(missing_ok=True)
            self.active.append(_Active(run, self._start(run)))
            self._tell_of_start(self.active[-1])

    def collect(self) -> None:
        for active in list(self.active):
            outcome = active.attempt.outcome()
            if outcome is None:
                self._tell_of_start(active)
                continue
            self.active.remove(active)
            if active.told or outcome.end != "stopped":  # otherwise it never left the queue
                self._tell_of_start(active, ended=True)
                self._end(active, outcome)

    def stop(self) -> None:
        self.waiting.clear()
        for active in self.active:
            active.attempt.stop()

    def _tell_of_start(self, active: _Active, *, ended: bool = False) -> None:
        if not active.told and (ended or active.attempt.has_started()):
            active.told = True
            self._watcher.started(active.run)

    def _end(self, active: _Active, outcome: Outcome) -> None:
        run, reason = active.run, outcome.reason
        if outcome.end == "killed" and not self._killed_too_often(run):
            self.waiting.appendleft(run)
            self._watcher.ended(run, "killed", reason)
            return
        if outcome.end in ("finished", "stopped"):
            self.ends[run.name] = outcome.end
            self._watcher.ended(run, outcome.end, "")
            return
        if outcome.end == "killed":
            reason += f", {ATTEMPTS} times; there may not be enough memory for so many runs"
        command = shlex.join(active.attempt.arguments)
        told = f"mtrl-conic {command}\n{reason}\n{outcome.errors}"
        with suppress(OSError):  # the disk may be full, which may be why the run failed
            replace(run.directory / ERROR_FILE, told.encode())
        self.ends[run.name] = "refused" if outcome.end == "refused" else "failed"
        self._watcher.ended(run, self.ends[run.name], last_line(told))

    def _killed_too_often(self, run: Job) -> bool:
        checkpoint = run.directory / "checkpoints" / "latest.pt"
        written = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        kills, before = self._kills.get(run.name, (0, written))
        self._kills[run.name] = (kills + 1 if written == before else 1, written)
        return self._kills[run.name][0] == ATTEMPTS
