"""The directory of a run, which can be resumed even if the process is killed at any moment."""

from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mtrl_conic.errors import UserError
from mtrl_conic.files import append, replace, sync
from mtrl_conic.reading import as_yaml
from mtrl_conic.runs import checkpoints
from mtrl_conic.runs.configuration import Configuration, keys_of
from mtrl_conic.runs.lock import take
from mtrl_conic.runs.records import (
    CHANGES,
    EVALUATIONS,
    METRICS,
    file_of,
    parse_record,
    read_records,
    whole_lines,
)
from mtrl_conic.runs.stored import is_finished, read_checkpoint, read_config, read_result
from mtrl_conic.schema import Role, flat_items
from mtrl_conic.workers import works_for_another

EARLIER = "earlier_results"
"""The records of the results that a run had before its budget was increased."""
DOING = "doing.txt"
"""The file with the current activity of a run besides its steps."""
_CLAIMED = {".lock", "checkpoints", "config.yaml.tmp"}
"""The files that a process may leave if it is killed before it has written the configuration."""
_BEFORE_IT_BEGINS = _CLAIMED | {"config.yaml", "output.txt", "error.txt", "provenance.jsonl", DOING}
Changes = Literal["refuse", "follow", "make"]
"""What is done if settings differ: refuse the run, follow the changes that were made before, or make the change."""
_LOGGER = logging.getLogger(__name__)


class _Rules(NamedTuple):
    """The fields that may differ from the configuration in a directory, see `RunDirectory`."""

    free: Collection[str]
    settings: Collection[str]
    changes: Changes


class RunDirectory:
    """The directory of a run: configuration, metrics, evaluations, checkpoints and result.

    Only one process at a time can open it.

    Args:
        path: path of the directory; it is created if needed.
        config: complete configuration in plain values.
        free: keys, as paths with dots, whose values may differ when the run is resumed.
        settings: keys whose values may be changed.
        changes: what is done if settings differ.
        patience: seconds to wait for another process that writes to the directory.

    Raises:
        UserError: the directory is not writable, is used by another process, or contains another configuration or
            other files.
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
        """The given configuration, except for settings that were changed when the run was resumed before."""
        self.finished = False
        """Whether the run is finished and its budget is not larger now; `open_run` sets it."""
        self._made = False
        """Whether this object wrote the configuration."""
        self._changed: dict[str, list[Any]] = {}
        """Settings that change when the run goes on: values before and after."""
        self._was_there = self.path.exists()
        rules = _Rules(free, settings, changes)
        self._check(config, rules)  # before anything is created, so that a refused directory stays unchanged
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("a+")
        except OSError as error:
            raise UserError(f"cannot write to run directory {self.path}: {error.strerror}") from None
        take(self._lock, self.path, patience)
        try:
            self._claim(config, rules)
        except BaseException:
            self.close()
            raise

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints and of the replay's file."""
        return self.path / "checkpoints"

    @property
    def result(self) -> dict[str, Any] | None:
        """The result of the run, or None if it is not finished."""
        return read_result(self.path)

    def _claim(self, config: dict[str, Any], rules: _Rules) -> None:
        differing = self._check(config, rules)
        if not (self.path / "config.yaml").exists():
            self._write_config(config)
            self._made = True
        elif differing and rules.changes == "follow":
            _LOGGER.warning("%s keeps the earlier change of %s", self.path, ", ".join(differing))
            self.config = _with(config, {key: there for key, (there, _) in differing.items()})
        elif differing:
            self._changed = {key: list(values) for key, values in differing.items()}

    def _check(self, config: dict[str, Any], rules: _Rules) -> dict[str, tuple[Any, Any]]:
        """Check that the directory belongs to this run, and return the settings that differ, with both values."""
        if not (self.path / "config.yaml").exists():
            names = os.listdir(self.path) if self.path.is_dir() else []
            foreign = sorted(name for name in names if name not in _CLAIMED)
            if foreign:
                raise UserError(
                    f"{self.path} is not a run directory: it contains {foreign[0]!r}; choose another --run-dir"
                )
            return {}
        there, here = dict(flat_items(read_config(self.path))), dict(flat_items(config))
        keys = [key for key in {**there, **here} if there.get(key) != here.get(key) and key not in rules.free]
        differing = {key: (there.get(key), here.get(key)) for key in keys}
        may_differ = set(differing) <= set(rules.settings)
        made = rules.changes == "make" and may_differ
        if differing and not made and not (rules.changes == "follow" and self._were_changed(differing)):
            what = "; ".join(f"{key} is {differing[key][0]!r} there, {differing[key][1]!r} here" for key in keys[:3])
            hint = ", or add --allow-changes to resume with the change" if may_differ else ""
            raise UserError(f"{self.path} contains another configuration ({what}); choose another --run-dir{hint}")
        return differing

    def _were_changed(self, differing: Mapping[str, tuple[Any, Any]]) -> bool:
        """Return whether each of these settings was changed before from the value that is given now."""
        made = [record["changes"] for record in self.records(CHANGES)]
        return all(any(key in one and one[key][0] == here for one in made) for key, (_, here) in differing.items())

    def _write_config(self, config: dict[str, Any]) -> None:
        replace(self.path / "config.yaml", as_yaml(config).encode())

    def go_on(self) -> None:
        """Note that the run goes on: record changed settings and the configuration, move a result to `EARLIER`.

        Call it when everything that the run needs has been made and the last checkpoint loaded, because a command that
        is refused must leave the run as it is.
        """
        if self._changed:
            state = read_checkpoint(self.path) or {}
            self.append(CHANGES, {"step": state.get("step", state.get("epoch", 0)), "changes": self._changed})
            self._changed = {}
        if self.config != read_config(self.path):
            self._write_config(self.config)
        result = self.result
        if result is not None:
            if result not in self.records(EARLIER):  # the process may have been killed between the two writes
                self.append(EARLIER, result)
            (self.path / "result.json").unlink()

    def save_checkpoint(self, state: dict[str, Any], name: str = "latest") -> None:
        """Replace the checkpoint called `name` completely or not at all; a run resumes from the latest."""
        for records in self.path.glob("*.jsonl"):
            sync(records)  # so that the records before a checkpoint are as durable as the checkpoint
        checkpoints.write(self.checkpoints, name, state)

    def load_checkpoint(self, name: str = "latest") -> dict[str, Any] | None:
        """Return the checkpoint called `name`; None if there is none."""
        file = self.checkpoints / f"{name}.pt"
        return checkpoints.read(file) if file.exists() else None

    def resume(self, use: Callable[[dict[str, Any]], None]) -> bool:
        """Resume from the latest undamaged checkpoint; return False if there are no checkpoints.

        Args:
            use: function that is called with the state, see `checkpoints.newest`.

        Raises:
            UserError: all checkpoints are damaged; they are left as they are.
        """
        taken: list[str] = []
        found = checkpoints.newest(self.checkpoints, use=use, taken=taken.append)
        if found is None:
            return False
        if taken != [checkpoints.LATEST]:
            checkpoints.set_aside(self.checkpoints)
        return True

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Append a record to `name`.jsonl."""
        append(file_of(self.path, name), (json.dumps(record) + "\n").encode())

    def records(self, name: str) -> list[dict[str, Any]]:
        """Return the records in `name`.jsonl; none if the file does not exist."""
        return list(read_records(self.path, name))

    def tell(self, words: str) -> None:
        """Write the current activity besides the steps, for display by other processes; empty if there is none."""
        (self.path / DOING).write_text(words)

    def rewind(self, name: str, step: int) -> None:
        """Remove the records in `name`.jsonl that are later than `step`, from which the run resumes.

        Raises:
            UserError: a line is not a record; nothing is removed then.
        """
        file, end = file_of(self.path, name), 0
        for number, line in enumerate(whole_lines(file), 1):
            if parse_record(line, name, f"{file}, line {number},")["step"] > step:
                break  # steps never decrease
            end += len(line)
        if file.exists():
            os.truncate(file, end)
            sync(file)

    def finish(self, result: dict[str, Any]) -> None:
        """Write `result.json`, which marks the run as finished."""
        replace(self.path / "result.json", (json.dumps(result, indent=2) + "\n").encode())

    def withdraw(self, *, claimed: bool = False) -> None:
        """Remove the directory of a run that was refused, if this object created it and the run has not started.

        Args:
            claimed: whether to remove it also if it was claimed before this object was created.
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
        """Release the directory for other processes."""
        self._lock.close()


