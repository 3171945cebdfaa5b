"""`torch.autograd.grad` for arbitrary networks, with errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import TypeAlias

import torch
from torch import Tensor
from torch.autograd.graph import Node

from mtrl_conic.errors import UserError

Found = list[Tensor | None]
"""A gradient per input; None for an input that no output depends on."""

Edge: TypeAlias = tuple[Node | None, int]
"""A node of the graph and the number of its output."""

_OLD_CHECKPOINT = (
    "gradient checkpointing must be given use_reentrant=False: the old form of torch.utils.checkpoint "
    "cannot be asked for the gradients of single losses"
)
_REMEDIES = {
    "a second time": "the graph of these losses has been freed: compute the losses again, or pass "
    "retain_graph=True to the previous call",
    "use_reentrant": _OLD_CHECKPOINT,
    "modified by an inplace operation": "a layer overwrote a tensor that another layer's backward pass needs: create "
    "activations with inplace=False",
}
"""Part of an error message of torch -> what to do about it."""


def differentiate(outputs: Sequence[Tensor], inputs: Sequence[Tensor], seeds: Sequence[Tensor], *, keep: bool) -> Found:
    """Return the gradients of a weighted sum of outputs, one per input; `keep` retains the graph.

    Raises:
        UserError: the graph was already freed, a layer is not supported, or a gradient is sparse.
    """
    if not outputs or not inputs:
        return [None] * len(inputs)
    try:
        found = torch.autograd.grad(outputs, inputs, seeds, retain_graph=keep, allow_unused=True)
    except RuntimeError as error:
        raise explained(error) from error
    for gradient in found:
        if gradient is not None and gradient.layout != torch.strided:
            raise UserError(
                f"a parameter of shape {tuple(gradient.shape)} has a sparse gradient: build its torch.nn.Embedding "
                "with sparse=False"
            )
    return list(found)


def explained(error: RuntimeError) -> RuntimeError | UserError:
    """Return an error that says what to do about an error of torch if that is known, otherwise the error itself."""
    for part, remedy in _REMEDIES.items():
        if part in str(error):
            return UserError(remedy)
    return error


def added(rows: Iterable[Found]) -> Found:
    """Return the sum of rows of gradients."""
    total, *rest = rows
    for row in rest:
        total = [a if b is None else b if a is None else a + b for a, b in zip(total, row, strict=True)]
    return total


def filled(inputs: Sequence[Tensor], gradients: Found) -> list[Tensor]:
    """Return a new tensor for each input, zero for an input that no output depends on."""
    pairs = zip(inputs, gradients, strict=True)
    return [torch.zeros_like(x) if g is None else torch.empty_like(x).copy_(g) for x, g in pairs]


def stacked(inputs: Sequence[Tensor], rows: Sequence[Found]) -> list[Tensor]:
    """Return (K, *S) for each input of shape S, zero for an input that no output depends on."""

    def column(place: int) -> list[Tensor]:
        found = [row[place] for row in rows]
        return [torch.zeros_like(inputs[place]) if each is None else each for each in found]

    return [torch.stack(column(place)) for place in range(len(inputs))]


def leaves_around(outputs: Sequence[Tensor], cut: Sequence[Tensor]) -> set[int]:
    """Return the `id` of every leaf that outputs depend on by a path around the tensors of `cut`."""
    stop = {edge(each) for each in cut}
    variables = (getattr(node, "variable", None) for node, _ in _edges_below(map(edge, outputs), stop))
    return {id(variable) for variable in variables if variable is not None}


def refuse_old_checkpoints(outputs: Sequence[Tensor]) -> None:
    """Refuse a graph that contains a reentrant checkpoint, which hides parameters.

    Raises:
        UserError: the graph of `outputs` contains one.
    """
    if any("CheckpointFunction" in type(node).__name__ for node, _ in _edges_below(map(edge, outputs), set())):
        raise UserError(_OLD_CHECKPOINT)


def nested(parts: Sequence[Tensor]) -> bool:
    """Return whether one of the tensors is computed from another."""
    edges = {edge(part) for part in parts}
    below = [following for node, _ in edges if node is not None for following in node.next_functions]
    return any(found in edges for found in _edges_below(below, set()))


def edge(tensor: Tensor) -> Edge:
    """Return the place of a tensor in the graph."""
    return tensor.grad_fn, tensor.output_nr


def _edges_below(starts: Iterable[Edge], stop: Set[Edge]) -> Iterator[Edge]:
    waiting, seen = list(starts), set(stop)
    while waiting:
        here = waiting.pop()
        if here[0] is None or here in seen:
            continue
        seen.add(here)
        yield here
        waiting.extend(here[0].next_functions)
