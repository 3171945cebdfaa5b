"""Recorders of other services, each behind an extra: Weights & Biases, and Trackio."""

from __future__ import annotations

import importlib
import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mtrl_conic.errors import not_installed, unknown
from mtrl_conic.files import replace
from mtrl_conic.reading import read_json
from mtrl_conic.training.callbacks import Callback, evaluation_scalars, scalars

if TYPE_CHECKING:
    from mtrl_conic.training.trainer import Trainer

PROJECT = "mtrl_conic"
IDENTITY = "recorders.json"
"""The file in a run's directory that holds what services know the run by."""


@dataclass(frozen=True)
class Labels:
    """Where a service files a run; what is None is as the service's environment variables say, or its default."""

    project: str | None = None
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()


UNLABELLED = Labels()


class _Service(Callback):
    """What both services share: `init`, `log` with a step, `finish`.

    Args:
        directory: of the run; its last parts name the run. Its identity, by which it goes on, is drawn once and kept
            there: no other machine, and no later run in the same place, has the same.
        labels: where the service files it.

    Raises:
        UserError: the package is not installed.
    """

    package: ClassVar[str]
    variables: ClassVar[dict[str, str]] = {}
    """A label -> the environment variable by which the service itself takes it."""

    def __init__(self, directory: Path, labels: Labels) -> None:
        try:
            self._module: Any = importlib.import_module(self.package)
        except ImportError:
            raise not_installed(self.package, self.package) from None
        self._directory, self._labels = directory, labels
        self._run: Any = None

    def on_start(self, trainer: Trainer) -> None:
        """Begin, or take up again, the service's run."""
        config = dict(trainer.run.config) if trainer.run is not None else {}
        project = self._label("project", PROJECT)
        self._run = self._module.init(project=project, name=self._name(), config=config, **self._options())

    def on_metrics(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """One scalar per number and task."""
        self._log(scalars(record), trainer.step)

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Success, success at the last step and return: by task, and their means."""
        self._log(evaluation_scalars(record), trainer.step)

    def on_stop(self, trainer: Trainer) -> None:
        """Finish the service's run."""
        if self._run is not None:
            self._run.finish()
            self._run = None

    def _log(self, values: dict[str, float], step: int) -> None:
        self._run.log(values, step=step)

    def _name(self) -> str:
        return run_name(self._directory)

    def _options(self) -> dict[str, Any]:
        return {}

    def _label(self, label: str, default: str | None = None) -> str | None:
        """What was asked for; else None where the service's own variable says it, or the default."""
        given: str | None = getattr(self._labels, label)
        return given or (None if os.environ.get(self.variables.get(label, "")) else default)


class WandB(_Service):
    """Weights & Biases. `WANDB_MODE=offline` writes into the run directory alone, for `wandb sync` later."""

    package = "wandb"
    variables: ClassVar[dict[str, str]] = {"project": "WANDB_PROJECT", "group": "WANDB_RUN_GROUP"}

    def _options(self) -> dict[str, Any]:
        return {
            "dir": str(self._directory),
            "id": identity(self._directory),
            "resume": "allow",
            "entity": self._label("entity"),
            "group": self._label("group", run_name(self._directory).partition("/")[0]),
            "tags": self._labels.tags or None,
        }


class Trackio(_Service):
    """Trackio, which keeps its runs on this machine (`TRACKIO_DIR`) and shows them by `trackio show`."""

    package = "trackio"

    def _name(self) -> str:
        return f"{run_name(self._directory)}-{identity(self._directory)[:8]}"  # it takes up a run by its name

    def _options(self) -> dict[str, Any]:
        group = self._label("group", run_name(self._directory).partition("/")[0])
        return {"resume": "allow", "embed": False, "group": group}


RECORDERS: dict[str, type[_Service]] = {"wandb": WandB, "trackio": Trackio}


def make_recorders(names: Sequence[str], directory: Path, labels: Labels = UNLABELLED) -> list[Callback]:
    """The recorders called `names`.

    Args:
        names: of services.
        directory: of the run; nothing is written before training starts.
        labels: where the services file the run.

    Raises:
        UserError: an unknown name, or a package that is not installed.
    """
    for name in names:
        if name not in RECORDERS:
            raise unknown("recorder", name, RECORDERS)
    return [RECORDERS[name](directory, labels) for name in names]


def run_name(directory: Path) -> str:
    """The last two parts of the path, `conicgrad/seed_0` in a comparison."""
    return "/".join(directory.resolve().parts[-2:])


def identity(directory: Path) -> str:
    """What services know the run in `directory` by: drawn at the first call, and kept there."""
    file = directory / IDENTITY
    if not file.exists():
        replace(file, (json.dumps({"id": uuid.uuid4().hex}) + "\n").encode())
    kept: str = read_json(file)["id"]
    return kept
