"""One of several processes that train copies of a network: prints what it ended with as one line of JSON."""

from __future__ import annotations

import json
import sys
import weakref

import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from mtrl_conic import balancers
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import backward
from tests.gradients.loop import K, Net, flat_values, rows

STEPS = 3


def batch(step: int, rank: int) -> Tensor:
    return rows(10 * step + rank)


def missing(step: int, rank: int) -> tuple[int, ...]:
    """Tasks that a process's batch lacks: one that both lack, one that only the first does."""
    return {(1, 0): (2, 1), (1, 1): (2,)}.get((step, rank), ())


def train(name: str, rank: int, features: bool, absent: bool, scaled: bool) -> list[float]:
    torch.manual_seed(0)
    net, balancer = Net(), balancers.make(name, K)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", enabled=scaled)
    for step in range(STEPS):
        x = batch(step, rank)
        if scaled and step == 1 and rank == 1:
            x = x * 1e30  # overflows in one process, so that both leave out the step
        h = net.trunk(x)
        gone = missing(step, rank) if absent else ()
        losses = [None if task in gone else loss for task, loss in enumerate(net.losses(x, h))]
        optimizer.zero_grad()
        backward(
            losses,
            balancer,
            shared=net.trunk.parameters(),
            own=net.heads.parameters(),
            features=h if features else None,
            scaler=scaler,
            process_group=True,
        )
        scaler.step(optimizer)
        scaler.update()
    values: list[float] = flat_values(list(net.parameters())).tolist()
    return values


def wrapped(rank: int) -> list[str]:
    """What is said of a network in `DistributedDataParallel`, and its gradients, told apart and averaged."""
    torch.manual_seed(0)
    net = Net()
    trunk = DistributedDataParallel(net.trunk)
    told = []
    for group in (None, True):
        net.zero_grad()
        x = batch(0, rank)
        losses = net.losses(x, trunk(x))
        try:
            backward(losses, balancers.make("mgda", K), shared=trunk.parameters(), process_group=group)
            told.append("done")
        except UserError as error:
            told.append(str(error))
    gradient = next(iter(net.trunk.parameters())).grad
    assert gradient is not None
    return [*told, str(gradient.double().sum().item())]


def main(rank: int, meeting: str) -> None:
    """Train every case, in company."""
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    cases = [
        (name, features, absent, scaled)
        for name in ("mgda", "conicgrad", "uw", "graddrop")
        for features, absent, scaled in (
            (False, False, False),
            (True, False, False),
            (False, True, False),
            (False, False, True),
        )
        if (name, features) != ("graddrop", True)
    ]
    found = {"-".join(map(str, (name, *modes))): train(name, rank, *modes) for name, *modes in cases}
    result = {"trained": found, "wrapped": wrapped(rank)}
    group = weakref.ref(distributed.group.WORLD)
    distributed.destroy_process_group()
    print(json.dumps({**result, "left": group() is not None}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
