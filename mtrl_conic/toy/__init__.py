"""Balancers on two-dimensional toy problems: trajectories and figures."""
