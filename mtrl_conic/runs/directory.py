"""A run on disk: written so that a kill at any moment leaves a directory that resumes."""

from __future__ import annotations

import copy
import json
import logging
import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

from mtrl_conic.errors import UserError
from mtrl_conic.files import append, replace, sync
from mtrl_conic.reading import as_yaml, read_json, read_yaml
from mtrl_conic.runs import checkpoints
from mtrl_conic.runs.configuration import KINDS, Configuration, keys_of, read_budget
from mtrl_conic.runs.earlier import completed
from mtrl_conic.runs.lock import lock
from mtrl_conic.runs.records import (
    CHANGES,
    EVALUATIONS,
    METRICS,
    file_of,
    is_number,
    parse_record,
    read_records,
    whole_lines,
)
from mtrl_conic.schema import Role, flat_items
from mtrl_conic.workers import works_for_another

EARLIER = "earlier_results"
"""The file of the results that a run had before it went on with a larger budget."""
DOING = "doing.txt"
"""What a run does beside its steps, while it does it."""
_CLAIMED = {".lock", "checkpoints", "config.yaml.tmp"}
"""What a process that was killed before it had written the configuration may leave."""
_BEFORE_IT_BEGINS = _CLAIMED | {"config.yaml", "output.txt", "error.txt", "provenance.jsonl", DOING}
Changes = Literal["refuse", "follow", "make"]
"""Of settings: refuse a run that has others; follow those that were made; make one."""
_RESULT = ("step", "seconds")
"""Numbers in every result."""
_LOGGER = logging.getLogger(__name__)
_PAUSES = (0.02, 0.1)
"""Seconds between attempts at the lock: whoever asks for the state of a run holds it for an instant."""


class _Rules(NamedTuple):
    """What may differ from the configuration that a directory holds, see `RunDirectory`."""

    free: Collection[str]
    settings: Collection[str]
    changes: Changes


