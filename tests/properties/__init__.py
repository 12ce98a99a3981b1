"""Contracts and dirty files that nobody would think of, held against a slow and obvious reference."""
