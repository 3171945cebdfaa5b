"""Supervised problems on which balancers are compared."""
