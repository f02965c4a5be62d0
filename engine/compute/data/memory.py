"""How much memory images may take."""

from engine.machine.limits import free_memory

SHARE = 0.5
"""Of the memory that is free, what one data set may take: the rest is for the model and for other trials."""


def budget() -> int:
    """Bytes that decoded images may take now."""
    return int(SHARE * free_memory())
