from __future__ import annotations

import pytest

from mtrl_conic.bench import scaling
from mtrl_conic.cli import main
from mtrl_conic.errors import UserError


def test_every_item_is_measured_at_every_size() -> None:
    found = scaling.run(["mgda", "moco"], tasks=(2, 3), sizes=(1, 2), batch_size=8, rounds=2)
    items = [
        "plain mean",
        "single tasks",
        "mgda, representation",
        "mgda, parameters",
        "mgda, torchjd",
        "moco, parameters",
    ]
    assert list(found.seconds) == [(tasks, size, item) for tasks in (2, 3) for size in (1, 2) for item in items]
    assert all(len(rounds) == 2 and min(rounds) > 0 for rounds in found.seconds.values())
    assert found.ratio((2, 1, "plain mean")) == 1
    assert min(found.memory.values()) > 0
    assert "use --gradients parameters" in found.table()


def test_torchjd_takes_the_same_step() -> None:
    """What is timed beside ours gives the same gradients."""
    notes: list[str] = []
    import torch
    from torch import Tensor

    from mtrl_conic import balancers
    from mtrl_conic.supervised.network import Outputs

    torch.manual_seed(0)
    net, inputs = scaling._mlp(3, 1), torch.randn(8, 256)

    def losses(outputs: Outputs) -> Tensor:
        assert isinstance(outputs, Tensor)
        return (outputs - torch.arange(3.0)[:, None]).square().mean(1)

    found = []
    for step in (
        scaling._balanced(net, losses, inputs, balancers.make("imtl_g", 3), "parameters"),
        scaling._torchjd(net, losses, inputs, "IMTLG", notes),
    ):
        if step is None:
            pytest.skip(notes[0])
        step()
        found.append({name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None})
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-3, atol=1e-6, msg=name)


def test_wrong_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="at least 1"):
        scaling.run(["ls"], tasks=(0,))
    assert main(["bench", "scaling", "--network", "vgg"]) == 2
    assert "known are mlp, celeba" in capsys.readouterr().err
    assert main(["bench", "scaling", "--ways", "parameter"]) == 2
    assert "did you mean 'parameters'?" in capsys.readouterr().err
    assert main(["bench", "scaling", "--tasks", "2;3"]) == 2
    assert "whole numbers" in capsys.readouterr().err
