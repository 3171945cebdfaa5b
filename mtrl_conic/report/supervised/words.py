"""Sentences that describe what a supervised comparison measured."""

from __future__ import annotations

import numpy as np

from mtrl_conic.report.supervised.source import Summary
from mtrl_conic.runs.status import changes_in_words
from mtrl_conic.supervised.learners import SINGLE_TASK

_SEEN = {"parameters": "shared parameters", "representation": "shared representation"}
_SELECTED = {
    "last": "the last epoch",
    "best_validation": f"the best epoch on validation by the mean over tasks (for {SINGLE_TASK}: for each task)",
    "mean_of_last_10": "the mean of the last 10 epochs, or of all epochs if there are fewer",
}


def protocol(summary: Summary) -> list[str]:
    """Return sentences that describe what all runs have in common."""
    run = next(iter(summary.methods.values()))[0]
    config = run.config
    differing = summary.differing  # the labels of the methods contain these
    shared = [key for key in ("epochs", "batch_size", "learning_rate", "halve_every") if key not in differing]
    settings = {key: getattr(config, key) for key in shared}
    how = ["Adam", *(f"{key.replace('_', ' ')} {value}" for key, value in settings.items() if value is not None)]
    seen = f"; balancers receive the gradients of the {_SEEN[str(config.gradients)]}"
    options = ", ".join(f"{key}={value}" for key, value in config.options.items())
    return [
        f"Problem: {config.problem}" + (f" ({options})" if options else "") + ".",
        *run.result["facts"],
        f"Training: {', '.join(how)}{'' if 'gradients' in differing else seen}.",
        *([] if "selection" in differing else [f"Test metrics are from {_SELECTED[str(config.selection)]}."]),
    ]


def warnings(summary: Summary) -> list[str]:
    """Return warnings that a reader needs before comparing numbers."""
    single = [label for label, runs in summary.methods.items() if len(runs) == 1]
    said = [f"Only one seed, so there is no standard error: {', '.join(single)}."] if single else []
    shown = [key for key in summary.differing if not key.startswith("balancer")]
    if shown:
        said.append(f"The methods do not have the same {', '.join(shown)}.")
    for place, metric in enumerate(summary.metrics):
        none = [label for label, means in summary.means.items() if not np.isfinite(means[place])]
        if none:
            said.append(f"{metric.name} is not a number for {', '.join(none)}; the ranks leave it out.")
    for run in (run for runs in summary.methods.values() for run in runs):
        changes = changes_in_words(run.directory)
        if changes:
            said.append(f"Settings were changed when {run.directory} was resumed: {'; '.join(changes)}.")
    return said