class RunDirectory:
    """One run: configuration, metrics, evaluations, checkpoint, result. One process writes it at a time.

    Args:
        path: made if it is not there.
        config: the complete configuration, plain values only.
        free: keys, with their path in dots, that may differ between the sittings of one run.
        settings: keys that may be changed.
        changes: what is done about settings that differ.
        patience: seconds to wait for another process that writes the directory.

    Raises:
        UserError: not writable, in use by another process, holding another configuration or other files.
    """

    def __init__(
        self,
        path: str | Path,
        config: dict[str, Any],
        *,
        free: Collection[str] = (),
        settings: Collection[str] = (),
        changes: Changes = "refuse",
        patience: float = 0.0,
    ) -> None:
        self.path, self.config = Path(path), config
        """The configuration is the one given, but for settings that were changed in an earlier sitting."""
        self._made = False
        """Whether the configuration was written here and now."""
        self._was_there = self.path.exists()
        rules = _Rules(free, settings, changes)
        self._check(config, rules)  # before anything is made: what is refused stays as it is
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("a+")
        except OSError as error:
            raise UserError(f"cannot write to run directory {self.path}: {error.strerror}") from None
        self._acquire(patience)
        try:
            self._claim(config, rules)
        except BaseException:
            self.close()
            raise

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoint and the replay's file."""
        return self.path / "checkpoints"

    @property
    def result(self) -> dict[str, Any] | None:
        """What the finished run wrote, or None."""
        return read_result(self.path)

    def _acquire(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        pauses = list(_PAUSES)
        while True:
            try:
                lock(self._lock)
                break
            except OSError:
                if not pauses and time.monotonic() >= deadline:
                    self._refuse()
                time.sleep(pauses.pop(0) if pauses else 0.2)
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def _refuse(self) -> NoReturn:
        self._lock.seek(0)
        owner = self._lock.read().strip() or "unknown"
        self._lock.close()
        raise UserError(f"run directory {self.path} is being written by process {owner}; wait for it or choose another")

    def _claim(self, config: dict[str, Any], rules: _Rules) -> None:
        differing = self._check(config, rules)
        if not (self.path / "config.yaml").exists():
            self._write_config(config)
            self._made = True
        elif differing and rules.changes == "follow":
            _LOGGER.warning("%s goes on with %s, as it was changed", self.path, ", ".join(differing))
            self.config = _with(config, {key: there for key, (there, _) in differing.items()})
        elif differing:
            self._keep_change({key: list(values) for key, values in differing.items()})

    def _check(self, config: dict[str, Any], rules: _Rules) -> dict[str, tuple[Any, Any]]:
        """That the directory is no other run's, and nothing else; settings that differ, with their values."""
        if not (self.path / "config.yaml").exists():
            names = os.listdir(self.path) if self.path.is_dir() else []
            foreign = sorted(name for name in names if name not in _CLAIMED)
            if foreign:
                raise UserError(f"{self.path} is no run directory, it holds {foreign[0]!r}; choose another --run-dir")
            return {}
        there, here = dict(flat_items(read_config(self.path))), dict(flat_items(config))
        keys = [key for key in {**there, **here} if there.get(key) != here.get(key) and key not in rules.free]
        differing = {key: (there.get(key), here.get(key)) for key in keys}
        may_differ = set(differing) <= set(rules.settings)
        made = rules.changes == "make" and may_differ
        if differing and not made and not (rules.changes == "follow" and self._were_changed(differing)):
            what = "; ".join(f"{key} is {differing[key][0]!r} there, {differing[key][1]!r} here" for key in keys[:3])
            hint = ", or give --allow-changes to go on with the change" if may_differ else ""
            raise UserError(f"{self.path} holds another configuration ({what}); choose another --run-dir{hint}")
        return differing

    def _were_changed(self, differing: Mapping[str, tuple[Any, Any]]) -> bool:
        """Whether each of these settings was changed, from the value that is given here, in an earlier sitting."""
        made = [record["changes"] for record in self.records(CHANGES)]
        return all(any(key in one and one[key][0] == here for one in made) for key, (_, here) in differing.items())

    def _keep_change(self, changes: dict[str, list[Any]]) -> None:
        """What was changed, and when; the configuration follows as the run goes on."""
        state = read_checkpoint(self.path) or {}
        self.append(CHANGES, {"step": state.get("step", state.get("epoch", 0)), "changes": changes})

    def _write_config(self, config: dict[str, Any]) -> None:
        write_text(self.path / "config.yaml", as_yaml(config))

    def go_on(self, config: dict[str, Any]) -> None:
        """Take the run up again, by a configuration that differs in free keys; a result that is there is put aside."""
        if config != read_config(self.path):
            self._write_config(config)
        result = self.result
        if result is not None:
            if result not in self.records(EARLIER):  # a kill may have come between the two files
                self.append(EARLIER, result)
            (self.path / "result.json").unlink()

    def save_checkpoint(self, state: dict[str, Any], name: str = "latest") -> None:
        """Replace the checkpoint called `name`, all or nothing; a run goes on from the latest."""
        for records in self.path.glob("*.jsonl"):
            sync(records)  # the lines that are older than the checkpoint last as long as it does
        checkpoints.write(self.checkpoints, name, state)

    def load_checkpoint(self, name: str = "latest") -> dict[str, Any] | None:
        """The checkpoint called `name`, or None."""
        file = self.checkpoints / f"{name}.pt"
        return checkpoints.read(file) if file.exists() else None

    def resume(self, use: Callable[[dict[str, Any]], None]) -> bool:
        """Go on from the latest checkpoint that is whole; False where there is none at all.

        Args:
            use: takes up the state; see `checkpoints.newest`.

        Raises:
            UserError: all checkpoints are damaged; none is touched.
        """
        taken: list[str] = []
        found = checkpoints.newest(self.checkpoints, use=use, taken=taken.append)
        if found is None:
            return False
        if taken != [checkpoints.LATEST]:
            checkpoints.set_aside(self.checkpoints)
        return True

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Add a line to `name`.jsonl."""
        append(file_of(self.path, name), (json.dumps(record) + "\n").encode())

    def records(self, name: str) -> list[dict[str, Any]]:
        """The lines of `name`.jsonl, none where there is no such file."""
        return list(read_records(self.path, name))

    def tell(self, words: str) -> None:
        """What goes on beside the steps, for whoever watches; empty: nothing."""
        (self.path / DOING).write_text(words)

    def rewind(self, name: str, step: int) -> None:
        """Drop the lines of `name`.jsonl that came after `step`: the run goes on from there.

        Raises:
            UserError: a line is no record; nothing is dropped then.
        """
        file, end = file_of(self.path, name), 0
        for number, line in enumerate(whole_lines(file), 1):
            if parse_record(line, name, f"{file}, line {number},")["step"] > step:
                break  # steps only grow
            end += len(line)
        if file.exists():
            os.truncate(file, end)
            sync(file)

    def finish(self, result: dict[str, Any]) -> None:
        """Write `result.json`: from now on the run is done."""
        write_text(self.path / "result.json", json.dumps(result, indent=2) + "\n")

    def withdraw(self, *, claimed: bool = False) -> None:
        """Leave nothing of a run that was refused: remove what was made here, unless it is more than a beginning.

        Args:
            claimed: the directory was made before this object, for the same sitting.
        """
        names = {file.name for file in self.path.iterdir()}
        begun = not names <= _BEFORE_IT_BEGINS or any(self.checkpoints.iterdir())
        if begun or not (self._made or claimed):
            return
        self.checkpoints.rmdir()
        for name in names - {"checkpoints"}:
            (self.path / name).unlink()
        if claimed or not self._was_there:
            self.path.rmdir()

    def close(self) -> None:
        """Let another process write here."""
        self._lock.close()


PATIENCE = 20.0
"""Seconds for the processes of a comparison that was killed to write their checkpoints and let go."""


def open_run(
    path: Path, config: Configuration, *, changes: Changes = "follow", patience: float | None = None
) -> RunDirectory:
    """The directory of the run that `config` describes, made or taken up again.

    How and where it is carried out may differ from the last time, and so may the budget: a finished run whose budget
    is larger now has no result until it has gone on; any other finished run is left as it is.

    Args:
        path: of the directory.
        config: complete.
        changes: what is done about settings, fields of the role `SETTING`, that differ.
        patience: see `RunDirectory`; None: a run of a comparison has some, since a process of the comparison before,
            which was killed, may come to the directory after it was claimed.

    Returns:
        The directory; its `config` is what the run goes on with.

    Raises:
        UserError: see `RunDirectory`.
    """
    values, model = config.model_dump(mode="json"), type(config)
    free, settings = keys_of(model, Role.EXECUTION, Role.BUDGET), keys_of(model, Role.SETTING)
    if is_finished(path, config):
        settings = frozenset()  # there is nothing left to learn with others
    if patience is None:
        patience = PATIENCE if works_for_another() else 0.0
    run = RunDirectory(path, values, free=free, settings=settings, changes=changes, patience=patience)
    try:
        for name in (EVALUATIONS, METRICS):
            next(whole_lines(file_of(path, name)), None)  # before anything is written beside them
    except UserError:
        run.close()
        raise
    if not is_finished(path, config):
        run.go_on(run.config)
    return run


def is_finished(path: Path, config: Configuration) -> bool:
    """Whether the run at `path` has nothing left to do: its budget is the one it ended by, or no larger."""
    result = read_result(path)
    if result is None:
        return False
    return (
        config.budget == read_budget(read_config(path)) or config.budget.share(result["step"], result["seconds"]) >= 1
    )


def read_config(path: Path) -> dict[str, Any]:
    """The complete configuration of the run at `path`.

    Raises:
        UserError: there is none, or it is no run's.
    """
    file = path / "config.yaml"
    if not file.exists():
        raise UserError(f"{path} is no run directory: it has no config.yaml")
    values = read_yaml(file)
    if not isinstance(values, dict) or values.get("kind") not in list(KINDS):  # a list can be asked for anything
        raise UserError(f"{file} is no run's configuration: it names no kind ({', '.join(KINDS)})")
    wrong = _wrong(values)
    if wrong:
        raise UserError(f"{file} is damaged: {wrong}")
    return completed(values)


def read_checkpoint(path: Path, given: Path | None = None) -> dict[str, Any] | None:
    """The last checkpoint of the run at `path` that is whole, on the CPU, or None. Loading runs no code.

    Args:
        path: of the run.
        given: another file to read, a copy that was kept of an earlier checkpoint.

    Raises:
        UserError: `given` is no checkpoint, or all of the run's are damaged.
    """
    return checkpoints.newest(path / "checkpoints") if given is None else checkpoints.read(given)


def checkpoint_of(path: Path, name: str | None) -> Path | None:
    """The file of a checkpoint of the run at `path`: by its name, `best`, or by its own path; None for the latest."""
    if name is None:
        return None
    own = path / "checkpoints" / f"{name}.pt"
    return own if own.exists() or ("/" not in name and not name.endswith(".pt")) else Path(name)


def read_result(path: Path) -> dict[str, Any] | None:
    """The result of the run at `path`, or None where it is not finished."""
    file = path / "result.json"
    if not file.exists():
        return None
    result = read_json(file)
    if not isinstance(result, dict):
        raise UserError(f"{file} is no result: it has no keys")
    for key in _RESULT:
        if not is_number(result.get(key)):
            raise UserError(f"{file} is no result: its {key} is no number")
    return result


def write_text(file: Path, text: str) -> None:
    """Replace `file`, all or nothing."""
    replace(file, text.encode())


def _with(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with other values at some keys, given by their path in dots."""
    changed = copy.deepcopy(dict(config))
    for key, value in values.items():
        *sections, name = key.split(".")
        inner = changed
        for section in sections:
            inner = inner[section]
        inner[name] = value
    return changed


def _wrong(values: Mapping[str, Any]) -> str:
    """What every configuration of a run has and this one lacks, empty where it is nothing."""
    kinds = {"balancer": str, "balancer_options": dict, "seed": int, KINDS[values["kind"]].counts: int}
    for key, kind in kinds.items():
        if not isinstance(values.get(key), kind):
            return f"it has no {key}" if key not in values else f"its {key} is {str(values[key])[:40]!r}"
    minutes = values.get("minutes")
    return "" if minutes is None or is_number(minutes) else f"its minutes are {str(minutes)[:40]!r}"
