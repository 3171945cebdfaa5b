"""Runs on supervised problems as a report: metrics over seeds, trade-offs of an option."""
