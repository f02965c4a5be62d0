"""Counting parameters and MACs, sizes, and the packed format."""
