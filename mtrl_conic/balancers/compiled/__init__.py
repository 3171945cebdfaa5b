"""Compiled loops, each loaded where it is first used: numba alone takes half a second."""
