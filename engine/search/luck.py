"""What a loss of accuracy on few images may owe to luck."""

import math
from typing import Any


def standard_error(agreement: Any, images: int) -> float | None:
    """Of the difference of two networks' accuracies (0 … 1) on so many images; None where too little is known.

    They differ only by images on which just one of the two is right, at most those on which they disagree: a share d of
    n images has a standard error of √(d/n) (McNemar 1947).

    >>> f"{standard_error(0.96, 10_000):.3f}"
    '0.002'
    """
    if not isinstance(agreement, float) or images < 1:
        return None
    return math.sqrt(max(1.0 - agreement, 1.0 / images) / images)
