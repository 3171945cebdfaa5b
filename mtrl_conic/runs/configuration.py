"""What the configuration of every run says, whatever it trains: its kind, method, seed, budget, and where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mtrl_conic.errors import UserError
from mtrl_conic.execution.config import MachineConfig
from mtrl_conic.schema import Role, leaves, parse


class Kind(NamedTuple):
    """What a run trains."""

    command: str
    """Of `mtrl-conic`, that carries out one."""
    counts: str
    """The field that is its budget, in what its steps are counted."""


C = TypeVar("C", bound="Configuration")

KINDS = {"reinforcement": Kind("train", "steps"), "supervised": Kind("supervised", "epochs")}


@dataclass(frozen=True)
class Budget:
    """How long a run goes on: until so many steps are done, or minutes of training, whichever comes first."""

    amount: int
    unit: str
    """`step` or `epoch`."""
    minutes: float | None = None

    def share(self, done: int, seconds: float) -> float:
        """How much of it is spent, 0 to 1, after so many steps and seconds of training."""
        share = done / self.amount
        if self.minutes:
            share = max(share, seconds / (60 * self.minutes))
        return min(share, 1.0)


class Configuration(BaseModel):
    """One run, completely described: the fields that all kinds share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
        """How long it goes on."""
        return read_budget({name: getattr(self, name) for name in type(self).model_fields})

    @property
    def method(self) -> str:
        """The balancer with its options, `conicgrad:c=0.9`."""
        return method_of({"balancer": self.balancer, "balancer_options": self.balancer_options})

    @classmethod
    def complete(cls: type[C], values: Mapping[str, Any]) -> C:
        """Checked, with nothing left open.

        Raises:
            UserError: an unknown name, or a value out of range, in one line.
        """
        return parse(cls, values)

    @classmethod
    def methods(cls) -> list[str]:
        """The balancers that it may name."""
        from mtrl_conic import balancers

        return balancers.available()

    @classmethod
    def check_method(cls, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """The options of a method, checked and converted."""
        from mtrl_conic import balancers

        return balancers.check_options(name, options)

    @classmethod
    def read_methods(cls, text: str) -> list[tuple[str, dict[str, Any]]]:
        """`ls,conicgrad:c=0.9` as names and options, checked; see `balancers.parse_methods`."""
        from mtrl_conic import balancers

        return balancers.parse_methods(text, every=cls.methods, check=cls.check_method)

    @model_validator(mode="before")
    @classmethod
    def _read_method(cls, given: Any) -> Any:
        """A balancer may bring its options, `conicgrad:c=0.9`."""
        if not isinstance(given, dict) or not {":", ","} & set(str(given.get("balancer"))):
            return given
        methods = cls.read_methods(str(given["balancer"]))
        if len(methods) != 1:
            raise UserError(f"balancer={given['balancer']!r}: a run has one; `mtrl-conic compare` trains several")
        name, options = methods[0]
        return {**given, "balancer": name, "balancer_options": {**(given.get("balancer_options") or {}), **options}}

    @model_validator(mode="after")
    def _check_method(self: C) -> C:
        # Options are kept as the method reads them: 0.50, .5 and '0.5' are one run.
        if self.balancer_options:
            object.__setattr__(self, "balancer_options", self.check_method(self.balancer, self.balancer_options))
        return self


def read_budget(config: Mapping[str, Any]) -> Budget:
    """The budget in the values of a configuration."""
    counts = KINDS[config["kind"]].counts
    return Budget(int(config[counts]), counts.removesuffix("s"), config.get("minutes"))


def method_of(config: Mapping[str, Any]) -> str:
    """The balancer with its options in the values of a configuration, `conicgrad:c=0.9`."""
    if not config["balancer_options"]:
        return str(config["balancer"])
    from mtrl_conic.balancers import label  # it loads torch, which a list of runs can do without

    return label(config["balancer"], config["balancer_options"])


def check_kind(config: Mapping[str, Any], kind: str, *, where: object) -> None:
    """That the values of a configuration describe a run of this kind, or do not say.

    Args:
        config: as read from YAML.
        kind: one of `KINDS`.
        where: they come from.

    Raises:
        UserError: they describe another.
    """
    there = config.get("kind", kind)
    if there != kind:
        hint = f"; see `mtrl-conic {KINDS[there].command}`" if there in KINDS else ""
        raise UserError(f"{where} is no {kind} run, but says kind: {there}{hint}")


def keys_of(model: type[BaseModel], *roles: Role) -> frozenset[str]:
    """The fields of `model` that have one of these roles, each with its path in dots."""
    return frozenset(".".join(path) for path, field in leaves(model) if set(roles) & set(field.metadata))
