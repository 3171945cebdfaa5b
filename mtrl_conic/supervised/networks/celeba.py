"""The convolutional network of the CelebA comparisons (Liu et al., FAMO, NeurIPS 2023, their code)."""

from __future__ import annotations

from torch import nn

from mtrl_conic.gradients import TaskLinear
from mtrl_conic.supervised.network import BatchedHeads, TaskNetwork

_STAGES = ((64,), (128, 128), (256, 256), (512, 512))


def nine_layers(num_tasks: int) -> TaskNetwork:
    """Build the nine-layer network: seven 3x3 convolutions in four stages, two linear layers of 512, and linear heads.

    Every layer of the trunk is batch-normalised. Images are (B, 3, H, W). Each stage except the last halves H and W;
    the last one ends with average pooling over the whole image.
    """
    layers: list[nn.Module] = []
    inputs = 3
    for number, stage in enumerate(_STAGES):
        for outputs in stage:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)]
            inputs = outputs
        layers.append(nn.MaxPool2d(2) if number + 1 < len(_STAGES) else nn.AdaptiveAvgPool2d(1))
    layers.append(nn.Flatten())
    for _ in range(2):
        layers += [nn.Linear(inputs, inputs, bias=False), nn.BatchNorm1d(inputs), nn.ReLU(True)]
    return TaskNetwork(nn.Sequential(*layers), BatchedHeads(TaskLinear(num_tasks, inputs, 1)), num_tasks)
