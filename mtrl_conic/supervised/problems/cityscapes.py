"""CityScapes as prepared by MTAN's authors: segmentation and depth of street scenes."""

from __future__ import annotations

from pathlib import Path

from mtrl_conic.supervised.data.scenes import MTANFolder
from mtrl_conic.supervised.problem import Options, Settings
from mtrl_conic.supervised.problems.scenes import SceneOptions, Scenes


class CityScapes(Scenes):
    """Seven classes and inverse depth at 128x256; 2975 training and 500 test images."""

    name = "cityscapes"
    classes = 7
    normals = False
    settings = Settings(epochs=200, batch_size=8, learning_rate=1e-4, halve_every=100, selection="mean_of_last_10")
    source = (
        "CityScapes as prepared by MTAN's authors: 7 classes, inverse depth. There is no validation split; the test "
        "split is their val."
    )

    @classmethod
    def load(cls, data: Path, options: Options, *, seed: int, workers: int) -> CityScapes:
        """Read MTAN's layout in the folder `data`; labels are in `label_7`, as distributed, or in `label`."""
        assert isinstance(options, SceneOptions)
        label = "label_7" if (data / "train" / "label_7").is_dir() else "label"
        training, test = (
            MTANFolder(data / split, classes=cls.classes, label=label, normals=False) for split in ("train", "val")
        )
        return cls(training, test, options, workers=workers)
