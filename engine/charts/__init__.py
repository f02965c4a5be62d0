"""Figures drawn from studies' states."""
