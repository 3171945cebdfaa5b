"""Random numbers that networks draw from torch's own generators, such as those of dropout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(device: torch.device, seed: int, part: int) -> Iterator[int]:
    """Seed torch's generators for one part of a training, such as an epoch or an update.

    The part then depends on the seed alone, so that it is the same in a resumed run. The generators are restored when
    the block ends.

    Yields:
        A further seed, for example for the order of rows.
    """
    drawn = np.random.SeedSequence((seed, part)).generate_state(2, np.uint32).tolist()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(drawn[0])
        yield drawn[1]
