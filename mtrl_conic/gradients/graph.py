"""Gradients of K losses from the autograd graph, computed when a balancer requests them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from typing_extensions import override

from mtrl_conic.errors import UserError
from mtrl_conic.gradients.autograd import (
    Found,
    added,
    differentiate,
    filled,
    leaves_around,
    nested,
    refuse_old_checkpoints,
    stacked,
)
from mtrl_conic.gradients.blocks import Blocks
from mtrl_conic.gradients.processes import Processes
from mtrl_conic.gradients.task_gradients import TaskGradients

Placed = dict[int, Tensor]
"""Index of a shared parameter -> its gradient."""


@dataclass(frozen=True)
class TaskLosses:
    """The losses of the tasks that a batch contains."""

    graphs: Sequence[Tensor | None]
    """The losses with their graphs; None for a task that only other processes have."""
    values: Tensor
    """(K,), detached: means over the processes that have the task."""
    seeds: Tensor
    """(K,), the initial gradient of each loss: the factor of a gradient scaler over the number of those processes."""
    scale: Tensor | None = None
    """The factor of the gradient scaler, if there is one."""

    @property
    def known(self) -> list[Tensor]:
        """Return the losses that this process has."""
        return [loss for loss in self.graphs if loss is not None]

    def gradients(
        self, inputs: Sequence[Tensor], *, keep: bool, weights: Tensor | None = None, task: int | None = None
    ) -> Found:
        """Return the gradients of one loss or of the sum of all, weighted by `weights` (K,) if given."""
        seeds = self.seeds if weights is None else self.seeds * weights.to(self.seeds)
        chosen = {k: loss for k, loss in enumerate(self.graphs) if loss is not None and task in (None, k)}
        return differentiate(list(chosen.values()), inputs, [seeds[k].to(x) for k, x in chosen.items()], keep=keep)

    def of_each(self, inputs: Sequence[Tensor], *, keep: bool) -> list[Found]:
        """Return the gradients of each loss, in K backward passes."""
        last = len(self.graphs) - 1
        return [self.gradients(inputs, keep=keep or task < last, task=task) for task in range(last + 1)]


class GraphGradients:
    """Gradients of K losses with respect to parameters, in the form for `Balancer.combine`.

    Gradients are computed on demand: a balancer that compares gradients needs K backward passes, any other balancer
    one. The balancer receives gradients without the factor of a gradient scaler, and the results contain the factor.

    Args:
        losses: losses of the tasks.
        shared: parameters whose gradients are combined.
        own: parameters that get the gradient of the plain sum.
        processes: processes over which gradients are summed.
        keep: whether to retain the graph.
    """

    def __init__(
        self,
        losses: TaskLosses,
        shared: Sequence[nn.Parameter],
        own: Sequence[nn.Parameter],
        *,
        processes: Processes,
        keep: bool,
    ) -> None:
        self.graph, self.shared, self.own, self.processes, self.keep = losses, shared, own, processes, keep
        self.of_own: Found = [None] * len(own)
        """Gradients of the tasks' own parameters, set when those of the shared parameters are computed."""
        self.rows: TaskGradients | None = None
        """The gradients that the balancer compared; None if it did not compare any."""
        self._unused: set[int] = set()

    @property
    def losses(self) -> Tensor:
        """The losses (K,), detached."""
        return self.graph.values

    @cached_property
    def gramian(self) -> Tensor:
        """The Gram matrix (K, K) in float64."""
        found = self._compared().gramian
        return found if self.graph.scale is None else found / self.graph.scale.to(found).square()

    def jacobian(self) -> Tensor:
        """Return the gradients as rows (K, P)."""
        found = self._compared().jacobian()
        return found if self.graph.scale is None else found / self.graph.scale

    def combine(self, weights: Tensor) -> Placed:
        """Return the weighted sum of the K gradients, by index of a shared parameter that any loss depends on."""
        if self.rows is not None:
            return _placed(self._onward(self.rows.combine(weights), weights))
        self.of_own = self._summed(self.own, self.graph.gradients(self.own, keep=True))
        found = self.graph.gradients(self.shared, keep=self.keep, weights=weights)
        self._look_at_unused([found])
        return _placed(self._summed(self.shared, found))

    def unflatten(self, direction: Tensor) -> Placed:
        """Convert a combination (P,) of the rows of `jacobian` to the form that `combine` returns."""
        scaled = direction if self.graph.scale is None else direction * self.graph.scale
        return _placed(self._onward(self._compared().unflatten(scaled), None))

    def _compared(self) -> TaskGradients:
        if self.rows is None:
            blocks = self._separate()
            # Checked before the balancer receives anything, so that its state remains that of the last valid batch.
            if self.graph.scale is not None and not self.processes.all_finite(blocks):
                raise FloatingPointError("the scaled gradients are not finite")
            parts = {str(place): block for place, block in enumerate(blocks)}
            self.rows = TaskGradients(self.losses.to(blocks[0]), None, parts, {})
        return self.rows

    def _separate(self) -> list[Tensor]:
        """Return (K, *S) for each tensor whose gradients are compared, in K backward passes."""
        rows = self.graph.of_each([*self.shared, *self.own], keep=self.keep)
        split = len(self.shared)
        self.of_own = self._summed(self.own, added(row[split:] for row in rows))
        self._look_at_unused(rows)
        blocks = stacked(self.shared, rows)
        self.processes.add(blocks)
        return blocks

    def _onward(self, combined: dict[str, Tensor], weights: Tensor | None) -> Found:
        """Convert combined gradients, with `weights` (K,) or without, to gradients of the shared parameters."""
        return [None if place in self._unused else combined[str(place)] for place in range(len(self.shared))]

    def _look_at_unused(self, rows: Sequence[Found]) -> None:
        """Remember which shared parameters no loss depends on."""
        used = [any(row[place] is not None for row in rows) for place in range(len(self.shared))]
        if not all(used):
            refuse_old_checkpoints(self.graph.known)
        counts = self.processes.count(used, self.losses.device)
        self._unused = {place for place, count in enumerate(counts) if count == 0}

    def _summed(self, parameters: Sequence[Tensor], found: Found) -> Found:
        """Return the sum over the processes; None if no loss of any process depends on the parameter."""
        if not self.processes.several:
            return found
        counts = self.processes.count([each is not None for each in found], self.losses.device)
        summed = filled(parameters, found)
        self.processes.add(summed)
        return [each if count else None for each, count in zip(summed, counts, strict=True)]


