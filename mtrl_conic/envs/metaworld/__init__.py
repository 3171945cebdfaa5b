"""Meta-World: its own environments, and fast stepping that reproduces them exactly."""
