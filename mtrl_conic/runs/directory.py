"""A run on disk: written so that a kill at any moment leaves a directory that resumes."""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import time
from pathlib import Path
from typing import Any, NoReturn

import yaml

from mtrl_conic.errors import UserError, first_line
from mtrl_conic.schema import flat_items


class RunDirectory:
    """One run: configuration, metrics, evaluations, checkpoint, result. One process writes it at a time.

    Args:
        path: made if it is not there.
        config: the complete configuration, plain values only.
        ignore: top-level keys that may differ between the sittings of one run (device, threads).

    Raises:
        UserError: not writable, in use by another process, holding another configuration or other files.
    """

    def __init__(self, path: str | Path, config: dict[str, Any], *, ignore: tuple[str, ...] = ()) -> None:
        self.path, self.config = Path(path), config
        self._made = False
        """Whether the configuration was written here and now."""
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("a+")
        except OSError as error:
            raise UserError(f"cannot write to run directory {self.path}: {error.strerror}") from None
        self._acquire()
        try:
            self._claim(config, ignore)
        except UserError:
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

    def _acquire(self) -> None:
        # Whoever asks for the state of a run holds its lock for an instant: try again before giving up.
        for pause in (0.02, 0.1, None):
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if pause is None:
                    self._refuse()
                else:
                    time.sleep(pause)
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def _refuse(self) -> NoReturn:
        self._lock.seek(0)
        owner = self._lock.read().strip() or "unknown"
        self._lock.close()
        raise UserError(f"run directory {self.path} is being written by process {owner}; wait for it or choose another")

    def _claim(self, config: dict[str, Any], ignore: tuple[str, ...]) -> None:
        file = self.path / "config.yaml"
        if not file.exists():
            foreign = sorted(p.name for p in self.path.iterdir() if p.name not in (".lock", "checkpoints"))
            if foreign:
                raise UserError(f"{self.path} is no run directory, it holds {foreign[0]!r}; choose another --run-dir")
            write_text(file, yaml.safe_dump(config, sort_keys=False))
            self._made = True
            return
        there, here = dict(flat_items(read_config(self.path))), dict(flat_items(config))
        differing = [key for key in {**there, **here} if there.get(key) != here.get(key) and key not in ignore]
        if differing:
            what = "; ".join(f"{key} is {there.get(key)!r} there, {here.get(key)!r} here" for key in differing[:3])
            raise UserError(f"{self.path} holds another configuration ({what}); choose another --run-dir")

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint, all or nothing."""
        import torch  # seconds, which listing runs need not spend

        file = self.checkpoints / "latest.pt"
        fresh = file.with_suffix(".tmp")
        torch.save(state, fresh)
        _sync(fresh)
        os.replace(fresh, file)

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint, or None."""
        return read_checkpoint(self.path)

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Add a line to `name`.jsonl."""
        with (self.path / f"{name}.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    def records(self, name: str) -> list[dict[str, Any]]:
        """The lines of `name`.jsonl."""
        return [json.loads(line) for line in _whole_lines(self.path / f"{name}.jsonl")]

    def rewind(self, name: str, step: int) -> None:
        """Drop the lines of `name`.jsonl that came after `step`: the run goes on from there."""
        file = self.path / f"{name}.jsonl"
        if file.exists():
            kept = [line for line in _whole_lines(file) if json.loads(line)["step"] <= step]
            write_text(file, "".join(kept))

    def finish(self, result: dict[str, Any]) -> None:
        """Write `result.json`: from now on the run is done."""
        write_text(self.path / "result.json", json.dumps(result, indent=2) + "\n")

    def withdraw(self, *, claimed: bool = False) -> None:
        """Leave nothing of a run that was refused: remove what was made here, unless it is more than a beginning.

        Args:
            claimed: the directory was made before this object, for the same sitting.
        """
        names = {file.name for file in self.path.iterdir()}
        begun = names != {".lock", "checkpoints", "config.yaml"} or any(self.checkpoints.iterdir())
        if begun or not (self._made or claimed):
            return
        self.checkpoints.rmdir()
        (self.path / "config.yaml").unlink()
        (self.path / ".lock").unlink()
        self.path.rmdir()

    def close(self) -> None:
        """Let another process write here."""
        self._lock.close()


def read_config(path: Path) -> dict[str, Any]:
    """The complete configuration of the run at `path`."""
    file = path / "config.yaml"
    if not file.is_file():
        raise UserError(f"{path} is no run directory: it has no config.yaml")
    values = yaml.safe_load(file.read_text())
    if not isinstance(values, dict):
        raise UserError(f"{file} is not a configuration")
    return values


def read_checkpoint(path: Path, given: Path | None = None) -> dict[str, Any] | None:
    """The last checkpoint of the run at `path`, on the CPU, or None. Loading runs no code.

    Args:
        path: of the run.
        given: another file to read, a copy that was kept of an earlier checkpoint.

    Raises:
        UserError: `given` is no checkpoint.
    """
    file = path / "checkpoints" / "latest.pt" if given is None else given
    if given is None and not file.exists():
        return None
    import torch

    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        if given is None:
            raise
        raise UserError(f"{file} is no checkpoint: {first_line(error)}") from None
    return state


def read_result(path: Path) -> dict[str, Any] | None:
    """The result of the run at `path`, or None where it is not finished."""
    file = path / "result.json"
    if not file.exists():
        return None
    result: dict[str, Any] = json.loads(file.read_text())
    return result


def write_text(file: Path, text: str) -> None:
    """Replace `file`, all or nothing."""
    fresh = file.with_name(file.name + ".tmp")
    fresh.write_text(text)
    _sync(fresh)
    os.replace(fresh, file)


def _whole_lines(file: Path) -> list[str]:
    """Lines that were written to their end: a kill may leave half a line, only as the last one."""
    return [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _sync(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
