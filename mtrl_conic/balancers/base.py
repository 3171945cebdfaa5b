"""What every balancer is: a map from the Gram matrix or the losses of K tasks to K weights."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from mtrl_conic.balancers.finite import Careful, furthest_from_zero, zero_where
from mtrl_conic.balancers.guarantees import TOLERANCE, Outcome
from mtrl_conic.balancers.seam import Combined, Form, Gradients
from mtrl_conic.errors import UserError
from mtrl_conic.linalg.gram import combine, gramian_of


class Balance(NamedTuple):
    """What a balancer decided for one update."""

    weights: Tensor
    """(..., K) float64, one weight per task."""
    statistics: dict[str, Tensor]
    """Figures of the method itself (dual gap, number of conflicts, ...), of shape (...) or (..., K)."""


class Proposal(NamedTuple):
    """A `Balance` with weights for where the method's guarantee is missed: without one it is the mean."""

    weights: Tensor
    """As in `Balance`."""
    statistics: dict[str, Tensor]
    """As in `Balance`."""
    instead: Tensor
    """(..., K) float64."""


class Direction(NamedTuple):
    """What a balancer made of a Jacobian."""

    direction: Tensor
    """(..., P), in the type of the Jacobian."""
    statistics: dict[str, Tensor]
    """As in `Balance`."""


class Decision(NamedTuple):
    """What was decided, and for which problems nothing could be."""

    balance: Balance
    skipped: Tensor | None
    """(...), where input is not finite; none where all is known to be."""