def _placed(found: Found) -> Placed:
    return {place: each for place, each in enumerate(found) if each is not None}


class FeatureGradients(GraphGradients):
    """Gradients with respect to a representation; one backward pass propagates their combination through the trunk.

    Shared parameters that losses depend on by a path around the representation get the same weights; with a direction
    without weights they get the mean gradient.

    Args:
        features: parts of the representation.
        losses: losses of the tasks.
        shared: parameters below the representation, above it, or both.
        own: parameters that belong to one task each.
        processes: processes with different rows, over which inner products are summed.
        keep: whether to retain the graph.

    Raises:
        UserError: the representation has no autograd graph.
    """

    def __init__(
        self,
        features: Sequence[Tensor],
        losses: TaskLosses,
        shared: Sequence[nn.Parameter],
        own: Sequence[nn.Parameter],
        *,
        processes: Processes,
        keep: bool,
    ) -> None:
        super().__init__(losses, shared, own, processes=processes, keep=keep)
        if not all(part.grad_fn is not None or any(part is each for each in shared) for part in features):
            raise UserError("features have no graph: pass the output of the trunk without detaching it")
        if len(features) > 1 and nested(features):
            raise UserError(
                "a part of features is computed from another: pass part.view_as(part) of each part to the heads, and "
                "the same views as features"
            )
        self.features = features
        self._around: dict[int, Tensor] = {}
        """Index of a shared parameter that losses reach around the representation -> its gradients (K, *S)."""

    @cached_property
    @override
    def gramian(self) -> Tensor:
        found = super().gramian.clone()
        self.processes.add([found])
        return found

    @override
    def jacobian(self) -> Tensor:
        if self.processes.several:
            raise UserError(
                "a method without a Gram form needs the gradients of all rows, but each process has its own rows: omit "
                "features, or use another method"
            )
        return super().jacobian()

    @override
    def _separate(self) -> list[Tensor]:
        leaves = leaves_around(self.graph.known, self.features)
        places = [place for place, parameter in enumerate(self.shared) if id(parameter) in leaves]
        branches = [self.shared[place] for place in places]
        # If a loss also reaches the trunk by another path, the last of the K passes must retain the trunk's graph.
        rows = self.graph.of_each([*self.features, *branches, *self.own], keep=self.keep or bool(branches))
        first, second = len(self.features), len(self.features) + len(branches)
        for loss, row in zip(self.graph.graphs, rows, strict=True):
            if loss is not None and all(part is None for part in row[:first]):
                raise UserError("a loss does not depend on features: pass the same tensors that the heads received")
        self.of_own = self._summed(self.own, added(row[second:] for row in rows))
        blocks = stacked(branches, [row[first:second] for row in rows])
        self._around = dict(zip(places, blocks, strict=True))
        return stacked(self.features, rows)

    @override
    def _onward(self, combined: dict[str, Tensor], weights: Tensor | None) -> Found:
        seeds = [combined[str(place)].to(part) for place, part in enumerate(self.features)]
        below = [parameter for place, parameter in enumerate(self.shared) if place not in self._around]
        through = iter(differentiate(self.features, below, seeds, keep=self.keep))
        if weights is None:
            weights = torch.full_like(self.losses, 1 / len(self.losses))
        around = Blocks({str(place): block for place, block in self._around.items()}).combine(weights)
        total = [around[str(place)] if place in self._around else next(through) for place in range(len(self.shared))]
        return self._summed(self.shared, total)
