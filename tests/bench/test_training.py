"""Tests that the benchmarks of updates and training steps run and print what they measured."""

from __future__ import annotations

import re

import pytest
import torch

from mtrl_conic.bench import train, update
from mtrl_conic.bench.products import MatrixProducts
from mtrl_conic.cli import main


def test_update() -> None:
    bench = update.run(["pcgrad"], rounds=2, base="strong", width=8, batch_size=2)
    assert list(bench.rounds) == ["ls", "pcgrad", update.PRODUCTS, update.PLAIN]
    assert all(len(rounds) == 2 and min(rounds) > 0 for rounds in bench.rounds.values())
    assert bench.ratio("ls", "ls") == 1
    assert "strong base, shared network, 2 rows per task, critics 2x8" in bench.table()


def test_train(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "train", "--rounds", "1", "--width", "8", "--batch-size", "2", "--balancers", "gradops"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [re.split(r"\s{2,}", line)[0] for line in lines[2:]]
    assert names == ["ours, gradops", "ours, gradops, stepping beside", train.UNBALANCED, train.PLAIN]
    assert lines[-1].endswith(" 1.00"), "the plain way against itself"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--rounds", "0"], "rounds=0"),
        (["train", "--balancers", "pcgard"], "did you mean 'pcgrad'"),
        (["update", "--width", "0"], "width=0"),
        (["trian"], "did you mean 'train'"),
    ],
)
def test_wrong_arguments_in_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_matrix_products_of_a_step() -> None:
    layer, rows = torch.nn.Linear(3, 5), torch.randn(7, 3, requires_grad=True)
    with MatrixProducts() as products:
        layer(rows).sum().backward()
    assert products.multiplications == 3 * (7 * 3 * 5)  # forward, and the gradients of inputs and weights
    with MatrixProducts() as repeated:
        products.again()()
    assert repeated.multiplications == products.multiplications
