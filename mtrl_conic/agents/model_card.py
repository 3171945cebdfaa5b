"""The model card of an exported policy: training, results and usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtrl_conic.agents.policy import Policy
from mtrl_conic.envs.names import is_metaworld
from mtrl_conic.escaping import in_markdown
from mtrl_conic.plugins import module_name


def model_card(
    policy: Policy,
    *,
    run: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
    models: Sequence[str] = (),
) -> str:
    """Return the card in Markdown.

    Args:
        policy: the exported policy.
        run: complete configuration of the run that trained it.
        result: `result.json` of that run.
        models: names of the ONNX files beside it.
    """
    count = sum(p.numel() for p in policy.actor.parameters())
    parts = [
        "# Multi-task policy\n",
        f"{len(policy.spec.task_names)} tasks, one actor of {count:,} parameters. Trained with mtrl_conic.\n",
        _provenance(policy),
        "## Tasks\n",
        _tasks(policy),
        "## Protocol\n",
        _protocol(run),
        "## Results\n",
        _results(result, finished=run is None or result is not None),
        "## Use\n",
        _use(policy, models, () if run is None else run.get("imports", ())),
    ]
    if result is not None:
        versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
        finished = in_markdown(str(result.get("finished", "?")))
        parts += ["## Versions\n", f"{in_markdown(versions)}. Finished {finished}.\n"]
    return "\n".join(parts)


def _provenance(policy: Policy) -> str:
    shown = {"network": policy.actor.network.name} | policy.provenance
    rows = [(name, value) for name, value in shown.items() if name != "config" and value not in (None, {}, [])]
    lines = [f"| {in_markdown(name.replace('_', ' '))} | {in_markdown(_plain(value))} |" for name, value in rows]
    return "\n".join(["| | |", "|---|---|", *lines]) + "\n" if rows else ""


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={inner}" for key, inner in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _tasks(policy: Policy) -> str:
    spec = policy.spec
    lines = ["| task | observation | action |", "|---|---|---|"]
    for place, name in enumerate(spec.task_names):
        lines.append(f"| {in_markdown(name)} | {spec.own_observation_dim(place)} | {spec.own_action_dim(place)} |")
    note = ", and the one-hot code of the task" if spec.one_hot else ""
    return "\n".join(lines) + f"\n\nA row of the network is a task's observation, zeros up to {spec.bare_dim}{note}.\n"


def _protocol(run: Mapping[str, Any] | None) -> str:
    if run is None:
        return "Unknown: the agent was exported directly, not from a run.\n"
    environment, training = run["environment"], run["training"]
    if is_metaworld(run["task_set"]):
        said = (
            f"Meta-World, rewards {environment['reward_version']}, horizon {environment['horizon']}, "
            f"{_goals(environment)}. Evaluation: the deterministic policy, {training['episodes_per_task']} goals per "
            "task, each once; success at any step of the episode."
        )
    else:
        limit = environment["time_limit"] or "the limit of the task or of its environment"
        said = (
            f"Gymnasium environments, steps of an episode: {limit}. Evaluation: the deterministic policy, "
            f"{training['episodes_per_task']} episodes per task with reset seeds from 0; success: as the task set "
            "defines it, otherwise the return at which the environment is registered as solved."
        )
    return f"{said} The final agent is evaluated, not the best one during training.\n"


def _goals(environment: Mapping[str, Any]) -> str:
    count = environment["num_goals"]
    return "one fixed goal per task" if count == 1 else f"the goal drawn at each reset among {count}"


def _results(result: Mapping[str, Any] | None, *, finished: bool) -> str:
    if result is None:
        return "Not evaluated.\n" if finished else "The run is not finished, so there is no final evaluation yet.\n"
    lines = ["| task | success | at last step | return |", "|---|---|---|---|"]
    for name, value in result["returns"].items():
        rates = [f"{result[key][name]:.2f}" if name in result[key] else "-" for key in ("success", "success_at_end")]
        lines.append(f"| {in_markdown(name)} | {' | '.join(rates)} | {value:.1f} |")
    if result["success"]:
        lines.append(f"| mean | {result['mean_success']:.3f} | {result['mean_success_at_end']:.3f} | |")
    without = [name for name in result["returns"] if name not in result["success"]]
    note = f" No success is defined for {in_markdown(', '.join(without))}." if without else ""
    return "\n".join(lines) + (
        f"\n\nAfter {result['step']:,} environment steps of every task, "
        f"{result['episodes_per_task']} episodes per task.{note}\n"
    )


def _use(policy: Policy, models: Sequence[str], modules: Sequence[str]) -> str:
    spec = policy.spec
    imports = "".join(f"import {module_name(module)}  # registers what the run used\n" for module in modules)
    name, size = spec.task_names[0], spec.own_observation_dim(0)
    text = f"""```python
import numpy as np
{imports}
from mtrl_conic import Policy

policy = Policy.load(".")  # this directory; nothing is unpickled
action = policy.act(np.zeros({size}, np.float32), task={name!r}, own_units=True)
```

With `own_units` an action lies between the bounds of the task's own action space, otherwise in [-1, 1].
"""
    for model in models:
        shapes = (
            "(K, B, D), B rows of every task, to `actions` (K, B, A)"
            if model == "policy.onnx"
            else ("(B, d) of one task to its `actions` (B, a)")
        )
        text += f"\n`{model}` maps `observations` {shapes} in [-1, 1].\n"
    return text
