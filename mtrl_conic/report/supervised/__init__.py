"""Reports on supervised runs: metrics over seeds, and trade-offs between options."""
