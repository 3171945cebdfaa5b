"""Running statistics that observations and rewards are scaled by."""
