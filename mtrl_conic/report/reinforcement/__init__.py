"""Runs of agents as a report: success and returns, conflict, cost."""
