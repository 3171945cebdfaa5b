"""The base class of balancers, which map the Gram matrix or the losses of K tasks to K weights."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.finite import Careful, furthest_from_zero, zero_where
from mtrl_conic.balancers.guarantees import TOLERANCE, Outcome
from mtrl_conic.balancers.seam import Combined, Form, Gradients
from mtrl_conic.errors import UserError
from mtrl_conic.linalg.gram import combine, gramian_of


class Balance(NamedTuple):
    """The weights of one update, with statistics."""

    weights: Tensor
    """(..., K) float64, one weight per task."""
    statistics: dict[str, Tensor]
    """Statistics of the method (dual gap, number of conflicts, ...), each (...) or (..., K)."""


class Proposal(NamedTuple):
    """A `Balance` with fallback weights where a guarantee is missed; without them the fallback is the mean."""

    weights: Tensor
    """As in `Balance`."""
    statistics: dict[str, Tensor]
    """As in `Balance`."""
    instead: Tensor
    """(..., K) float64."""


class Direction(NamedTuple):
    """The combined gradient of a Jacobian, with statistics."""

    direction: Tensor
    """(..., P), with the dtype of the Jacobian."""
    statistics: dict[str, Tensor]
    """As in `Balance`."""


class Decision(NamedTuple):
    """A balance, and the problems that were skipped."""

    balance: Balance
    skipped: Tensor | None
    """(...), true where the input is not finite; None if all input is known to be finite."""


Settle = Callable[[Tensor, Tensor | None], Balance]
"""`Balancer.settle`, or a compiled version of it."""


class Balancer(Careful, ABC):
    """Chooses how the gradients of K tasks are combined into one direction.

    A balancer sees the Gram matrix M = J J^T of the tasks' gradients with respect to the shared
    parameters (J is K x P) or the tasks' losses, and returns weights w; the direction is J^T w.
    It works in float64 on the device of its input, does not branch on the data and does not wait for the
    device (except where `waits` is true), so that an update that contains it can be compiled or recorded.
    For the same reason its state, including the count of random draws, consists of tensors that are updated in place.

    The guarantees of a method are evaluated on the weights before they are returned. Where a guarantee is missed, other
    weights are returned for that problem, and the statistic `fallback` is true.

    Input that is not finite raises an error and changes nothing. With `on_nonfinite = "skip"`, the direction is zero,
    the state stays unchanged and the statistic `skipped` is true. To raise an error, the host must read the values, for
    which it waits on a GPU. It cannot read them while operations are recorded or compiled; such input is skipped.

    Each component, such as the critic, needs an object of its own, since an object has one state and one stream of
    random numbers.

    Leading dimensions of the input are a batch of problems, which are solved at once. A method with a
    state keeps one state per problem; `reset(batch_shape)` sets the leading dimensions.

    A method can use several independent batches in an update; `batches` is their number. Gradients, losses and weights
    then have K entries for each batch, wherever K is written here: those of the first batch, then those of the second,
    and so on. If only K entries are given, they stand for gradients without noise, which are equal in every batch.

    Args:
        num_tasks: K, at least 1.
        seed: seed of the random numbers, for the methods that draw any.
    """

    paper: ClassVar[str] = ""
    """Authors, title or venue, and year of the source; empty if there is none."""
    needs: Literal["gramian", "losses", "jacobian", "nothing"] = "gramian"
    """What the weights are computed from, as tables show it."""
    compares_gradients: bool = True
    """Whether the weights depend on the gradients."""
    has_weights: ClassVar[bool] = True
    """Whether the direction is a weighted sum of the gradients of the current update."""
    positive_losses: bool = False
    """Whether the method assumes positive losses; those of the actor are not always positive."""
    observes: bool = False
    """Whether the method needs `observe` with the losses of the same batch after the optimiser's step."""
    every_task: bool = False
    """Whether the method follows the losses over the updates, so that every batch must contain every task."""
    carries_gradients: ClassVar[bool] = False
    """Whether the direction depends on gradients of earlier batches, so that gradients per row cannot be used."""
    preference: tuple[float, ...] | None = None
    """Weight of each of the K tasks, with sum 1, if the method accepts a preference and one is given."""
    contains: ClassVar[tuple[str, ...]] = ()
    """The options that are methods themselves."""
    in_epochs: ClassVar[Mapping[str, int]] = {}
    """Maps options that count updates to the number of epochs in the paper, used where epochs have a known length."""
    waits: bool = False
    """Whether the method waits for the device, so that its updates cannot be recorded."""

    # Methods that a subclass overrides.

    @abstractmethod
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance | Proposal:
        """Return weights and statistics for one update, and update the state in place.

        Args:
            gramian: (K, K) or (..., K, K) float64, finite.
            losses: (K,) or (..., K) float64, finite.
        """

    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return by how much (...) the weights miss each guarantee; it holds up to `TOLERANCE`."""
        return {}

    def adapt(self, losses: Tensor) -> None:
        """Update the state with the float64 losses (K,) after the step; required if `observes` is true."""
        raise NotImplementedError(f"{type(self).__name__} sets `observes` and must say how it adapts")

    @property
    def scaling(self) -> float:
        """The exponent p: if every gradient is multiplied by s, the weights are multiplied by s^p."""
        return 0.0

    # Methods that a user calls.

    def __call__(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        """Check the input, convert it to float64 and call `balance`.

        Args:
            gramian: (..., K, K) of any floating type.
            losses: (..., K), required if `needs_losses` is true.

        Raises:
            UserError: wrong shapes or types, missing or negative losses, or a method without a Gram form.
            FloatingPointError: the input is not finite; see the class.
        """
        return self._decide(gramian, losses).balance

    def without_gradients(self, losses: Tensor) -> Balance:
        """Call `balance` with the losses (..., K) alone, for a method that does not compare gradients."""
        if self.compares_gradients:
            raise UserError(f"{self.name} compares the tasks' gradients: their losses alone are not enough")
        return self._decide(self._nothing(losses), losses).balance

    def weights(self, gramian: Tensor, losses: Tensor | None = None) -> Tensor:
        """Return the float64 weights (..., K) of the tasks' gradients for this update."""
        return self(gramian, losses).weights

    def direction(self, jacobian: Tensor, losses: Tensor | None = None) -> Tensor:
        """Return the combined gradient J^T w (..., P), with the dtype of the Jacobian (..., K, P)."""
        return self.direct(jacobian, losses).direction

    def direct(self, jacobian: Tensor, losses: Tensor | None = None) -> Direction:
        """Return the combined gradient J^T w of a Jacobian (..., K, P), with the statistics of the method."""
        jacobian = self._jacobian(jacobian)
        # If gradients are not compared, the matrix only shows whether they are finite.
        compared = self.compares_gradients
        seen = gramian_of(jacobian) if compared else torch.diag_embed(furthest_from_zero(jacobian).to(torch.float64))
        (weights, statistics), skipped = self._decide(seen, losses)
        return Direction(zero_where(skipped, combine(weights, jacobian)), statistics)

    def combine(self, gradients: Gradients[Form], settle: Settle | None = None) -> Combined[Form]:
        """Return one direction for the gradients of K losses, in their form; only what the method needs is computed.

        Args:
            gradients: gradients of K losses.
            settle: compiled version of `settle`, see `traceable`.
        """
        seen = gradients.gramian if self.compares_gradients else self._nothing(gradients.losses)
        (weights, statistics), skipped = self._decide(seen, gradients.losses, settle)
        of_tasks = weights if self.batches == 1 else weights.unflatten(-1, (-1, self.num_tasks)).sum(-2)
        return Combined(zero_where(skipped, gradients.combine(weights)), {"weight": of_tasks, **statistics})

    def observe(self, losses: Tensor) -> None:
        """Update the state with the losses (..., K) of the last batch after the optimiser's step.

        The call has no effect if `observes` is false, and does not change the state if the losses are not finite.

        Raises:
            FloatingPointError: the losses are not finite, and `on_nonfinite` is not "skip".
        """
        if not self.observes:
            return
        self._check("losses", losses, (self.num_tasks,))
        self._unobserved = 0
        here = next((value.device for value in self.state.values()), losses.device)
        losses = losses.detach().to(here, torch.float64)
        sound = self._sound(losses.sum(-1).isfinite(), losses)
        if self._known_to_be_sound(sound, None, losses):
            self.adapt(losses)
        else:
            some = torch.where(sound.unsqueeze(-1), losses, 1.0)
            self._only_where(sound, lambda: self.adapt(some))

    @override
    def load_state_dict(self, saved: dict[str, Tensor]) -> None:
        super().load_state_dict(saved)
        self._unobserved = 0  # the updates since belong to the state that was replaced

    @property
    def traceable(self) -> bool:
        """Whether `settle` can be compiled: it has no branches on values and uses operations of torch alone.

        It is true for the methods of this package. Others are not compiled, because a branch would be traced for the
        first values and then repeated for all.
        """
        return not self.is_users and not self.waits

    def settle(self, gramian: Tensor, losses: Tensor | None) -> Balance:
        """Return the proposal of `balance` where it keeps the guarantees, and fallback weights elsewhere.

        Args:
            gramian: (..., K, K) float64, finite.
            losses: (..., K) float64, finite.
        """
        proposed = self.balance(gramian, losses)
        self._check_proposal(proposed, gramian.shape[:-1])
        weights, statistics = proposed.weights, proposed.statistics
        instead = proposed.instead if isinstance(proposed, Proposal) else 1 / weights.shape[-1]
        missed = ~self.keeps(Outcome(gramian, weights))
        fallback = missed | statistics["fallback"] if "fallback" in statistics else missed
        return Balance(torch.where(missed.unsqueeze(-1), instead, weights), {**statistics, "fallback": fallback})

    # Implementation.

    def keeps(self, outcome: Outcome) -> Tensor:
        """Return whether (...) the weights are finite and keep the guarantees of the method."""
        finite = outcome.weights.isfinite().all(-1)
        errors = list(self.guarantees(outcome).values())
        return finite & (torch.stack(errors).amax(0) <= TOLERANCE) if errors else finite

    def _check_proposal(self, proposed: Balance | Proposal, expected: torch.Size) -> None:
        """Check what `balance` returned, because weights of another shape would be combined with other memory.

        Raises:
            UserError: it is not a `Balance` or `Proposal` with float64 weights of the expected shape (..., K).
        """
        told = f"{self.name}.balance must return Balance(weights, statistics)"
        if not isinstance(proposed, Balance | Proposal):
            raise UserError(f"{told}, not {type(proposed).__name__}")
        weights = proposed.weights
        if not isinstance(weights, Tensor) or weights.shape != expected or weights.dtype != torch.float64:
            given = f"{weights.dtype} {tuple(weights.shape)}" if isinstance(weights, Tensor) else type(weights).__name__
            raise UserError(f"{told} with float64 weights {tuple(expected)}, one per task, not {given}")
        for name, value in proposed.statistics.items():
            if not isinstance(value, Tensor):
                raise UserError(f"{told} with tensors as statistics, and {name} is of type {type(value).__name__}")

    def _decide(self, gramian: Tensor, losses: Tensor | None, settle: Settle | None = None) -> Decision:
        self._check("gramian", gramian, (self._rows(gramian, -1),) * 2)
        self._follow(gramian.device)
        gramian = gramian.detach().to(torch.float64)
        losses = self._losses(losses, gramian.device)
        total = gramian.sum((-2, -1))
        finite = (total if losses is None else total + losses.sum(-1)).isfinite()
        sound = self._sound(finite, losses)
        if self._known_to_be_sound(sound, gramian.diagonal(dim1=-2, dim2=-1), losses):
            return self._told((settle or self.settle)(gramian, losses), finite, known=True)
        eye = torch.eye(gramian.shape[-1], dtype=torch.float64, device=gramian.device)
        gramian = torch.where(sound[..., None, None], gramian, eye)
        losses = None if losses is None else torch.where(sound.unsqueeze(-1), losses, 1.0)
        balance = self._only_where(sound, lambda: self.settle(gramian, losses))
        return self._told(self._without(~sound, balance), finite, known=False)

    def _nothing(self, losses: Tensor) -> Tensor:
        """Return a placeholder for a Gram matrix that is not used."""
        return losses.new_zeros((*losses.shape, self._rows(losses, -1)), dtype=torch.float64)

    def _without(self, left_out: Tensor, balance: Balance) -> Balance:
        """Return the balance with equal weights for the problems (...) that the method cannot handle."""
        weights = torch.where(left_out.unsqueeze(-1), 1 / balance.weights.shape[-1], balance.weights)
        counted = {key: left_out | balance.statistics[key] for key in balance.statistics.keys() & {"fallback"}}
        return Balance(weights, balance.statistics | counted)

    def _told(self, balance: Balance, finite: Tensor, *, known: bool) -> Decision:
        """No weights where numbers are not `finite` (...), and the statistic that says so."""
        self._expect_to_observe()
        skipped = ~finite
        weights = balance.weights if known else torch.where(skipped.unsqueeze(-1), 0.0, balance.weights)
        return Decision(Balance(weights, {**balance.statistics, "skipped": skipped}), None if known else skipped)

    _unobserved = 0

    def _expect_to_observe(self) -> None:
        if not self.observes or torch.compiler.is_compiling():
            return
        self._unobserved += 1
        if self._unobserved == 2:
            warnings.warn(
                f"{self.name} learns from the losses after each step, and was told none: "
                "call observe(losses) after optimizer.step(), with the losses of the same batch",
                stacklevel=2,
            )
