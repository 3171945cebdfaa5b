"""Comparison of every method with a baseline method: size of the difference and statistical support."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mtrl_conic.evaluation.differences import MOST_RUNS, detectable_difference, holm, pairs_needed
from mtrl_conic.evaluation.estimates import FEW_RUNS, Estimate
from mtrl_conic.report.sources import known_label

BASELINE = "ls"
ALPHA = 0.05
"""Significance level: a p-value below it supports a difference."""


POWER_COLUMNS = ("detectable", "seeds needed")
POWER_NOTE = (
    "Detectable: the difference that a test with these seeds finds with a probability of 80 %. Seeds needed: how many "
    "find a difference of the measured size with that probability. Both use the measured spread and no correction for "
    "several comparisons."
)


@dataclass(frozen=True)
class Contrast:
    """A method compared with the baseline."""

    method: str
    chance: Estimate | None
    """Probability that a run of the method beats a run of the baseline on a task; None if it is not computed."""
    difference: Estimate | None
    """Difference over the seeds that both methods have; None if they share no seed, or no mean over tasks is taken."""
    pairs: int
    """Number of seeds that both methods have."""
    p: float
    """Two-sided p-value, corrected with Holm's procedure for the number of methods compared with the baseline."""
    runs: int
    """Sample size of the test: the number of paired seeds, or the smaller number of runs."""

    @property
    def supported(self) -> bool:
        """Whether the runs support a difference in either direction."""
        return self.runs >= FEW_RUNS and self.p < ALPHA

    @property
    def better(self) -> bool:
        """Whether the method's value is above the baseline's, significantly or not."""
        if self.difference is not None:
            return self.difference.value > 0
        return self.chance is not None and self.chance.value > 0.5

    @property
    def power(self) -> list[float | str | None]:
        """The smallest difference that these pairs find with a power of 80 %, and how many pairs find this one."""
        if self.difference is None:
            return [None, None]
        needed = pairs_needed(self.difference)
        too_many = needed is not None and needed > MOST_RUNS
        return [detectable_difference(self.difference), f"> {MOST_RUNS:,}" if too_many else needed]

    @property
    def p_in_words(self) -> str:
        """The p-value with three digits."""
        return f"{self.p:.3f}" if self.p >= 0.001 else "< 0.001"


def with_holm(found: Sequence[Contrast]) -> list[Contrast]:
    """Return the contrasts with p-values corrected for the number of contrasts."""
    corrected = holm([contrast.p for contrast in found])
    return [replace(contrast, p=p) for contrast, p in zip(found, corrected, strict=True)]


def baseline_of(labels: Iterable[str], baseline: str | None = None) -> str:
    """Return the baseline: `baseline` if given, else the plain mean (`ls`), else the first of `labels`.

    Raises:
        UserError: there is no method `baseline`.
    """
    known = list(labels)
    name = baseline or (BASELINE if BASELINE in known else known[0])
    return known_label("baseline", name, known)


def result(found: Sequence[Contrast], base: str, what: str, *, runs: str, unit: str = "") -> str:
    """Describe in one or two sentences which differences the runs support and which they do not.

    Args:
        found: the contrasts with the baseline.
        base: the baseline.
        what: the measure in which the methods are compared.
        runs: the sample of the test, in words.
        unit: unit of a difference.
    """
    if not found:
        return f"There is only one method, {base}, so there is nothing to compare."
    most = max(contrast.runs for contrast in found)
    if most < FEW_RUNS:
        there = "there is 1" if most == 1 else f"there are {most or 'none'}"
        need = f"at least {FEW_RUNS} {runs} are needed, and {there}"
        return f"These runs are too few to support a difference between methods: {need}."
    level = "95 %" if len(found) == 1 else f"95 %, corrected for {len(found)} comparisons"
    above = [_with_size(contrast, unit) for contrast in found if contrast.supported and contrast.better]
    below = [_with_size(contrast, unit) for contrast in found if contrast.supported and not contrast.better]
    sides = [f"{side} for {', '.join(these)}" for these, side in ((above, "higher"), (below, "lower")) if these]
    rest = [contrast.method for contrast in found if not contrast.supported]
    if not sides:
        return f"These runs support no difference from {base} in {what} ({level})."
    said = f"These runs support a difference from {base} in {what} ({level}): {' and '.join(sides)}."
    return f"{said} They support none for {', '.join(rest)}." if rest else said


def _with_size(contrast: Contrast, unit: str) -> str:
    by = "" if contrast.difference is None else f" (by {contrast.difference.value:+.3f}{unit})"
    return contrast.method + by
