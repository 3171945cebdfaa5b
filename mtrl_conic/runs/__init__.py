"""Runs: their directories, configuration, plan, pools of processes, and status."""
