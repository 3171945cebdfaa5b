"""Random numbers that networks draw from torch's own generator, such as those of dropout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def drawing_from(seed: int, update: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators for one update, and restore them after it.

    An update then depends on the agent's seed and on the number of updates before it alone, so that it is the same in a
    run that was resumed.
    """
    drawn = int(np.random.SeedSequence((seed, update)).generate_state(1, np.uint64)[0] >> 1)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(drawn)
        yield
