"""Recorders for other services, each with its own extra: Weights & Biases and Trackio."""

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
"""The file in a run's directory with the identity under which services file the run."""


@dataclass(frozen=True)
class Labels:
    """Where a service files a run; None stands for the service's environment variable or its default."""

    project: str | None = None
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()


UNLABELLED = Labels()


class _Service(Callback):
    """The interface that both services share: `init`, `log` with a step, and `finish`.

    Args:
        directory: directory of the run; its last parts are the name of the run. Its random identity is created once
            and kept there, so that the service resumes the same run and never mixes it with another one.
        labels: where the service files it.

    Raises:
        UserError: the package is not installed.
    """

    package: ClassVar[str]
    variables: ClassVar[dict[str, str]] = {}
    """Label -> the service's own environment variable for it."""

    def __init__(self, directory: Path, labels: Labels) -> None:
        try:
            self._module: Any = importlib.import_module(self.package)
        except ImportError:
            raise not_installed(self.package, self.package) from None
        self._directory, self._labels = directory, labels
        self._run: Any = None

    def on_start(self, trainer: Trainer) -> None:
        """Start or resume the run at the service."""
        config = dict(trainer.run.config) if trainer.run is not None else {}
        project = self._label("project", PROJECT)
        self._run = self._module.init(project=project, name=self._name(), config=config, **self._options())

    def on_metrics(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Log one scalar per number and task."""
        self._log(scalars(record), trainer.step)

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Log success, success at the last step and return, by task and as means."""
        self._log(evaluation_scalars(record), trainer.step)

    def on_stop(self, trainer: Trainer) -> None:
        """Finish the run at the service."""
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
        """Return the label if it is given, None if the service's own variable is set, otherwise the default."""
        given: str | None = getattr(self._labels, label)
        return given or (None if os.environ.get(self.variables.get(label, "")) else default)


class WandB(_Service):
    """Records to Weights & Biases. `WANDB_MODE=offline` writes to the run directory, for a later `wandb sync`."""

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
    """Records to Trackio, which keeps its runs on this machine (`TRACKIO_DIR`); `trackio show` displays them."""

    package = "trackio"

    def _name(self) -> str:
        return f"{run_name(self._directory)}-{identity(self._directory)[:8]}"  # it resumes a run by its name

    def _options(self) -> dict[str, Any]:
        group = self._label("group", run_name(self._directory).partition("/")[0])
        return {"resume": "allow", "embed": False, "group": group}


RECORDERS: dict[str, type[_Service]] = {"wandb": WandB, "trackio": Trackio}


def make_recorders(names: Sequence[str], directory: Path, labels: Labels = UNLABELLED) -> list[Callback]:
    """Return the recorders of some services.

    Args:
        names: names of services.
        directory: directory of the run; nothing is written before training starts.
        labels: where the services file the run.

    Raises:
        UserError: a name is unknown, or a package is not installed.
    """
    for name in names:
        if name not in RECORDERS:
            raise unknown("recorder", name, RECORDERS)
    return [RECORDERS[name](directory, labels) for name in names]


def run_name(directory: Path) -> str:
    """Return the last two parts of the path, such as `conicgrad/seed_0` in a comparison."""
    return "/".join(directory.resolve().parts[-2:])


def identity(directory: Path) -> str:
    """Return the identity under which services file the run; the first call creates it in `directory`."""
    file = directory / IDENTITY
    if not file.exists():
        replace(file, (json.dumps({"id": uuid.uuid4().hex}) + "\n").encode())
    kept: str = read_json(file)["id"]
    return kept
