"""What NYUv2 and CityScapes have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from mtrl_conic.errors import UserError
from mtrl_conic.supervised.data.files import Files, Reader
from mtrl_conic.supervised.data.scenes import Kept, stacked_shape
from mtrl_conic.supervised.network import Outputs, TaskNetwork
from mtrl_conic.supervised.networks.segnet import mtan, segnet
from mtrl_conic.supervised.networks.small import small
from mtrl_conic.supervised.problem import Meter, Options, Problem
from mtrl_conic.supervised.scene_metrics import DEPTH, NORMALS, SEGMENTATION, SceneMeter, scene_losses

NETWORKS: dict[str, tuple[Callable[[Sequence[int]], TaskNetwork], int]] = {
    "mtan": (mtan, 32),
    "segnet": (segnet, 32),
    "small": (small, 16),
}
"""Name -> maker, and what the image's sides must be divisible by."""


class SceneOptions(Options):
    """Options of the problems on scenes."""

    network: Literal["mtan", "segnet", "small"] = Field(
        "mtan",
        description=(
            "mtan: SegNet with attention per task, as published; segnet: SegNet alone; small: a small network for "
            "training on a CPU"
        ),
    )
    augment: bool = Field(
        True, description="augment with random crops and mirror images, as in the published comparisons"
    )
    shrink: int = Field(
        1,
        ge=1,
        description=(
            "factor by which the sides of the images are divided, for training on a CPU; above 1 the images are kept "
            "in memory"
        ),
    )


class Scenes(Problem):
    """Segmentation and depth, and normals where there are any.

    Args:
        training: reads training images.
        test: reads test images.
        options: options of the problem.
        workers: processes that read.
    """

    options_model = SceneOptions
    classes: ClassVar[int]
    normals: ClassVar[bool]

    def __init__(self, training: Reader, test: Reader, options: SceneOptions, *, workers: int) -> None:
        self._make, multiple = NETWORKS[options.network]
        if options.shrink > 1:
            training, test = (Kept(reader, options.shrink) for reader in (training, test))
        self.size = stacked_shape([training, test])
        if any(side % multiple for side in self.size):
            raise UserError(
                f"images of {self.size[0]}x{self.size[1]}: the sides must be divisible by {multiple} for "
                f"network={options.network}"
            )
        self.training = Files(training, workers=workers, augment=options.augment)
        self.test = Files(test, workers=workers)
        self.validation = None
        self.tasks = ("segmentation", "depth", *(("normal",) if self.normals else ()))
        self.metrics = (*SEGMENTATION, *DEPTH, *(NORMALS if self.normals else ()))

    def network(self, tasks: Sequence[int]) -> TaskNetwork:
        """The one that the options name."""
        channels = (self.classes, 1, 3)
        return self._make([channels[task] for task in tasks])

    def losses(self, outputs: Outputs, targets: Sequence[Tensor]) -> Tensor:
        """See `scene_losses`."""
        return scene_losses(outputs, targets)

    def meter(self) -> Meter:
        """See `SceneMeter`."""
        return SceneMeter(self.classes, normals=self.normals)

    def facts(self) -> list[str]:
        """With the images' size."""
        return [*super().facts(), f"Images: {self.size[0]}x{self.size[1]}."]
