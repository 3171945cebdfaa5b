"""Write a run's policy as safetensors and JSON with a model card, for use elsewhere or publication."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtrl_conic.cli.flags import add_imports
from mtrl_conic.errors import UserError

EXAMPLES = {
    "the policy as safetensors with a model card": "mtrl-conic export runs/a --out policy",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run, the folder, and whether to write ONNX files."""
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write to; it is created if needed"
    )
    parser.add_argument(
        "--onnx", action="store_true", help="also write an ONNX file for all tasks (needs onnx and onnxscript)"
    )
    parser.add_argument(
        "--onnx-task",
        action="append",
        default=[],
        metavar="TASK",
        help="also write an ONNX file for this task; may be repeated",
    )
    add_imports(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the policy of the latest checkpoint."""
    from mtrl_conic.agents import Policy
    from mtrl_conic.agents.export import export_policy
    from mtrl_conic.cli.terminal import say
    from mtrl_conic.runs.loading import load_agent
    from mtrl_conic.runs.results import check_result
    from mtrl_conic.runs.stored import read_result

    result = read_result(arguments.run)
    if result is not None:
        check_result(result, "reinforcement", arguments.run / "result.json")
    config, agent, envs = load_agent(arguments.run, device="cpu")
    envs.close()
    policy = agent.policy()
    if not isinstance(policy, Policy):
        raise UserError(f"{arguments.run}: the policy of {config.algorithm} cannot be exported, only that of mtsac")
    files = export_policy(
        policy,
        arguments.out,
        onnx=arguments.onnx,
        onnx_tasks=arguments.onnx_task,
        run=config.model_dump(mode="json"),
        result=result,
    )
    say(f"{arguments.out}: {', '.join(file.name for file in files)}")
    return 0
