"""The processes that train copies of one network, each on different rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed

from mtrl_conic.errors import UserError

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

if distributed.is_available():
    # Its functions have the group of the moment of import as a default argument. torch imports it with the first
    # optimizer, that is, usually after init_process_group: the group then outlives destroy_process_group, and the
    # process may abort when it ends ("terminate called without an active exception").
    import torch.distributed.nn.functional


class Processes:
    """Sums over the processes of a group, or over this process alone without a group.

    Gradients that a balancer requests do not pass through the hooks of `DistributedDataParallel`, so the averaging of
    those hooks is done here explicitly.

    Args:
        chosen: a group, `True` for all processes, `False` for this process alone. `None` is for a program with one
            process.

    Raises:
        UserError: there are several processes and `chosen` is None, or it is `True` and no process group was
            initialised.
    """

    def __init__(self, chosen: ProcessGroup | bool | None) -> None:
        begun = distributed.is_available() and distributed.is_initialized()
        if chosen is None and begun and distributed.get_world_size() > 1:
            raise UserError(
                "several processes are training: pass process_group=True to average the gradients over them "
                "(the hooks of DistributedDataParallel do not see these), or process_group=False to keep them "
                "independent"
            )
        if chosen is True and not begun:
            raise UserError("process_group=True needs torch.distributed.init_process_group before it")
        self._group = distributed.group.WORLD if chosen is True else chosen or None
        self.several = self._group is not None

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes; all processes get identical bits."""
        if self.several:
            pending = [distributed.all_reduce(each, group=self._group, async_op=True) for each in tensors]
            for each in pending:
                each.wait()

    def count(self, said: Sequence[bool], device: torch.device) -> list[int]:
        """Return the number of processes for which each flag is true."""
        if not self.several:
            return [int(each) for each in said]
        counts = torch.tensor(said, dtype=torch.int64, device=device)
        self.add([counts])
        found: list[int] = counts.tolist()
        return found

    def finite(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return whether (), on the device of the first tensor, every entry is finite in every process."""
        device = tensors[0].device
        wrong = torch.stack([each.isfinite().logical_not().any().to(device) for each in tensors]).sum()
        self.add([wrong])
        return wrong == 0

    def all_finite(self, tensors: Sequence[Tensor]) -> bool:
        """Return whether every entry is finite in every process; waits for the device."""
        return bool(self.finite(tensors))


def refuse_sharded(parameters: Sequence[Tensor]) -> None:
    """Refuse the parameters of `FullyShardedDataParallel`, which are distributed over the processes.

    Raises:
        UserError: one of the parameters is sharded.
    """
    marks = ("device_mesh", "_is_flat_param", "_fsdp_flattened")
    if any(getattr(parameter, mark, None) for parameter in parameters for mark in marks):
        raise UserError(
            "sharded parameters (FSDP, DTensor) are not supported, for a balancer compares whole gradients: "
            "keep the whole network in every process and pass process_group=True"
        )
