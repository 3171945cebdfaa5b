"""Benchmarks of the package and of plain implementations in one run."""
