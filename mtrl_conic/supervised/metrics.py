"""Metrics over a whole split, accumulated batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from mtrl_conic.supervised.network import Outputs
from mtrl_conic.supervised.problem import Meter, stacked

Array = NDArray[np.float64]


def auc(scores: Array, positive: Array) -> float:
    """Compute the area under the ROC curve.

    It is the probability that a positive row has a higher score than a negative one; ties count one half.

    Args:
        scores: scores (N,).
        positive: labels (N,), 0 or 1.

    Returns:
        The area, or NaN if all labels are equal.
    """
    hits = float(positive.sum())
    misses = len(positive) - hits
    if not hits or not misses:
        return float("nan")
    ranks = stats.rankdata(scores)
    return float((ranks[positive > 0].sum() - hits * (hits + 1) / 2) / (hits * misses))


class _Collected(Meter):
    """Collects all predictions (K, N) and targets (N, K).

    Args:
        names: names of the K tasks.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []

    def add(self, outputs: Outputs, targets: Sequence[Tensor]) -> None:
        """Add outputs (K, B) and a single target tensor (B, K)."""
        self._outputs.append(stacked(outputs).cpu())
        self._targets.append(targets[0].cpu())

    def _by_task(self) -> list[tuple[str, Array, Array]]:
        predicted = torch.cat(self._outputs, 1).double().numpy()
        true = torch.cat(self._targets).double().numpy().T
        return list(zip(self.names, predicted, true, strict=True))


class AUCs(_Collected):
    """Computes `<task> auc` from logits."""

    def values(self) -> dict[str, float]:
        """Return a dictionary from metric names to values."""
        return {f"{name} auc": auc(predicted, true) for name, predicted, true in self._by_task()}


class F1s(_Collected):
    """Computes `<task> f1` from logits; a positive logit predicts the label 1. F1 is 0 without a true positive."""

    def values(self) -> dict[str, float]:
        """Return a dictionary from metric names to values."""
        return {f"{name} f1": self._f1(predicted > 0, true > 0) for name, predicted, true in self._by_task()}

    @staticmethod
    def _f1(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
        total = int(said.sum() + true.sum())
        return 2 * int((said & true).sum()) / total if total else 0.0


class Errors(_Collected):
    """Computes `<task> r2` and `<task> mae` from standardised predictions; the errors are in the user's units.

    Args:
        names: names of the K tasks.
        scale: standard deviations (K,) by which the targets were divided.
    """

    def __init__(self, names: Sequence[str], scale: Array) -> None:
        super().__init__(names)
        self._scale = scale

    def values(self) -> dict[str, float]:
        """Return a dictionary from metric names to values."""
        found = {}
        for (name, predicted, true), unit in zip(self._by_task(), self._scale, strict=True):
            spread = float(((true - true.mean()) ** 2).mean())
            error = float(((predicted - true) ** 2).mean())
            found[f"{name} r2"] = 1 - error / spread if spread else float("nan")
            found[f"{name} mae"] = float(np.abs(predicted - true).mean() * unit)
        return found
