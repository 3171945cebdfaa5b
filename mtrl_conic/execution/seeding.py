"""Random numbers that networks draw from torch's own generators, such as those of dropout."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


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


def restore(generator: torch.Generator, state: Tensor) -> None:
    """Continue a generator from the saved state of one on any device.

    The generators of a CPU and a GPU are different. A state of the other kind gives the seed of another stream, which
    depends on the whole state, so that no numbers are drawn twice.
    """
    if state.shape == generator.get_state().shape:
        generator.set_state(state.cpu())
    else:
        generator.manual_seed(int.from_bytes(hashlib.sha256(state.cpu().numpy().tobytes()).digest()[:7], "big"))
