"""Write the vectors of Meta-World's task names that the network `care` takes as `metadata=names`.

    scripts/task_name_vectors.py [FILE]

The vector of a name is the sum of the vectors of its words, weighted by log(50 / number of names with the word) and
scaled to unit length, so names that share rare words are close together. The vector of a word consists of 50 signs, the
first bits of its SHA-256 (a random projection that is the same on every machine).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mtrl_conic.envs.names import MT50
from mtrl_conic.networks.metadata import NAMES

SIZE = 50


def signs(word: str) -> list[int]:
    """Return the vector of a word: `SIZE` numbers that are 1 or -1."""
    bits = int.from_bytes(hashlib.sha256(word.encode()).digest(), "big")
    return [1 if bits >> (255 - place) & 1 else -1 for place in range(SIZE)]


def words(name: str) -> list[str]:
    """Return the words of a task's name, without its version."""
    return name.split("-")[:-1]


def name_vectors(names: Sequence[str]) -> dict[str, list[float]]:
    """Return the vector of each name, of unit length, rounded to four digits."""
    having = Counter(word for name in names for word in set(words(name)))
    vectors = {}
    for name in names:
        weighted = [(math.log(len(names) / having[word]), signs(word)) for word in words(name)]
        total = [sum(weight * vector[place] for weight, vector in weighted) for place in range(SIZE)]
        length = math.sqrt(sum(x * x for x in total))
        vectors[name] = [round(x / length, 4) for x in total]
    return vectors


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=NAMES)
    file = parser.parse_args().file
    lines = [f"  {json.dumps(name)}: {json.dumps(vector)}" for name, vector in name_vectors(MT50).items()]
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
