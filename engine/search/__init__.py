"""Searches for the best model within limits: what became of candidates, which to try next, which one to take."""
