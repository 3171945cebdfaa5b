"""Losses and metrics of segmentation, depth and surface normals, as defined by MTAN and used in later comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from mtrl_conic.supervised.network import Outputs
from mtrl_conic.supervised.problem import Meter, Metric

SEGMENTATION = (Metric("segmentation miou", "segmentation"), Metric("segmentation pixacc", "segmentation"))
DEPTH = (
    Metric("depth abs", "depth", higher_is_better=False),
    Metric("depth rel", "depth", higher_is_better=False),
)
NORMALS = (
    Metric("normal mean", "normal", higher_is_better=False),
    Metric("normal median", "normal", higher_is_better=False),
    *(Metric(f"normal {angle}", "normal") for angle in ("11.25", "22.5", "30")),
)
_IGNORED = -1


def scene_losses(outputs: Outputs, targets: Sequence[Tensor]) -> Tensor:
    """Compute the losses (2,) or (3,) of a batch.

    They are the cross-entropy over labelled pixels, the L1 error over known depth, and 1 - cosine over known normals.
    A loss is 0 if the batch contains no known pixel.
    """
    label, depth = targets[:2]
    entropy = functional.cross_entropy(outputs[0], label, ignore_index=_IGNORED, reduction="sum")
    known = depth != 0
    found = [
        entropy / (label != _IGNORED).sum().clamp_min(1),
        ((outputs[1] - depth).abs() * known).sum() / known.sum().clamp_min(1),
    ]
    if len(targets) > 2:
        normal = targets[2]
        known = normal.abs().sum(1) > 0
        cosine = (unit_vectors(outputs[2], 1) * normal).sum(1)
        found.append(((1 - cosine) * known).sum() / known.sum().clamp_min(1))
    return torch.stack(found)


def unit_vectors(x: Tensor, axis: int) -> Tensor:
    """Divide x by its length along an axis; the result is zero where x is zero.

    On a CPU, torch's `normalize` is forty times slower over an axis that is not the last one.
    """
    return x * x.square().sum(axis, keepdim=True).clamp_min(1e-24).rsqrt()


class SceneMeter(Meter):
    """Accumulates mIoU and pixel accuracy over all pixels of the split, and depth and normal errors per image.

    The mIoU omits classes that neither occur nor are predicted. Depth has an absolute and a relative error. Normals
    have the mean and median angle in degrees, and the fractions within 11.25, 22.5 and 30 degrees. Depth and normal
    metrics are means over the images that have known pixels.

    Args:
        classes: number of classes of the segmentation.
        normals: whether the data set has surface normals.
    """

    def __init__(self, classes: int, *, normals: bool) -> None:
        self._confusion = torch.zeros(classes, classes, dtype=torch.int64)
        self._normals = normals
        self._by_image: dict[str, list[float]] = {}

    def add(self, outputs: Outputs, targets: Sequence[Tensor]) -> None:
        """Add logits (B, C, H, W), depth (B, 1, H, W) and normals (B, 3, H, W), with their targets."""
        logits = outputs[0].cpu().movedim(1, -1).contiguous()  # argmax is slow over an axis that is not the last one
        self._add_labels(logits.argmax(-1), targets[0].cpu())
        for predicted, true in zip(outputs[1].cpu(), targets[1].cpu(), strict=True):
            self._add_depth(predicted, true)
        if self._normals:
            unit = unit_vectors(outputs[2].cpu(), 1)
            for predicted, true in zip(unit, targets[2].cpu(), strict=True):
                self._add_normals(predicted, true)

    def _add_labels(self, predicted: Tensor, true: Tensor) -> None:
        classes = len(self._confusion)
        known = true != _IGNORED
        cells = classes * true[known] + predicted[known]
        self._confusion += torch.bincount(cells, minlength=classes * classes).view(classes, classes)

    def _add_depth(self, predicted: Tensor, true: Tensor) -> None:
        known = true != 0
        if known.any():
            error = (predicted - true)[known].abs()
            self._note("depth abs", error.mean())
            self._note("depth rel", (error / true[known]).mean())

    def _add_normals(self, predicted: Tensor, true: Tensor) -> None:
        known = true.abs().sum(0) > 0
        if known.any():
            cosine = (predicted * unit_vectors(true, 0)).sum(0)[known]
            angle = torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))
            self._note("normal mean", angle.mean())
            self._note("normal median", angle.median())
            for limit in ("11.25", "22.5", "30"):
                self._note(f"normal {limit}", (angle < float(limit)).float().mean())

    def _note(self, name: str, value: Tensor) -> None:
        self._by_image.setdefault(name, []).append(float(value))

    def values(self) -> dict[str, float]:
        """Return a dictionary from metric names to values."""
        hits = self._confusion.diagonal().double()
        union = self._confusion.sum(0) + self._confusion.sum(1) - self._confusion.diagonal()
        found = {
            "segmentation miou": float((hits / union)[union > 0].mean()),
            "segmentation pixacc": float(hits.sum() / self._confusion.sum()),
        }
        names = [metric.name for metric in (*DEPTH, *(NORMALS if self._normals else ()))]
        for name in names:
            by_image = self._by_image.get(name, [])
            found[name] = sum(by_image) / len(by_image) if by_image else float("nan")
        return found
