"""Trunks and heads of actors and critics, by name."""
