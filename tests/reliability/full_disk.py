"""A disk that is full from the n-th write on: a run ends in one line, and goes on, once there is room, as if all along.

    python -m tests.reliability.full_disk --times 60 [--seed 0]

A command line is carried out in a forked process in which every attempt to open a file of its directory for writing, to
rename, make or remove one fails with ENOSPC, from the n-th on. What must hold: it ends by itself with exit code 1 or 2
and one line, no file that a reader takes for whole is torn, and the same command on a disk with room ends with the
numbers of a run that never met a full one.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.reliability import hostile
from tests.reliability.chaos import _EVENTS, Scenario, _wait, _writing, scenarios


@dataclass
class Summary:
    """What was lost."""

    times: int = 0
    lost: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Counts, and what was lost."""
        return [f"{self.times} full disks", *self.lost, f"lost: {len(self.lost)}"]


def fill(times: int, *, seed: int, folder: Path, names: Sequence[str] = ("train", "replay on disk")) -> Summary:
    """Carry out commands on a disk that becomes full at `times` random writes, and again on one with room."""
    rng, summary = random.Random(seed), Summary()
    chosen = [each for each in scenarios(folder) if each.name in names]
    expected, counts = {}, {}
    for scenario in chosen:
        out = folder / "undisturbed"
        code, output, counts[scenario.name] = carry_out(scenario.arguments(out), out)
        if code != 0:
            raise RuntimeError(f"{scenario.name} fails undisturbed: {output}")
        expected[scenario.name] = scenario.result(out)
        shutil.rmtree(out)
    for number in range(times):
        scenario = chosen[number % len(chosen)]
        at = rng.randrange(1, counts[scenario.name])
        summary.lost += _disturb(scenario, folder / "disturbed", at, expected[scenario.name])
        summary.times += 1
        shutil.rmtree(folder / "disturbed", ignore_errors=True)
    return summary


def _disturb(scenario: Scenario, out: Path, at: int, expected: Any) -> list[str]:
    """What is lost by a disk that is full from write number `at` on."""
    arguments, told = scenario.arguments(out), f"{scenario.name}, full at write {at}"
    code, output, _ = carry_out(arguments, out, full_at=at)
    lines = [line for line in output.splitlines() if line.startswith("mtrl-conic: error:")]
    if code not in (1, 2) or len(lines) != 1 or "Traceback" in output or "No space left" not in lines[0]:
        return [f"{told}: exit code {code}: {output[-400:]}"]
    code, output, _ = carry_out(arguments, out)
    if code != 0:
        return [f"{told}: then exit code {code}: {output[-400:]}"]
    return [] if scenario.result(out) == expected else [f"{told}: other numbers"]


def carry_out(arguments: Sequence[str], out: Path, *, full_at: int | None = None) -> tuple[int, str, int]:
    """Exit code (minus a signal's number), output and number of writes of a command in a forked process."""
    with tempfile.TemporaryFile() as kept, tempfile.TemporaryFile() as count:
        child = os.fork()
        if child == 0:
            _become(arguments, out, kept.fileno(), count.fileno(), full_at)
        code = _wait(child, None)
        kept.seek(0)
        count.seek(0)
        return code, kept.read().decode("utf-8", "replace"), len(count.read())


def _become(arguments: Sequence[str], out: Path, output: int, count: int, full_at: int | None) -> None:
    from mtrl_conic.cli import main

    code = 70
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        shown = os.fdopen(os.dup(output), "w", errors="backslashreplace", buffering=1)
        with shown, redirect_stdout(shown), redirect_stderr(shown):
            _refuse_writes(str(out), count, full_at)
            try:
                code = main(list(arguments))
            except BaseException:
                traceback.print_exc()
    finally:
        os._exit(code)


def _refuse_writes(folder: str, count: int, full_at: int | None) -> None:
    """Count this process's changes in `folder`, and from number `full_at` on refuse them."""
    seen = 0

    def hook(event: str, given: tuple[Any, ...]) -> None:
        nonlocal seen
        makes = (event == "open" and _writing(given)) or event in _EVENTS
        # Who removes something is helped by a full disk as by any other.
        if makes and event not in ("os.remove", "os.rmdir") and str(given[0]).startswith(folder):
            seen += 1
            os.write(count, b".")
            if full_at is not None and seen >= full_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(given[0]))

    sys.addaudithook(hook)


def main(argv: Sequence[str] | None = None) -> int:
    """The long form, with its counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    hostile.import_everything()
    with tempfile.TemporaryDirectory(prefix="full-disk-") as folder:
        summary = fill(given.times, seed=given.seed, folder=Path(folder))
    print("\n".join(summary.lines()))
    return 1 if summary.lost else 0


if __name__ == "__main__":
    sys.exit(main())
