"""The complete configuration of a supervised run. Values that the user leaves out come from the problem's protocol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from mtrl_conic import balancers
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.execution.config import MachineConfig
from mtrl_conic.runs.configuration import Configuration
from mtrl_conic.schema import Role, parse
from mtrl_conic.supervised import gradients as per_task
from mtrl_conic.supervised.learners import ROTOGRAD, SINGLE_TASK, RotoGradOptions, methods
from mtrl_conic.supervised.problem import Gradients, Problem, Selection
from mtrl_conic.supervised.problems import get

_PROTOCOL = ("epochs", "batch_size", "learning_rate", "halve_every", "gradients", "selection")


class SupervisedExecution(MachineConfig):
    """How and where a network is trained. A run may be resumed with other values of these fields."""

    workers: Annotated[int, Role.EXECUTION] = Field(
        0, ge=0, description="number of processes that read image files; 0: the run reads them itself"
    )


class SupervisedConfig(Configuration):
    """One problem, one balancer and one seed. Fields that are None take the values published for the problem."""

    kind: Literal["supervised"] = Field(
        "supervised", description="kind of the run: the training of a network on a data set"
    )
    balancer: str = Field(
        "ls", description="method: a balancer such as gradops:alpha=-2, rotograd, or stl for one network per task"
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**32 - 1,
        description="seed of the initial parameters, the order of rows, dropout, splits and balancers",
    )
    problem: str = Field(description="problem: census, recommendation, nyuv2, cityscapes, celeba or regression")
    data: Annotated[str, Role.EXECUTION] = Field(description="folder or file that contains the data")
    epochs: Annotated[int | None, Role.BUDGET] = Field(
        None, ge=1, description="number of passes over the training rows; none: as published"
    )
    batch_size: Annotated[int | None, Role.SETTING] = Field(
        None, ge=1, description="number of rows per step; none: as published"
    )
    learning_rate: Annotated[float | None, Role.SETTING] = Field(
        None, gt=0, description="learning rate of Adam; none: as published"
    )
    halve_every: Annotated[int | None, Role.SETTING] = Field(
        None, ge=1, description="number of epochs after which the learning rate is halved"
    )
    gradients: Gradients | None = Field(
        None,
        description=(
            "gradients that the balancer receives: the exact ones of the shared parameters, or those of the "
            "representation; none: the default of the problem"
        ),
    )
    selection: Selection | None = Field(
        None, description="epoch that the test numbers are taken from; none: as published"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="options of the problem, see docs/supervised.md")
    execution: SupervisedExecution = Field(default_factory=SupervisedExecution)

    @property
    def problem_class(self) -> type[Problem]:
        """The class of the problem that `problem` names."""
        return get(self.problem)

    @classmethod
    def methods(cls) -> list[str]:
        """Return the names that `balancer` accepts: every balancer, `rotograd`, and `stl`, the single-task baseline."""
        return methods()

    @classmethod
    def check_method(cls, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options of a method, checked and converted to their types.

        Raises:
            UserError: the method or an option is unknown, or a value is out of range.
        """
        if "+" not in name and name not in methods():  # a + composes two methods
            raise unknown("balancer", name, methods())
        if name == SINGLE_TASK:
            if options:
                raise unknown(f"option of {name}", next(iter(options)), [])
            return {}
        if name == ROTOGRAD:
            return {key: getattr(parse(RotoGradOptions, options, where=name), key) for key in options}
        return balancers.check_options(name, options)

    @classmethod
    def complete(cls, values: Mapping[str, Any]) -> SupervisedConfig:
        """Build a configuration from `values` and fill every open field from the problem's protocol.

        Raises:
            UserError: a name is unknown, a value is out of range, or the data do not exist.
        """
        config = parse(cls, values)
        problem = config.problem_class
        settings = problem.settings.model_dump()
        options = parse(problem.options_model, config.options, where=config.problem).model_dump()
        filled = {key: settings[key] for key in _PROTOCOL if getattr(config, key) is None}
        cls.check_method(config.balancer, config.balancer_options)
        config = config.model_copy(update={**filled, "options": options})
        if config.balancer not in (SINGLE_TASK, ROTOGRAD):
            assert config.gradients is not None
            per_task.check(balancers.get(config.balancer), config.gradients)
        if not Path(config.data).exists():
            raise UserError(
                f"there is no file or folder {config.data}; docs/supervised.md describes the data of {config.problem}"
            )
        return config