PATIENCE = 20.0
"""The seconds that processes of a killed comparison have to write their checkpoints and release their directories."""


def open_run(
    path: Path, config: Configuration, *, changes: Changes = "follow", patience: float | None = None
) -> RunDirectory:
    """Create or reopen the directory of the run that `config` describes.

    The fields of the roles `EXECUTION` and `BUDGET` may differ from those of the existing run. If the budget of a
    finished run is larger now, `finished` is false, and the run loses its result when `RunDirectory.go_on` is called.

    Args:
        path: path of the directory.
        config: complete configuration.
        changes: what is done if settings, the fields of the role `SETTING`, differ.
        patience: see `RunDirectory`. None means `PATIENCE` for a run of a comparison, whose directory may still be used
            by a process of an earlier comparison that was killed, and 0 for other runs.

    Returns:
        The directory; its `config` is the configuration to continue with.

    Raises:
        UserError: see `RunDirectory`.
    """
    values, model = config.model_dump(mode="json"), type(config)
    free, settings = keys_of(model, Role.EXECUTION, Role.BUDGET), keys_of(model, Role.SETTING)
    finished = is_finished(path, config)
    if finished:
        settings = frozenset()  # a finished run cannot use other settings
    if patience is None:
        patience = PATIENCE if works_for_another() else 0.0
    run = RunDirectory(path, values, free=free, settings=settings, changes=changes, patience=patience)
    try:
        for name in (EVALUATIONS, METRICS):
            next(whole_lines(file_of(path, name)), None)  # reports damaged records before anything is written
    except UserError:
        run.close()
        raise
    run.finished = finished
    return run


def _with(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a configuration with other values for some keys, given as paths with dots."""
    changed = copy.deepcopy(dict(config))
    for key, value in values.items():
        *sections, name = key.split(".")
        inner = changed
        for section in sections:
            inner = inner[section]
        inner[name] = value
    return changed
