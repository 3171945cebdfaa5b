"""Copies of a network in several processes stay copies, and learn what one process would from all rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn

from mtrl_conic import balancers
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import backward
from tests.gradients.loop import K, Net, flat_values
from tests.gradients.process_program import STEPS, batch, missing

pytestmark = pytest.mark.skipif(not distributed.is_gloo_available(), reason="torch without gloo")


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    meeting = tmp_path_factory.mktemp("gloo") / "meeting"
    command = [sys.executable, "-m", "tests.gradients.process_program"]
    root = Path(__file__).parents[2]
    started = [
        subprocess.Popen([*command, str(rank), str(meeting)], cwd=root, stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    return [json.loads(output.splitlines()[-1]) for output in outputs]


def test_replicas_are_equal_to_the_last_bit(processes: list[dict[str, Any]]) -> None:
    first, second = processes
    assert len(first["trained"]) >= 15
    assert first["trained"] == second["trained"]
    assert all(torch.tensor(values).isfinite().all() for values in first["trained"].values())


def test_nothing_keeps_the_process_group(processes: list[dict[str, Any]]) -> None:
    """A group that outlives `destroy_process_group` aborts some of the processes that end with it."""
    assert not any(process["left"] for process in processes)


def both_losses(net: Net, step: int, absent: bool) -> list[torch.Tensor | None]:
    """Of each task its mean loss over the processes that have it."""
    parts: list[list[torch.Tensor]] = [[] for _ in range(K)]
    for rank in range(2):
        for task, loss in enumerate(net.losses(batch(step, rank))):
            if not absent or task not in missing(step, rank):
                parts[task].append(loss)
    return [torch.stack(part).mean() if part else None for part in parts]


MODES = ("plain", "features", "absent", "scaled")
NAMES = ("mgda", "conicgrad", "uw", "graddrop")


@pytest.mark.parametrize(("name", "mode"), [(n, m) for n in NAMES for m in MODES if (n, m) != ("graddrop", "features")])
def test_as_one_process_with_all_rows(name: str, mode: str, processes: list[dict[str, Any]]) -> None:
    torch.manual_seed(0)
    net, balancer = Net(), balancers.make(name, K)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for step in range(STEPS):
        if mode == "scaled" and step == 1:
            continue  # it overflowed in one of the processes
        optimizer.zero_grad()
        shared, own = net.trunk.parameters(), net.heads.parameters()
        if mode == "features":
            h = net.trunk(torch.cat([batch(step, 0), batch(step, 1)]))
            losses: list[torch.Tensor | None] = list(net.losses(torch.cat([batch(step, 0), batch(step, 1)]), h))
            backward(losses, balancer, shared=shared, own=own, features=h)
        else:
            backward(both_losses(net, step, mode == "absent"), balancer, shared=shared, own=own)
        optimizer.step()
    key = "-".join(map(str, (name, mode == "features", mode == "absent", mode == "scaled")))
    found = torch.tensor(processes[0]["trained"][key])
    torch.testing.assert_close(found, flat_values(list(net.parameters())), rtol=1e-3, atol=1e-4)


def test_a_network_in_distributed_data_parallel(processes: list[dict[str, Any]]) -> None:
    """Its hooks see nothing of these gradients: said in one line, instead of replicas that drift apart."""
    for told, done, _ in (process["wrapped"] for process in processes):
        assert told.startswith("several processes are training: pass process_group=True")
        assert done == "done"
    assert processes[0]["wrapped"][2] == processes[1]["wrapped"][2]


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_a_group_of_one_changes_nothing() -> None:
    found = []
    for group in (None, True, False):
        torch.manual_seed(0)
        net = Net()
        backward(net.losses(batch(0, 0)), balancers.make("mgda", K), shared=net.trunk.parameters(), process_group=group)
        found.append([p.grad for p in net.trunk.parameters()])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=0)


@pytest.mark.usefixtures("one_process")
def test_gradients_of_all_rows_are_in_no_process() -> None:
    net = Net()
    h = net.trunk(batch(0, 0))
    with pytest.raises(UserError, match="each process has its own"):
        backward(
            net.losses(batch(0, 0), h),
            balancers.make("graddrop", K),
            shared=net.trunk.parameters(),
            features=h,
            process_group=True,
        )


@pytest.mark.usefixtures("one_process")
@pytest.mark.filterwarnings("ignore:FSDP is switching:UserWarning")
def test_sharded_parameters_are_refused() -> None:
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    mesh = distributed.init_device_mesh("cpu", (1,))
    new = fully_shard(nn.Sequential(fully_shard(nn.Linear(4, 4), mesh=mesh)), mesh=mesh)
    old = FullyShardedDataParallel(nn.Linear(4, 4), device_id=torch.device("cpu"))
    for layer in (new, old):
        h = layer(torch.ones(2, 4))
        with pytest.raises(UserError, match=r"sharded parameters \(FSDP, DTensor\) are not supported"):
            backward([h.sum(), h.square().sum()], balancers.make("mgda", 2), shared=layer.parameters())
