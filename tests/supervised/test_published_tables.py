"""delta-m as the papers print it: their rows, which print their metrics rounded, give their numbers."""

from __future__ import annotations

import numpy as np
import pytest

from mtrl_conic.supervised.measures import delta_m
from mtrl_conic.supervised.problem import Metric
from mtrl_conic.supervised.scene_metrics import DEPTH, NORMALS, SEGMENTATION

# Single tasks first; segmentation and angles' shares in per cent, then depth and angles: as in Liu et al., FAMO, 2023.
NYUV2 = """
stl 38.30 63.76 0.6754 0.2780 25.01 19.21 30.14 57.20 69.15 0.00
LS 39.29 65.33 0.5493 0.2263 28.15 23.96 22.09 47.50 61.08 5.59
SI 38.45 64.27 0.5354 0.2201 27.60 23.37 22.53 48.57 62.32 4.39
RLW 37.17 63.77 0.5759 0.2410 28.27 24.18 22.26 47.05 60.62 7.78
DWA 39.11 65.31 0.5510 0.2285 27.61 23.18 24.17 50.18 62.39 3.57
UW 36.87 63.17 0.5446 0.2260 27.04 22.61 23.54 49.05 63.65 4.05
MGDA 30.47 59.90 0.6070 0.2555 24.88 19.45 29.18 56.88 69.36 1.38
PCGrad 38.06 64.64 0.5550 0.2325 27.41 22.80 23.86 49.83 63.14 3.97
GradDrop 39.39 65.12 0.5455 0.2279 27.48 22.96 23.38 49.44 62.87 3.58
CAGrad 39.79 65.49 0.5486 0.2250 26.31 21.58 25.61 52.36 65.58 0.20
MoCo 40.30 66.07 0.5575 0.2135 26.67 21.83 25.61 51.78 64.85 0.16
Nash-MTL 40.13 65.93 0.5261 0.2171 25.26 20.08 28.40 55.47 68.15 -4.04
FAMO 38.88 64.90 0.5474 0.2194 25.06 19.57 29.21 56.61 68.98 -4.10
SDMGrad 40.47 65.90 0.5225 0.2084 25.07 19.99 28.54 55.74 68.53 -4.84
FairGrad 39.74 66.01 0.5377 0.2236 24.84 19.60 29.26 56.58 69.16 -4.66
STCH 41.35 66.07 0.4965 0.2010 26.55 21.81 24.84 51.39 64.86 -1.35
"""
CITYSCAPES = """
stl 74.01 93.16 0.0125 27.77 0.00
LS 75.18 93.49 0.0155 46.77 22.60
SI 70.95 91.73 0.0161 33.83 14.11
RLW 74.57 93.41 0.0158 47.79 24.38
DWA 75.24 93.52 0.0160 44.37 21.45
UW 72.02 92.85 0.0140 30.13 5.89
MGDA 68.84 91.54 0.0309 33.50 44.14
PCGrad 75.13 93.48 0.0154 42.07 18.29
GradDrop 75.27 93.53 0.0157 47.54 23.73
CAGrad 75.16 93.48 0.0141 37.60 11.64
IMTL-G 75.33 93.49 0.0135 38.41 11.10
Nash-MTL 75.41 93.66 0.0129 35.02 6.82
FAMO 74.54 93.29 0.0145 32.59 8.13
MoCo 75.42 93.55 0.0149 34.19 9.90
SDMGrad 74.53 93.52 0.0137 34.01 7.74
FairGrad 75.72 93.68 0.0134 32.25 5.18
Aligned-MTL 75.77 93.69 0.0133 32.66 5.27
"""


def table(text: str) -> dict[str, list[str]]:
    return {name: values for name, *values in (line.split() for line in text.strip().splitlines())}


def half_a_digit(printed: str) -> float:
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def rows() -> list[tuple[str, tuple[Metric, ...], list[str], list[str]]]:
    metrics = {"nyuv2": (NYUV2, (*SEGMENTATION, *DEPTH, *NORMALS)), "cityscapes": (CITYSCAPES, (*SEGMENTATION, *DEPTH))}
    found = []
    for name, (text, of) in metrics.items():
        methods = table(text)
        base = methods.pop("stl")
        found += [(f"{name}: {method}", of, row, base) for method, row in methods.items()]
    return found


ROWS = rows()


@pytest.mark.parametrize(("metrics", "row", "base"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_delta_m_is_the_printed_one(metrics: tuple[Metric, ...], row: list[str], base: list[str]) -> None:
    """As exactly as the printed digits of the metrics allow, and no looser."""
    values, single = (np.array(given[:-1], np.float64) for given in (row, base))
    rounding = np.array([half_a_digit(printed) for printed in row[:-1]])
    # Of M / B, where both are rounded.
    slack = (rounding + values / single * rounding) / single
    found, printed = float(delta_m(metrics, values, single)), float(row[-1])
    assert abs(found - printed) <= 100 * slack.mean() + half_a_digit(row[-1])


def test_there_are_as_many_as_are_printed() -> None:
    assert len(ROWS) == 31


def test_so_many_agree_in_every_printed_digit() -> None:
    """The metrics are printed rounded, so more can only be said within that rounding."""
    equal = {name.partition(":")[0]: 0 for name, *_ in ROWS}
    for name, metrics, row, base in ROWS:
        values, single = (np.array(given[:-1], np.float64) for given in (row, base))
        equal[name.partition(":")[0]] += f"{float(delta_m(metrics, values, single)):.2f}" == row[-1]
    assert equal == {"nyuv2": 10, "cityscapes": 3}
