"""Balancers on problems in the plane: trajectories and pictures."""
