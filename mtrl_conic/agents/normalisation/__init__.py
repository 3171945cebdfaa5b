"""Running statistics for the normalisation of observations and rewards."""
