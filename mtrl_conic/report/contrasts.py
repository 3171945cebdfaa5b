"""Every method held against one of them: by how much it differs, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mtrl_conic.errors import unknown
from mtrl_conic.evaluation.statistics import FEW_RUNS, Estimate, holm

BASELINE = "ls"
ALPHA = 0.05
"""A p-value below it supports a difference."""


@dataclass(frozen=True)
class Contrast:
    """A method beside the baseline."""

    method: str
    chance: Estimate | None
    """That a run of it beats one of the baseline on a task; None where that is not counted."""
    difference: Estimate | None
    """Over the seeds that both have; None where no mean over tasks is taken, or no seed is shared."""
    pairs: int
    """Seeds that both have."""
    p: float
    """Two-sided, corrected by Holm for the number of methods that are held against the baseline."""
    runs: int
    """That the p-value rests on: pairs of seeds, or the runs of the one that has fewer."""

    @property
    def supported(self) -> bool:
        """Whether the runs support a difference at all."""
        return self.runs >= FEW_RUNS and self.p < ALPHA

    @property
    def better(self) -> bool:
        """Whether the method is ahead, by chance or not."""
        if self.difference is not None:
            return self.difference.value > 0
        return self.chance is not None and self.chance.value > 0.5

    @property
    def p_in_words(self) -> str:
        """With three digits."""
        return f"{self.p:.3f}" if self.p >= 0.001 else "< 0.001"


def with_holm(found: Sequence[Contrast]) -> list[Contrast]:
    """The contrasts with their p-values corrected for their number."""
    corrected = holm([contrast.p for contrast in found])
    return [replace(contrast, p=p) for contrast, p in zip(found, corrected, strict=True)]


def baseline_of(labels: Iterable[str], baseline: str | None = None) -> str:
    """The method that the others are held against: `baseline`, or the plain mean, or else the first of `labels`.

    Raises:
        UserError: there is no method `baseline`.
    """
    known = list(labels)
    name = baseline or (BASELINE if BASELINE in known else known[0])
    if name not in known:
        raise unknown("method", name, known)
    return name


def result(found: Sequence[Contrast], base: str, what: str, *, runs: str, unit: str = "") -> str:
    """What the runs support and what they do not, in one sentence or two.

    Args:
        found: the contrasts with a method.
        base: that method.
        what: they differ in.
        runs: what a p-value rests on, in words.
        unit: of a difference.
    """
    if not found:
        return f"There is one method, {base}, and none that it is compared with."
    most = max(contrast.runs for contrast in found)
    if most < FEW_RUNS:
        there = "there is 1" if most == 1 else f"there are {most or 'none'}"
        return f"These runs support no method over another: that takes {FEW_RUNS} {runs}, and {there}."
    level = "95 %" if len(found) == 1 else f"95 %, corrected for {len(found)} comparisons"
    above = [_with_size(contrast, unit) for contrast in found if contrast.supported and contrast.better]
    below = [_with_size(contrast, unit) for contrast in found if contrast.supported and not contrast.better]
    sides = [f"{', '.join(these)} {side}" for these, side in ((above, "above"), (below, "below")) if these]
    rest = [contrast.method for contrast in found if not contrast.supported]
    said = [f"Supported: {what} of {' and of '.join(sides)} that of {base} ({level})."] if sides else []
    if rest:
        said.append(f"Not supported: any difference of {', '.join(rest)} from {base} in {what} ({level}).")
    return " ".join(said)


def _with_size(contrast: Contrast, unit: str) -> str:
    by = "" if contrast.difference is None else f" (by {contrast.difference.value:+.3f}{unit})"
    return contrast.method + by
