"""From a configuration to a result: replay, loop, run directory, checkpoints."""
