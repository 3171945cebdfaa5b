"""Run commands on a disk that is full from the n-th write on; they must end in one line, and resume once there is room.

    python -m tests.reliability.full_disk --times 60 [--seed 0]

A command line is carried out in a forked process in which, from the n-th attempt on, opening a file of its directory
for writing, renaming or making one fails with ENOSPC. The command must end by itself with exit code 1 or 2 and one line
that says why. The same command on a disk with room must end with the numbers of a run that never met a full disk, so no
file that it reads may be torn.
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
    """The number of full disks, and the runs that were lost to them."""

    times: int = 0
    lost: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the counts, and a line for each run that was lost."""
        return [f"{self.times} full disks", *self.lost, f"lost: {len(self.lost)}"]


def fill(times: int, *, seed: int, folder: Path, names: Sequence[str] = ("train", "replay on disk")) -> Summary:
    """Carry out commands on disks that fill up at `times` random writes, and again on disks with room."""
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
    """Return what is lost on a disk that is full from write number `at` on."""
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
    """Run a command in a forked process; return its exit code (minus a signal), output and number of writes."""
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
    """Count this process's changes in `folder`, and refuse them from number `full_at` on."""
    seen = 0

    def hook(event: str, given: tuple[Any, ...]) -> None:
        nonlocal seen
        makes = (event == "open" and _writing(given)) or event in _EVENTS
        # A full disk does not keep a process from removing files.
        if makes and event not in ("os.remove", "os.rmdir") and str(given[0]).startswith(folder):
            seen += 1
            os.write(count, b".")
            if full_at is not None and seen >= full_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(given[0]))

    sys.addaudithook(hook)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the long form, and print its counts."""
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
