"""Structured pruning: which channels go together, what they matter, what they cost, and how they are removed."""
