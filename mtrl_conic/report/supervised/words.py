"""What a supervised comparison measured, in words."""

from __future__ import annotations

from mtrl_conic.report.supervised.source import Summary
from mtrl_conic.runs.status import changes_in_words
from mtrl_conic.supervised.learners import SINGLE_TASK

_SEEN = {"parameters": "shared parameters", "representation": "shared representation"}
_SELECTED = {
    "last": "the last epoch",
    "best_validation": f"the epoch best on validation, the mean over tasks ({SINGLE_TASK}: task by task)",
    "mean_of_last_10": "the mean of the last 10 epochs, of all where there are fewer",
}


def protocol(summary: Summary) -> list[str]:
    """What all runs have in common, in sentences."""
    run = next(iter(summary.methods.values()))[0]
    config = run.config
    settings = {key: getattr(config, key) for key in ("epochs", "batch_size", "learning_rate", "halve_every")}
    how = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.items() if value is not None)
    options = ", ".join(f"{key}={value}" for key, value in config.options.items())
    return [
        f"Problem: {config.problem}" + (f" ({options})" if options else "") + ".",
        *run.result["facts"],
        f"Training: Adam, {how}; balancers see the gradients of the {_SEEN[str(config.gradients)]}.",
        f"Test numbers are of: {_SELECTED[str(config.selection)]}.",
    ]


def warnings(summary: Summary) -> list[str]:
    """What a reader must know before comparing any two numbers."""
    single = [label for label, runs in summary.methods.items() if len(runs) == 1]
    said = [f"A single seed, so no standard error: {', '.join(single)}."] if single else []
    for run in (run for runs in summary.methods.values() for run in runs):
        changes = changes_in_words(run.directory)
        if changes:
            said.append(f"Settings were changed while {run.directory} went on: {'; '.join(changes)}.")
    return said
