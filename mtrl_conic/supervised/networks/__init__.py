"""Trunks and heads of the supervised problems."""
