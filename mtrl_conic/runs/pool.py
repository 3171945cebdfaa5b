"""Many runs, a few at a time, whatever carries them out: started, watched, taken up again, stopped."""

from __future__ import annotations

import shlex
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

from mtrl_conic.runs.directory import write_text
from mtrl_conic.runs.status import ERROR_FILE, read_error

ATTEMPTS = 3
"""A run that was killed (no memory left, its node lost) goes on from its checkpoint. After so many kills without a
new checkpoint between them it has failed."""
_POLL_SECONDS = 0.2

End = Literal["finished", "failed", "stopped", "killed"]


class Job(Protocol):
    """A run that is to be made by a command of its own. The same command again goes on."""

    @property
    def name(self) -> str:
        """For a person, and unique."""

    @property
    def directory(self) -> Path:
        """Where it is kept; there already."""

    @property
    def threads(self) -> int | None:
        """What the run itself says about its threads."""

    def command(self, threads: int) -> list[str]:
        """The arguments of `mtrl-conic` that train it on so many threads."""


J = TypeVar("J", bound=Job)
J_contra = TypeVar("J_contra", bound=Job, contravariant=True)


class Watcher(Protocol[J_contra]):
    """Is told what happens to the runs."""

    def started(self, run: J_contra) -> None:
        """The run starts, or goes on."""

    def ended(self, run: J_contra, end: End, words: str) -> None:
        """It has ended; `words` say why it failed or was killed. A killed one starts again."""

    def tick(self, running: Sequence[J_contra]) -> None:
        """Some time has passed."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt at a run ended."""

    end: End
    reason: str = ""
    """Why it failed or was killed."""
    errors: str = ""
    """What it wrote to standard error."""


class Attempt(Protocol):
    """One command that is carried out."""

    @property
    def arguments(self) -> Sequence[str]:
        """Of `mtrl-conic`."""

    def has_started(self) -> bool:
        """Whether it waits no longer for a place to run."""

    def outcome(self) -> Outcome | None:
        """How it ended; None while it goes on."""

    def stop(self) -> None:
        """Ask it, once, to write its checkpoint and end."""

    def kill(self) -> None:
        """End it at once."""


def run_all(
    runs: Sequence[J],
    start: Callable[[J], Attempt],
    *,
    jobs: int,
    watcher: Watcher[J],
    interrupted: Callable[[], bool],
) -> dict[str, End]:
    """Carry out all `runs`, `jobs` at a time; a run that fails does not stop the others.

    Args:
        runs: claimed and not finished.
        start: an attempt at a run.
        jobs: attempts at a time.
        watcher: is told what happens.
        interrupted: once it says yes, every run is asked to write its checkpoint and end.

    Returns:
        How each run that was started ended, by name.
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
class _Active(Generic[J]):
    run: J
    attempt: Attempt
    told: bool = False


class _Pool(Generic[J]):
    def __init__(self, runs: Sequence[J], start: Callable[[J], Attempt], watcher: Watcher[J]) -> None:
        self._start, self._watcher = start, watcher
        self.waiting = deque(runs)
        self.active: list[_Active[J]] = []
        self.ends: dict[str, End] = {}
        self._kills: dict[str, tuple[int, int]] = {}
        """Of a run: how often, and the time of the checkpoint that it then had."""

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
            if active.told or outcome.end != "stopped":  # else it never came to a place to run
                self._tell_of_start(active, ended=True)
                self._end(active, outcome)

    def stop(self) -> None:
        self.waiting.clear()
        for active in self.active:
            active.attempt.stop()

    def _tell_of_start(self, active: _Active[J], *, ended: bool = False) -> None:
        if not active.told and (ended or active.attempt.has_started()):
            active.told = True
            self._watcher.started(active.run)

    def _end(self, active: _Active[J], outcome: Outcome) -> None:
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
            reason += f", {ATTEMPTS} times; is there memory for so many runs?"
        command = shlex.join(active.attempt.arguments)
        write_text(run.directory / ERROR_FILE, f"mtrl-conic {command}\n{reason}\n{outcome.errors}")
        self.ends[run.name] = "failed"
        self._watcher.ended(run, "failed", read_error(run.directory))

    def _killed_too_often(self, run: J) -> bool:
        checkpoint = run.directory / "checkpoints" / "latest.pt"
        written = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        kills, before = self._kills.get(run.name, (0, written))
        self._kills[run.name] = (kills + 1 if written == before else 1, written)
        return self._kills[run.name][0] == ATTEMPTS
