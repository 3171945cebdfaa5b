"""Input that is not as it must be: who says so, and what becomes of the state."""

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
    """A state that input which is not finite leaves as it was."""

    needs_losses: bool = False
    """Whether `losses` must be given."""
    refuses_negative: bool = False
    """Whether a negative loss is an error; where errors are not raised it means equal weights."""
    on_nonfinite: Literal["raise", "skip"] = "raise"
    """What is done with input that is not finite."""
    task_names: Sequence[str] | None = None
    """For messages, where they are known."""
    batches: int = 1
    """How many independent batches an update takes."""

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
        self._follow(value.device)

    def _rows(self, value: Tensor, axis: int) -> int:
        """How long an axis of input must be: K, and K for each batch where it has all of them."""
        every = self.batches * self.num_tasks
        given = value.shape[axis] if isinstance(value, Tensor) and value.dim() >= -axis else 0
        return every if given == every else self.num_tasks

    def _jacobian(self, jacobian: Tensor) -> Tensor:
        if isinstance(jacobian, Tensor) and jacobian.dim() < 2:
            shape = f"(..., {self.num_tasks}, P)"
            raise UserError(f"jacobian must have shape {shape}, a row per task, not {tuple(jacobian.shape)}")
        self._check("jacobian", jacobian, (self._rows(jacobian, -2), *getattr(jacobian, "shape", (0,))[-1:]))
        return jacobian.detach()

    def _losses(self, losses: Tensor | None, device: torch.device) -> Tensor | None:
        if losses is None:
            if self.needs_losses:
                raise UserError(f"{self.name} needs the losses of the tasks: pass losses of shape (K,)")
            return None
        self._check("losses", losses, (self._rows(losses, -1),))
        return losses.detach().to(device, torch.float64)

    def _sound(self, finite: Tensor, losses: Tensor | None) -> Tensor:
        """Which problems (...) can be solved, of those whose numbers are `finite`."""
        return finite & (losses.amin(-1) >= 0) if self.refuses_negative and losses is not None else finite

    def _known_to_be_sound(self, sound: Tensor, squares: Tensor | None, losses: Tensor | None) -> bool:
        """Whether all problems (...) are known to be sound, where the host may look.

        Args:
            sound: (...)
            squares: (..., K), of the norms of the gradients.
            losses: (..., K)

        Raises:
            FloatingPointError, UserError: they are known not to be, and that is to be an error.
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
        """The tasks of a mask (..., K) in words: `tasks 0 and 3 (reach-v3, push-v3)`."""
        found = chosen.reshape(-1, self.num_tasks).any(0).nonzero().flatten().tolist()
        numbers = " and ".join(filter(None, [", ".join(map(str, found[:-1])), str(found[-1])]))
        called = f" ({', '.join(self.task_names[task] for task in found)})" if self.task_names else ""
        return f"task{'s' if len(found) > 1 else ''} {numbers}{called}"


def readable(values: Tensor) -> bool:
    """Whether numbers are there to be read by the host.

    They are not while operations are only recorded or transformed: by a CUDA graph, torch.compile, torch.func, or
    anything else that watches torch's dispatch.
    """
    if torch.compiler.is_compiling() or values.is_meta or is_functorch_wrapped_tensor(values):
        return False
    if _get_current_dispatch_mode() is not None:
        return False
    return not (values.is_cuda and torch.cuda.is_current_stream_capturing())


def zero_where(skipped: Tensor | None, direction: Any) -> Any:
    """A direction (..., P), or tensors of one problem in any structure, with zeros where it was skipped (...)."""
    if skipped is None:
        return direction
    if isinstance(direction, Tensor):
        return torch.where(skipped.unsqueeze(-1), 0.0, direction)
    return pytree.tree_map(lambda part: torch.where(skipped, 0.0, part), direction)


def furthest_from_zero(jacobian: Tensor) -> Tensor:
    """The largest size (..., K) of an entry of gradients (..., K, P): finite where all of them are."""
    return torch.maximum(jacobian.amax(-1), -jacobian.amin(-1))
