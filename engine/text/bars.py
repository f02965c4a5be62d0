"""Small drawings in a line of text: how far something is, and the curve of a few numbers."""

from collections.abc import Sequence

PARTS = " ▏▎▍▌▋▊▉█"
"""A cell filled from the left, in eighths."""
LEVELS = "▁▂▃▄▅▆▇█"
"""A cell filled from below, in eighths."""


def bar(share: float, cells: int, whole: float = 1.0) -> str:
    """A bar of so many cells, to an eighth of a cell; what is left of it is dotted, up to the share `whole`.

    >>> bar(0.5, 4), bar(0.4, 4), bar(1.2, 3), bar(0.25, 4, 0.75)
    ('██··', '█▋··', '███', '█··')
    """
    eighths = round(max(0.0, min(share, 1.0)) * cells * 8)
    full, part = divmod(eighths, 8)
    text = "█" * full + (PARTS[part] if part else "")
    return text + "·" * max(round(min(whole, 1.0) * cells) - len(text), 0)


def sparkline(values: Sequence[float], cells: int) -> str:
    """The curve of the numbers in at most so many cells, the least at the bottom; several share a cell's mean.

    >>> sparkline([0, 0.5, 1], 8), sparkline([0.9, 0.9], 8), sparkline([], 8)
    ('▁▅█', '▅▅', '')
    """
    count = min(cells, len(values))
    means = [
        sum(part) / len(part)
        for i in range(count)
        if (part := values[i * len(values) // count : (i + 1) * len(values) // count])
    ]
    low, high = min(means, default=0.0), max(means, default=0.0)
    top = len(LEVELS) - 1
    return "".join(
        LEVELS[round((value - low) / (high - low) * top) if high > low else top // 2 + 1] for value in means
    )
