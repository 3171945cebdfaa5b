"""Post-click recommendation on KuaiRand, a public substitute for industrial data sets that were not released."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from mtrl_conic.errors import UserError
from mtrl_conic.reading import open_regular
from mtrl_conic.supervised.data.history import rates, sums_before
from mtrl_conic.supervised.data.rows import Rows
from mtrl_conic.supervised.data.tables import reading, standardised
from mtrl_conic.supervised.metrics import AUCs
from mtrl_conic.supervised.network import Outputs, TaskNetwork
from mtrl_conic.supervised.networks.mlp import mlp
from mtrl_conic.supervised.problem import Meter, Metric, Options, Problem, Settings
from mtrl_conic.supervised.problems.census import binary_losses

TARGETS = {"long_view": "long_view", "profile": "is_profile_enter", "like": "is_like"}
_KEPT_BY = ("user_id", "video_id", "author_id")
"""The keys for which features are computed from earlier rows."""
_IDS = (*_KEPT_BY, "tab", "tag")
_STRENGTH = 10.0
"""Number of additional trials that smooth a rate; a user has four clicked rows on average."""
_BY_ROW = ("date", "hourmin", "is_click", "duration_ms", *_IDS, *TARGETS.values())
_SHARES = (0.8, 0.9)
"""Cuts of the rows in order of time: training ends at the first, validation at the second, the rest is the test."""


class RecommendationOptions(Options):
    """Options of `recommendation`."""

    embedding: int = Field(8, ge=1, description="dimension of the embedding vectors of categories")
    hidden: list[int] = Field([1024, 512, 256, 128], min_length=1, description="number of units of the shared layers")
    least: int = Field(5, ge=1, description="number of training rows below which a category counts as unknown")


class Recommendation(Problem):
    """Three tasks on what a user does after clicking a video: view it long, visit its author, like it."""

    name = "recommendation"
    options_model = RecommendationOptions
    settings = Settings(epochs=5, batch_size=1024, learning_rate=1e-3, selection="best_validation")
    source = (
        "KuaiRand-Pure, clicked impressions without duplicates, split by time 80:10:10. Features are known at the time "
        "of the click: user, video, author, tab, tag, hour, weekday, the user's categories, the video's length, and, "
        "for user, video and author, the numbers of impressions and clicks in earlier hours and the rates of their "
        "outcomes. Categories are indexed on the training rows. Published numbers are not comparable: they are from "
        "another data set."
    )
    tasks = tuple(TARGETS)
    metrics = tuple(Metric(f"{task} auc", task) for task in tasks)

    def __init__(
        self, splits: Sequence[Rows], numbers: int, sizes: Sequence[int], options: RecommendationOptions
    ) -> None:
        self.training, self.validation, self.test = splits
        self._numbers, self._sizes, self._options = numbers, sizes, options

    @classmethod
    def load(cls, data: Path, options: Options, *, seed: int, workers: int) -> Recommendation:
        """Read a NumPy archive of columns: the file `data`, or the only `*.npz` file in that folder."""
        assert isinstance(options, RecommendationOptions)
        columns = _without_duplicates(_read(_file(data)))
        parts = _parts(columns)
        if min(map(len, parts)) == 0:
            raise UserError(f"{data}: too few distinct times for a split into training, validation and test")
        categories = _categories(columns)
        indexed = [_indexed(column, parts, options.least) for column in categories]
        features = np.concatenate([np.log1p(columns["duration_ms"])[:, None], _history(columns, parts[0])], 1)
        numbers = standardised(*(features[part] for part in parts))
        labels = np.stack([columns[name] for name in TARGETS.values()], 1).astype(np.float32)
        splits = [
            Rows(
                (torch.from_numpy(numbers[i]), torch.from_numpy(np.stack([codes[i] for codes, _ in indexed], 1))),
                (torch.from_numpy(labels[part]),),
            )
            for i, part in enumerate(parts)
        ]
        return cls(splits, features.shape[1], [size for _, size in indexed], options)

    def network(self, tasks: Sequence[int]) -> TaskNetwork:
        """Create shared embeddings, a shared feed-forward trunk, and linear heads."""
        options = self._options
        return mlp(self._numbers, self._sizes, options.hidden, len(tasks), embedding=options.embedding)

    def losses(self, outputs: Outputs, targets: Sequence[Tensor]) -> Tensor:
        """Return the binary cross-entropy of each task."""
        return binary_losses(outputs, targets)

    def meter(self) -> Meter:
        """AUC."""
        return AUCs(self.tasks)


def _file(data: Path) -> Path:
    if data.is_file():
        return data
    found = sorted(data.glob("*.npz"))
    if len(found) != 1:
        raise UserError(f"{data} contains {len(found)} .npz files; give the path of the one to read")
    return found[0]


def _read(file: Path) -> dict[str, NDArray[Any]]:
    with reading(file), open_regular(file) as opened, np.load(opened, allow_pickle=False) as archive:
        columns = {name: archive[name] for name in archive.files}
    for name in (*_BY_ROW, "user_ids", "user_cat"):
        if name not in columns:
            raise UserError(f"{file} has no column {name!r}")
    rows = len(columns["user_id"])
    for name in _BY_ROW:
        if columns[name].shape != (rows,):
            raise UserError(f"{file}: column {name!r} has shape {columns[name].shape}, not ({rows},)")
    for name in ("is_click", *TARGETS.values()):
        strange = set(np.unique(columns[name]).tolist()) - {0, 1}
        if strange:
            raise UserError(f"{file}: column {name!r} contains {sorted(strange)[0]}; its values must be 0 or 1")
    if not np.isin(columns["user_id"], columns["user_ids"]).all():
        raise UserError(f"{file}: 'user_id' contains users that are missing from 'user_ids'")
    if columns["user_cat"].ndim != 2 or len(columns["user_cat"]) != len(columns["user_ids"]):
        raise UserError(f"{file}: 'user_cat' has shape {columns['user_cat'].shape}, but needs one row per user")
    return columns


def _without_duplicates(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Keep the first row of each (user, video, time). Columns with one entry per user are left unchanged."""
    keys = np.stack([columns[name] for name in ("user_id", "video_id", "date", "hourmin")], 1)
    first = np.sort(np.unique(keys, axis=0, return_index=True)[1])
    return {**columns, **{name: columns[name][first] for name in _BY_ROW}}


