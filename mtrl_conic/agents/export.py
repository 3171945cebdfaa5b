"""Export of a policy to a folder, with a model card and optional ONNX files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtrl_conic import files
from mtrl_conic.agents.model_card import model_card
from mtrl_conic.agents.policy import Policy
from mtrl_conic.networks.onnx_file import check_installed

CARD = "README.md"


def export_policy(
    policy: Policy,
    directory: str | Path,
    *,
    onnx: bool = False,
    onnx_tasks: Sequence[str] = (),
    run: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write the files of `Policy.save` and a model card.

    Args:
        policy: the policy to write.
        directory: folder to write to; it is created if needed, and files of the same names are replaced.
        onnx: whether to write `policy.onnx` for all tasks.
        onnx_tasks: tasks for each of which a separate ONNX file is written, with the name of the task.
        run: complete configuration of the run that trained the policy, for the card.
        result: `result.json` of that run, for the card.

    Returns:
        The files written.

    Raises:
        UserError: the directory cannot be written, a task is unknown, or a package is missing.
    """
    folder = Path(directory)
    for task in onnx_tasks:
        policy.spec.place(task)
    if onnx or onnx_tasks:
        check_installed()  # before anything is written
    written = policy.save(folder)
    models = [policy.export_onnx(folder / "policy.onnx")] if onnx else []
    models += [policy.export_onnx(folder / f"{_file_name(task)}.onnx", task=task) for task in onnx_tasks]
    card = model_card(policy, run=run, result=result, models=[file.name for file in models])
    files.write(folder / CARD, card)
    return [*written, folder / CARD, *models]


def _file_name(task: str) -> str:
    return re.sub(r"[^\w.=+-]", "-", task)
