"""Trunks and heads for the supervised problems."""
