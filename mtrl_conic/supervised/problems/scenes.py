"""The common part of NYUv2 and CityScapes."""

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
"""Maps a name to the function that builds the network and to the divisor that the sides of the images must have."""


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
    """Segmentation and depth of scenes, and surface normals if the data set has them.

    Args:
        training: reader of the training images.
        test: reader of the test images.
        options: options of the problem.
        workers: number of processes that read images.
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
                f"the images are {self.size[0]}x{self.size[1]}: network={options.network} needs sides that are "
                f"divisible by {multiple}"
            )
        self.training = Files(training, workers=workers, augment=options.augment)
        self.test = Files(test, workers=workers)
        self.validation = None
        self.tasks = ("segmentation", "depth", *(("normal",) if self.normals else ()))
        self.metrics = (*SEGMENTATION, *DEPTH, *(NORMALS if self.normals else ()))

    def network(self, tasks: Sequence[int]) -> TaskNetwork:
        """Create the network that the options name."""
        channels = (self.classes, 1, 3)
        return self._make([channels[task] for task in tasks])

    def losses(self, outputs: Outputs, targets: Sequence[Tensor]) -> Tensor:
        """Compute the losses with `scene_losses`."""
        return scene_losses(outputs, targets)

    def meter(self) -> Meter:
        """Return an empty `SceneMeter`."""
        return SceneMeter(self.classes, normals=self.normals)

    def facts(self) -> list[str]:
        """Return the sentences of every problem, and the size of the images."""
        return [*super().facts(), f"Images: {self.size[0]}x{self.size[1]}."]
