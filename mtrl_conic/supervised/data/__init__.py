"""Readers of data sets: rows in memory, images from files, and tables in several formats."""
