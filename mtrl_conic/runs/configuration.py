"""The common configuration of runs of every kind: kind, method, seed, budget and execution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mtrl_conic.errors import UserError
from mtrl_conic.execution.config import MachineConfig
from mtrl_conic.schema import Role, leaves, parse


class Kind(NamedTuple):
    """A kind of run."""

    command: str
    """The command of `mtrl-conic` that executes a run of this kind."""
    counts: str
    """The field with its budget, and the unit of its steps."""


C = TypeVar("C", bound="Configuration")

KINDS = {"reinforcement": Kind("train", "steps"), "supervised": Kind("supervised", "epochs")}


@dataclass(frozen=True)
class Budget:
    """The budget of a run: a number of steps or of minutes of training, whichever is reached first."""

    amount: int
    unit: str
    """`step` or `epoch`."""
    minutes: float | None = None

    def share(self, done: int, seconds: float) -> float:
        """Return the share of the budget, 0 to 1, that is used after some steps and seconds of training."""
        share = done / self.amount
        if self.minutes:
            share = max(share, seconds / (60 * self.minutes))
        return min(share, 1.0)


class Configuration(BaseModel):
    """The fields that runs of every kind share."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str
    balancer: str = Field(description="method that combines the gradients of the tasks; see `mtrl-conic balancers`")
    balancer_options: dict[str, Any] = Field(default_factory=dict, description="options of the balancer as key=value")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="seed of all random numbers")
    imports: Annotated[list[str], Role.EXECUTION] = Field(
        default_factory=list,
        description=(
            "module, or path to a .py file, to import first; it registers your own balancers, networks, environments "
            "and task sets. May be repeated"
        ),
    )
    execution: MachineConfig = Field(default_factory=MachineConfig)

    @property
    def budget(self) -> Budget:
        """The budget of the run."""
        return read_budget({name: getattr(self, name) for name in type(self).model_fields})

    @property
    def method(self) -> str:
        """The balancer with its options, `conicgrad:c=0.9`."""
        return method_of({"balancer": self.balancer, "balancer_options": self.balancer_options})

    @classmethod
    def complete(cls: type[C], values: Mapping[str, Any]) -> C:
        """Return the configuration after resolving and checking all fields.

        Raises:
            UserError: an unknown name, or a value out of range.
        """
        return parse(cls, values)

    @classmethod
    def methods(cls) -> list[str]:
        """The balancers that it can use."""
        from mtrl_conic import balancers

        return balancers.available()

    @classmethod
    def check_method(cls, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """Check and convert the options of a method."""
        from mtrl_conic import balancers

        return balancers.check_options(name, options)

    @classmethod
    def read_methods(cls, text: str) -> list[tuple[str, dict[str, Any]]]:
        """Parse and check methods such as `ls,conicgrad:c=0.9`; see `balancers.parse_methods`."""
        from mtrl_conic import balancers

        return balancers.parse_methods(text, every=cls.methods, check=cls.check_method)

    @model_validator(mode="before")
    @classmethod
    def _read_method(cls, given: Any) -> Any:
        """Separate a balancer from its options, as in `conicgrad:c=0.9`."""
        if not isinstance(given, dict) or not {":", ","} & set(str(given.get("balancer"))):
            return given
        several = isinstance(given["balancer"], list)
        methods = [] if several else cls.read_methods(str(given["balancer"]))
        if len(methods) != 1:
            raise UserError(
                f"balancer={given['balancer']!r}: a run takes one value; `mtrl-conic compare` trains several runs"
            )
        name, options = methods[0]
        return {**given, "balancer": name, "balancer_options": {**(given.get("balancer_options") or {}), **options}}

    @model_validator(mode="after")
    def _check_method(self: C) -> C:
        # Options are kept as the method reads them: 0.50, .5 and '0.5' are one run.
        if self.balancer_options:
            object.__setattr__(self, "balancer_options", self.check_method(self.balancer, self.balancer_options))
        return self


def read_budget(config: Mapping[str, Any]) -> Budget:
    """Return the budget in the values of a configuration."""
    counts = KINDS[config["kind"]].counts
    return Budget(int(config[counts]), counts.removesuffix("s"), config.get("minutes"))


def method_of(config: Mapping[str, Any]) -> str:
    """Return the balancer with its options in the values of a configuration, as `conicgrad:c=0.9`."""
    if not config["balancer_options"]:
        return str(config["balancer"])
    from mtrl_conic.balancers import label  # imports torch, which listing runs does not need

    return label(config["balancer"], config["balancer_options"])


def check_kind(config: Mapping[str, Any], kind: str, *, where: object) -> None:
    """Check that the values of a configuration describe a run of this kind, or name no kind.

    Args:
        config: values as read from YAML.
        kind: one of `KINDS`.
        where: origin of the values, for the message.

    Raises:
        UserError: they describe a run of another kind.
    """
    there = config.get("kind", kind)
    if there != kind:
        hint = f"; see `mtrl-conic {KINDS[there].command}`" if there in KINDS else ""
        raise UserError(f"{where} is not a {kind} run: its kind is {there}{hint}")


def keys_of(model: type[BaseModel], *roles: Role) -> frozenset[str]:
    """Return the paths, with dots, of the fields of `model` that have one of these roles."""
    return frozenset(".".join(path) for path, field in leaves(model) if set(roles) & set(field.metadata))
