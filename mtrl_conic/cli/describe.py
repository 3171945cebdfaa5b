"""List the parameters of a preset's networks: whether tasks share them, and whether the balancer combines them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mtrl_conic.agents import registry
from mtrl_conic.cli.flags import add_fields, given_run, shown_preset
from mtrl_conic.errors import UserError, listed
from mtrl_conic.runs.config import RunConfig, make_config, preset_names

if TYPE_CHECKING:
    from rich.table import Table

    from mtrl_conic.agents.mtsac.agent import MTSAC
    from mtrl_conic.agents.mtsac.component import Component


EXAMPLES = {
    "the networks of a preset": "mtrl-conic describe mt10",
    "another network, smaller": "mtrl-conic describe mt10 --network soft_modularization --width 64",
}
COMMON = ("--task-set", "--base", "--network", "--network-options", "--width", "--depth", "--balancer", "--import")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the preset, and every field of the configuration."""
    parser.add_argument("preset", help=f"{', '.join(preset_names())}, or a YAML file")
    add_fields(parser, RunConfig)


def shown(arguments: argparse.Namespace) -> tuple[str, dict[str, str]]:
    """Return the name of the preset, and the help of each field with its values and those of the other flags."""
    return shown_preset(arguments.preset, given_run(arguments))


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    config = make_config(arguments.preset, given_run(arguments))

    from mtrl_conic.agents.mtsac.agent import MTSAC
    from mtrl_conic.cli.terminal import TERMINAL, say
    from mtrl_conic.runs.checking import check
    from mtrl_conic.runs.making import spec_of

    check(config)
    if config.algorithm != registry.MTSAC:
        raise UserError(f"describe lists the networks of {registry.MTSAC} only, not those of {config.algorithm}")
    spec = spec_of(config)
    agent = MTSAC(
        spec,
        balancer=config.balancer,
        balancer_options=config.balancer_options,
        seed=config.seed,
        device="cpu",
        config=config.agent,
    )
    chosen = ", ".join([config.agent.network, *(f"{k}={v}" for k, v in config.agent.network_options.items())])
    say(f"{arguments.preset}: network {chosen}; balancer {config.balancer}")
    sizes = f"observations of {spec.observation_dim}, actions of {spec.action_dim}"
    say(f"{len(spec.task_names)} tasks, {sizes}: {listed(spec.task_names)}")
    TERMINAL.print(parameter_table(agent))
    return 0


def parameter_table(agent: MTSAC) -> Table:
    """Build a table with a row per parameter of actor and critic, and totals. Target critics are not listed."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    for column in ("parameter", "shape", "whose", "combined by"):
        table.add_column(column, overflow="fold")
    table.add_column("count", justify="right")
    for component in (agent.actor, agent.critic):
        counts = {"shared": 0, "task": 0}
        table.add_row(Text(component.name, "bold"))
        for name, value in component.network.named_parameters():
            whose = "task" if name in component.layout.own else "shared"
            counts[whose] += value.numel()
            shape = " x ".join(map(str, value.shape))
            table.add_row(name, shape, whose, _combined(component, name), f"{value.numel():,}")
        for whose, count in counts.items():
            table.add_row(Text(f"all {whose}", "bold"), "", whose, "", Text(f"{count:,}", "bold"))
        table.add_section()
    table.add_row("temperatures", str(agent.num_tasks), "task", "-", f"{agent.num_tasks:,}")
    return table


def _combined(component: Component, name: str) -> str:
    if name in component.layout.own:
        return "-"
    return component.balancer.name if name in component.layout.balanced else "mean"
