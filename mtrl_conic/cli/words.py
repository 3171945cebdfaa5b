"""Formatting of durations and speeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtrl_conic.runs.status import Progress


def duration(seconds: float) -> str:
    """Format a duration as `1:02:03`, or as `2:03` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def pace(progress: Progress, unit: str) -> str:
    """Format a speed as `95.2 steps/s` or `12.1 s/epoch`; empty before the first line of metrics."""
    if progress.steps_per_second is not None:
        return f"{progress.steps_per_second:.1f} {unit}s/s"
    return f"{progress.seconds / progress.step:.1f} s/{unit}" if progress.step else ""
