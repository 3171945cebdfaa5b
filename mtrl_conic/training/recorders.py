"""Recorders of other services, each behind an extra: Weights & Biases, and Trackio."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtrl_conic.errors import UserError, unknown
from mtrl_conic.training.callbacks import Callback, evaluation_scalars, scalars

if TYPE_CHECKING:
    from mtrl_conic.training.trainer import Trainer

PROJECT = "mtrl_conic"


class _Service(Callback):
    """What both services share: `init`, `log` with a step, `finish`.

    Args:
        directory: of the run; its last parts name the run, and are its identity when it goes on.

    Raises:
        UserError: the package is not installed.
    """

    package: str

    def __init__(self, directory: Path) -> None:
        try:
            self._module: Any = importlib.import_module(self.package)
        except ImportError:
            hint = f'pip install "mtrl-conic[{self.package}]"'
            raise UserError(f"{self.package} is not installed; {hint}") from None
        self._directory = directory
        self._run: Any = None

    def on_start(self, trainer: Trainer) -> None:
        """Begin, or take up again, the service's run."""
        config = dict(trainer.run.config) if trainer.run is not None else {}
        self._run = self._module.init(project=PROJECT, name=run_name(self._directory), config=config, **self._options())

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

    def _options(self) -> dict[str, Any]:
        return {}


class WandB(_Service):
    """Weights & Biases. `WANDB_MODE=offline` writes into the run directory alone, for `wandb sync` later."""

    package = "wandb"

    def _options(self) -> dict[str, Any]:
        return {
            "dir": str(self._directory),
            "id": run_name(self._directory).replace("/", "-"),
            "resume": "allow",
            "group": run_name(self._directory).partition("/")[0],
        }


class Trackio(_Service):
    """Trackio, which keeps its runs on this machine (`TRACKIO_DIR`) and shows them by `trackio show`."""

    package = "trackio"

    def _options(self) -> dict[str, Any]:
        return {"resume": "allow", "embed": False}


RECORDERS: dict[str, type[_Service]] = {"wandb": WandB, "trackio": Trackio}


def make_recorders(names: Sequence[str], directory: Path) -> list[Callback]:
    """The recorders called `names`.

    Raises:
        UserError: an unknown name, or a package that is not installed.
    """
    for name in names:
        if name not in RECORDERS:
            raise unknown("recorder", name, RECORDERS)
    return [RECORDERS[name](directory) for name in names]


def run_name(directory: Path) -> str:
    """The last two parts of the path, `conicgrad/seed_0` in a comparison."""
    return "/".join(directory.resolve().parts[-2:])
