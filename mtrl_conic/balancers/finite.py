"""Checks of the input of a balancer, and the protection of its state from invalid input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _get_current_dispatch_mode

from mtrl_conic.balancers.state import State
from mtrl_conic.errors import UserError


class Careful(State):
    """A state that does not change if the input is not finite."""

    needs_losses: bool = False
    """Whether `losses` must be given."""
    refuses_negative: bool = False
    """Whether a negative loss is an error; if errors cannot be raised, the weights are then equal."""
    on_nonfinite: Literal["raise", "skip"] = "raise"
    """Whether input that is not finite raises an error or skips the update."""
    task_names: Sequence[str] | None = None
    """Names of the tasks for messages, if they are known."""
    batches: int = 1
    """Number of independent batches of an update."""
    present: Sequence[int] | None = None
    """Numbers of the tasks for messages, if a batch lacks some of those that the caller counts."""

    def _check(self, what: str, value: Tensor, expected: tuple[int, ...]) -> None:
        if not isinstance(value, Tensor):
            raise UserError(f"{what} must be a tensor, not a {type(value).__name__}: stack the tasks along its axis")
        if not value.is_floating_point():
            raise UserError(f"{what} must be of a floating-point type, not {value.dtype}")
        if tuple(value.shape[-len(expected) :]) != expected:
            raise UserError(f"{what} must have shape (..., {', '.join(map(str, expected))}), not {tuple(value.shape)}")
        batch = tuple(value.shape[: -len(expected)])
        if batch != self.batch_shape and self.state.keys() - {"draws"}:
            raise UserError(f"{self.name} keeps a state for problems of shape {self.batch_shape}: reset({batch}) first")

    def _rows(self, value: Tensor, axis: int) -> int:
        """Return the required length of an axis: K, or K times `batches` if the input contains all of them."""
        every = self.batches * self.num_tasks
        given = value.shape[axis] if isinstance(value, Tensor) and value.dim() >= -axis else 0
        return every if given == every else self.num_tasks

    def _jacobian(self, jacobian: Tensor) -> Tensor:
        if isinstance(jacobian, Tensor) and jacobian.dim() < 2:
            shape = f"(..., {self.num_tasks}, P)"
            raise UserError(f"jacobian must have shape {shape}, a row per task, not {tuple(jacobian.shape)}")
        self._check("jacobian", jacobian, (self._rows(jacobian, -2), *getattr(jacobian, "shape", (0,))[-1:]))
        self._follow(jacobian.device)
        return jacobian.detach()

    def _losses(self, losses: Tensor | None, device: torch.device) -> Tensor | None:
        if losses is None:
            if self.needs_losses:
                raise UserError(f"{self.name} needs the losses of the tasks: pass losses of shape (K,)")
            return None
        self._check("losses", losses, (self._rows(losses, -1),))
        return losses.detach().to(device, torch.float64)

    def _sound(self, finite: Tensor, losses: Tensor | None) -> Tensor:
        """Return which problems (...) can be solved, given which are `finite`."""
        return finite & (losses.amin(-1) >= 0) if self.refuses_negative and losses is not None else finite

    def _known_to_be_sound(self, sound: Tensor, squares: Tensor | None, losses: Tensor | None) -> bool:
        """Return whether all problems (...) are known to be valid, which the host can check only for readable values.

        Args:
            sound: (...), whether each problem can be solved.
            squares: (..., K), squared norms of the gradients.
            losses: (..., K), losses of the tasks.

        Raises:
            FloatingPointError, UserError: a problem is known to be invalid, and `on_nonfinite` is 'raise'.
        """
        if not (readable(sound) and (self.on_nonfinite == "raise" or sound.device.type == "cpu")):
            return False
        if sound.all():
            return True
        if self.on_nonfinite == "raise":
            raise self._complaint(squares, losses)
        return False

    def _complaint(self, squares: Tensor | None, losses: Tensor | None) -> Exception:
        end = "is not finite: nothing was changed; on_nonfinite='skip' leaves such a batch out"
        if losses is not None and not losses.isfinite().all():
            return FloatingPointError(f"{self.name}: the loss of {self._named(~losses.isfinite())} {end}")
        if losses is not None and self.refuses_negative and (losses < 0).any():
            return UserError(
                f"{self.name} takes logarithms or ratios of losses, and the loss of {self._named(losses < 0)} is "
                "negative: add a constant, or choose a method that compares gradients"
            )
        if squares is None or squares.isfinite().all():
            return FloatingPointError(f"{self.name}: the Gram matrix {end}")
        return FloatingPointError(f"{self.name}: the gradient of {self._named(~squares.isfinite())} {end}")

    def _named(self, chosen: Tensor) -> str:
        """Return the tasks of a mask (..., K) as text, such as `tasks 0 and 3 (reach-v3, push-v3)`."""
        found = chosen.reshape(-1, self.num_tasks).any(0).nonzero().flatten().tolist()
        found = found if self.present is None else [self.present[place] for place in found]
        numbers = " and ".join(filter(None, [", ".join(map(str, found[:-1])), str(found[-1])]))
        called = f" ({', '.join(self.task_names[task] for task in found)})" if self.task_names else ""
        return f"task{'s' if len(found) > 1 else ''} {numbers}{called}"


def readable(values: Tensor) -> bool:
    """Return whether the host can read the values.

    It cannot while operations are only recorded or transformed: by a CUDA graph, torch.compile, torch.func or any other
    dispatch mode of torch.
    """
    if torch.compiler.is_compiling() or values.is_meta or is_functorch_wrapped_tensor(values):
        return False
    if _get_current_dispatch_mode() is not None:
        return False
    return not (values.is_cuda and torch.cuda.is_current_stream_capturing())


def zero_where(skipped: Tensor | None, direction: Any) -> Any:
    """Return a direction (..., P), or the tensors of one problem, with zeros where it is skipped (...)."""
    if skipped is None:
        return direction
    if isinstance(direction, Tensor):
        return torch.where(skipped.unsqueeze(-1), 0.0, direction)
    return pytree.tree_map(lambda part: torch.where(skipped, 0.0, part), direction)


def furthest_from_zero(jacobian: Tensor) -> Tensor:
    """Return the largest absolute value (..., K) of gradients (..., K, P), which is finite if all their entries are."""
    if not jacobian.shape[-1]:
        return jacobian.new_zeros(jacobian.shape[:-1])
    return torch.maximum(jacobian.amax(-1), -jacobian.amin(-1))
