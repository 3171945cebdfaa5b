"""Liu et al., Towards impartial multi-task learning, ICLR 2021: losses are balanced first, then their gradients."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance
from mtrl_conic.balancers.contained import Contained, Container, canonical
from mtrl_conic.balancers.registry import register
from mtrl_conic.errors import UserError


def _weighs_losses(text: str) -> str:
    refusal = "compares gradients: the first method of a composition weighs the losses alone"
    return canonical(text, lambda method: not method.compares_gradients, refusal)


def _combines_gradients(text: str) -> str:
    refusal = "does not weigh gradients by their Gram matrix, as the second method must"
    return canonical(text, lambda method: method.compares_gradients and method.has_weights, refusal)


@register("composed")
class Composed(Container):
    """A method that weighs losses, followed by one that combines the gradients of the weighted losses.

    With the weights v of the first method, the second one sees the gradients v_i g_i and the losses v_i L_i. If its
    weights are u, then w_i = u_i v_i. The name `imtl_l+imtl_g` is short for `composed:losses=imtl_l,of=imtl_g`, the
    method that Liu et al. call IMTL; any other pair of names can be written in the same way.

    Only the gradients of the shared parameters are combined, so the first method does not change those of
    task-specific parameters.

    Reduction: that of the second method, for the weighted losses.
    Guarantees: those of the second method, for the weighted losses. A direction that conflicts with no gradient
    v_i g_i conflicts with no g_i, since v_i > 0.
    Cost: that of both methods. State: that of both methods.

    Statistics: those of both methods, and `loss_weight`, v (K,).

    Args:
        num_tasks: K.
        seed: seed of the methods' random numbers.
        losses: the first method with its options, separated by colons, such as `stch:mu=0.5`.
        of: the second method, in the same notation.

    Raises:
        UserError: a method of the wrong kind, a second method that needs more than one batch or the losses after each
            step, or two preferences.
    """

    contains = ("losses", "of")
    paper = "Liu et al., Towards impartial multi-task learning, ICLR 2021"

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        losses: Annotated[
            str,
            AfterValidator(_weighs_losses),
            Field(description="method that weighs the losses, written stch:mu=0.5:warmup=100"),
        ] = "imtl_l",
        of: Annotated[
            str,
            AfterValidator(_combines_gradients),
            Field(description="method that combines the gradients of the weighted losses, written cagrad:c=0.9"),
        ] = "imtl_g",
    ) -> None:
        self._weighing = Contained("losses", _weighs_losses(losses), num_tasks, seed)
        self._of = Contained("of", _combines_gradients(of), num_tasks, seed)
        second = self._of.method
        if second.batches > 1 or second.observes:
            wanted = f"{second.batches} batches" if second.batches > 1 else "the losses after each step"
            raise UserError(f"{second.name} needs {wanted}, and a composition cannot give them to its second method")
        super().__init__(num_tasks, self._weighing, self._of, seed=seed)

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        of_losses, first = self._weighing.bound(self).settle(gramian, losses)
        weighted = gramian * of_losses.unsqueeze(-1) * of_losses.unsqueeze(-2)
        of_gradients, second = self._of.bound(self).settle(weighted, None if losses is None else of_losses * losses)
        return Balance(of_gradients * of_losses, {**first, **second, "loss_weight": of_losses})
