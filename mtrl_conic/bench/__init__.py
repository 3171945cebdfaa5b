"""Benchmarks: ours beside the plain way, in one run."""
