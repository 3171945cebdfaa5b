"""Comparisons: many runs from one description, and what has become of them."""
