"""Meta-World: its own environments, and the exact fast stepping of them."""
