"""Write a run's actor as safetensors and JSON, with a model card: to act elsewhere, or to publish."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, and where to write."""
    parser.add_argument("run", type=Path, help="a run directory")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made where it is missing")
    parser.add_argument("--onnx", action="store_true", help="also as ONNX (needs onnx and onnxscript)")


def run(arguments: argparse.Namespace) -> int:
    """Write the files of the last checkpoint's agent."""
    from mtrl_conic.agents.export import export_agent
    from mtrl_conic.cli.display import say
    from mtrl_conic.runs.directory import read_result
    from mtrl_conic.runs.run import load_agent

    config, agent = load_agent(arguments.run, device="cpu")
    assert agent.envs is not None
    agent.envs.close()
    described, result = config.model_dump(mode="json"), read_result(arguments.run)
    files = export_agent(agent, arguments.out, onnx=arguments.onnx, run=described, result=result)
    say(f"{arguments.out}: {', '.join(file.name for file in files)}")
    return 0