class Balancer(Careful, ABC):
    """Chooses how the gradients of K tasks are combined into one direction.

    A balancer sees the Gram matrix M = J J^T of the tasks' gradients with respect to the shared
    parameters (J is K x P) or the tasks' losses, and returns weights w; the direction is J^T w.
    It works in float64 on the device of its input, never branches on the data and never waits for
    the device (one does, and says so, see `waits`), so that an update that holds it can be compiled or
    recorded; its state, the count of its random draws included, consists of tensors written in place for the
    same reason.

    What a method guarantees is evaluated on the weights that it is about to return. Where they miss it, others are
    returned for that problem, and the statistic `fallback` is true.

    Input that is not finite is an error, and everything stays as it was; with `on_nonfinite = "skip"` it is a direction
    of zero, the state as it was, and the statistic `skipped`. To raise an error the host has to look at the numbers,
    for which it waits on a GPU. While operations are only recorded or compiled it cannot, and input is skipped.

    One object serves one component (the critic, say): its state and random numbers are its own.

    A batch of problems is solved at once where the input has leading dimensions. A method with
    state keeps one state per problem: tell it the leading dimensions by `reset(batch_shape)`.

    A method that asks for several independent batches in an update says how many in `batches`. It then takes, wherever
    K is written here for gradients, losses and weights, those of all batches: the K of the first, then the K of the
    second, and so on. Only K stand for gradients without noise, which are those of every batch.

    Args:
        num_tasks: K, at least 1.
        seed: of the balancer's own random numbers, for the methods that draw.
    """

    paper: ClassVar[str]
    """Authors, title or venue, and year of the source."""
    needs: Literal["gramian", "losses", "jacobian", "nothing"] = "gramian"
    """What the weights are computed from, in a word for tables."""
    compares_gradients: bool = True
    """Whether the weights depend on the gradients at all."""
    has_weights: ClassVar[bool] = True
    """Whether a direction is a weighted sum of the gradients of this very update."""
    positive_losses: bool = False
    """Whether the method is meant for positive losses (the actor's are not)."""
    observes: bool = False
    """Whether `observe` wants the losses of the same batch after the optimiser's step."""
    every_task: bool = False
    """Whether the method follows each task's loss from update to update, so that no batch may lack one."""
    carries_gradients: ClassVar[bool] = False
    """Whether gradients of earlier batches enter the direction, so that those of rows have no meaning."""
    preference: tuple[float, ...] | None = None
    """What each of the K tasks counts, with the sum 1, where a method takes that and it is given."""
    in_epochs: ClassVar[Mapping[str, int]] = {}
    """Options in updates that the paper gives in epochs, and how many: what they are where an epoch has a length."""
    waits: bool = False
    """Whether the method waits for the device after all, so that its updates cannot be recorded."""

    # The part a method writes.

    @abstractmethod
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance | Proposal:
        """Weights and statistics for one update; advances the state, in place.

        Args:
            gramian: (K, K) or (..., K, K) float64, finite.
            losses: (K,) or (..., K) float64, finite.
        """

    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        """What the method promises -> by how much (...) weights miss it: at most `TOLERANCE` where it is kept."""
        return {}

    def adapt(self, losses: Tensor) -> None:
        """Take the (K,) float64 losses of the last batch after the step; written where `observes` is set."""
        raise NotImplementedError(f"{type(self).__name__} sets `observes` and must say how it adapts")

    @property
    def scaling(self) -> float:
        """The p by which the weights are multiplied by s^p when every gradient is multiplied by s."""
        return 0.0

    # What a user calls.

    def __call__(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        """`balance` on checked float64 input.

        Args:
            gramian: (..., K, K) of any floating type.
            losses: (..., K), needed where `needs_losses` is set.

        Raises:
            UserError: wrong shapes or types, missing or negative losses, or a method without a Gram form.
            FloatingPointError: input that is not finite, see above.
        """
        return self._decide(gramian, losses).balance

    def without_gradients(self, losses: Tensor) -> Balance:
        """`balance` from the losses (..., K) alone, for a method that does not compare gradients."""
        if self.compares_gradients:
            raise UserError(f"{self.name} compares the tasks' gradients: their losses alone are not enough")
        return self._decide(self._nothing(losses), losses).balance

    def weights(self, gramian: Tensor, losses: Tensor | None = None) -> Tensor:
        """The weights (..., K), float64, of the tasks' gradients for this update."""
        return self(gramian, losses).weights

    def direction(self, jacobian: Tensor, losses: Tensor | None = None) -> Tensor:
        """The combined gradient J^T w, shape (..., P), in the type of the jacobian (..., K, P)."""
        return self.direct(jacobian, losses).direction

    def direct(self, jacobian: Tensor, losses: Tensor | None = None) -> Direction:
        """The combined gradient J^T w of a jacobian (..., K, P), with the method's statistics."""
        jacobian = self._jacobian(jacobian)
        # Where gradients are not compared, all that is asked of the matrix is whether they are finite.
        compared = self.compares_gradients
        seen = gramian_of(jacobian) if compared else torch.diag_embed(furthest_from_zero(jacobian).to(torch.float64))
        (weights, statistics), skipped = self._decide(seen, losses)
        return Direction(zero_where(skipped, combine(weights, jacobian)), statistics)

    def combine(self, gradients: Gradients[Form]) -> Combined[Form]:
        """One direction for the gradients of K losses, in their own form; what is not needed is not computed."""
        seen = gradients.gramian if self.compares_gradients else self._nothing(gradients.losses)
        (weights, statistics), skipped = self._decide(seen, gradients.losses)
        of_tasks = weights if self.batches == 1 else weights.unflatten(-1, (-1, self.num_tasks)).sum(-2)
        return Combined(zero_where(skipped, gradients.combine(weights)), {"weight": of_tasks, **statistics})

    def observe(self, losses: Tensor) -> None:
        """Take the losses (..., K) of the last batch after the optimiser's step.

        Nothing happens where `observes` is not set, or to the state where the losses are not finite.

        Raises:
            FloatingPointError: losses that are not finite, unless they are skipped.
        """
        if not self.observes:
            return
        self._check("losses", losses, (self.num_tasks,))
        self._unobserved = 0
        losses = losses.detach().to(torch.float64)
        sound = self._sound(losses.sum(-1).isfinite(), losses)
        if self._known_to_be_sound(sound, None, losses):
            self.adapt(losses)
        else:
            some = torch.where(sound.unsqueeze(-1), losses, 1.0)
            self._only_where(sound, lambda: self.adapt(some))

    # How it is done.

    def keeps(self, outcome: Outcome) -> Tensor:
        """Whether (...) weights are finite and keep what the method guarantees."""
        finite = outcome.weights.isfinite().all(-1)
        errors = list(self.guarantees(outcome).values())
        return finite & (torch.stack(errors).amax(0) <= TOLERANCE) if errors else finite

    def _decide(self, gramian: Tensor, losses: Tensor | None) -> Decision:
        self._check("gramian", gramian, (self._rows(gramian, -1),) * 2)
        gramian = gramian.detach().to(torch.float64)
        losses = self._losses(losses, gramian.device)
        total = gramian.sum((-2, -1))
        finite = (total if losses is None else total + losses.sum(-1)).isfinite()
        sound = self._sound(finite, losses)
        if self._known_to_be_sound(sound, gramian.diagonal(dim1=-2, dim2=-1), losses):
            return self._told(self._settle(gramian, losses), finite, known=True)
        eye = torch.eye(gramian.shape[-1], dtype=torch.float64, device=gramian.device)
        gramian = torch.where(sound[..., None, None], gramian, eye)
        losses = None if losses is None else torch.where(sound.unsqueeze(-1), losses, 1.0)
        balance = self._only_where(sound, lambda: self._settle(gramian, losses))
        return self._told(self._without(~sound, balance), finite, known=False)

    def _nothing(self, losses: Tensor) -> Tensor:
        """In the place of a Gram matrix that nobody looks at."""
        return losses.new_zeros((*losses.shape, self._rows(losses, -1)), dtype=torch.float64)

    def _settle(self, gramian: Tensor, losses: Tensor | None) -> Balance:
        """What the method proposes where that keeps its guarantee, and what it has instead where not."""
        proposed = self.balance(gramian, losses)
        weights, statistics = proposed.weights, proposed.statistics
        instead = proposed.instead if isinstance(proposed, Proposal) else 1 / weights.shape[-1]
        missed = ~self.keeps(Outcome(gramian, weights))
        fallback = missed | statistics["fallback"] if "fallback" in statistics else missed
        return Balance(torch.where(missed.unsqueeze(-1), instead, weights), {**statistics, "fallback": fallback})

    def _without(self, left_out: Tensor, balance: Balance) -> Balance:
        """Equal weights for problems (...) that the method cannot take."""
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