def _times(columns: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Return the time of each row as an integer; later times have larger values."""
    return np.asarray(columns["date"].astype(np.int64) * 10_000 + columns["hourmin"])


def _parts(columns: dict[str, NDArray[Any]]) -> list[NDArray[np.int64]]:
    """Split the clicked rows by time into training, validation and test. Rows of equal time stay together."""
    time = _times(columns)
    rows = np.flatnonzero(columns["is_click"])
    rows = rows[np.argsort(time[rows], kind="stable")]
    cuts = np.searchsorted(time[rows], [time[rows[int(share * len(rows))]] for share in _SHARES])
    return np.split(rows, cuts)


def _history(columns: dict[str, NDArray[Any]], training: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute features (rows, 18) of user, video and author from earlier rows.

    For each of them these are the numbers of impressions and clicks, the click rate and the rates of the outcomes.
    The rates are smoothed towards those of the training rows.
    """
    time = _times(columns)
    outcomes = np.stack([columns[name] for name in ("is_click", *TARGETS.values())], 1)
    outcomes[:, 1:] *= outcomes[:, :1]  # outcomes count on clicked rows only, as the targets do
    shown = np.ones(len(time))
    clicks = outcomes[time <= time[training[-1]], 0].mean()
    prior = np.r_[clicks, outcomes[training, 1:].mean(0)]
    made = []
    for key in _KEPT_BY:
        before = sums_before(columns[key], time, np.column_stack([shown, outcomes]))
        made += [np.log1p(before[:, :2]), rates(before[:, 1:2], before[:, :1], prior[:1], strength=_STRENGTH)]
        made.append(rates(before[:, 2:], before[:, 1:2], prior[1:], strength=_STRENGTH))
    return np.concatenate(made, 1)


def _categories(columns: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    days = np.array([f"{d // 10000}-{d // 100 % 100:02d}-{d % 100:02d}" for d in np.unique(columns["date"])], "M8[D]")
    weekday = days.astype(np.int64)[np.searchsorted(np.unique(columns["date"]), columns["date"])] % 7
    order = np.argsort(columns["user_ids"])
    users = columns["user_cat"][order][np.searchsorted(columns["user_ids"][order], columns["user_id"])]
    return [*(columns[name] for name in _IDS), columns["hourmin"] // 100, weekday, *users.T]


def _indexed(
    column: NDArray[Any], parts: Sequence[NDArray[np.int64]], least: int
) -> tuple[list[NDArray[np.int64]], int]:
    """Return the codes of each part, and the number of codes. Code 0 is a value that is rare in the first part."""
    values, counts = np.unique(column[parts[0]], return_counts=True)
    known = values[counts >= least]
    if not len(known):
        return [np.zeros(len(part), dtype=np.int64) for part in parts], 1
    codes = []
    for part in parts:
        found = np.searchsorted(known, column[part]).clip(max=len(known) - 1)
        codes.append(np.where(known[found] == column[part], found + 1, 0).astype(np.int64))
    return codes, len(known) + 1
