"""Gram matrices, and small convex problems in the weights of K tasks: on the simplex, in the cone, for powers."""
