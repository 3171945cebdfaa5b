"""What may be said of how an update is carried out."""

from __future__ import annotations

COMPILED_AFTER = 20_000
"""Updates after which `compile: auto` compiles: about as many as must still follow until it has paid."""
