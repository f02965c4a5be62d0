"""Numbers as people read them: one way to write every measure, used by every view.

What rounds to zero is written without a minus (`z` in formats), and what is not all or nothing not as 100 % or 0 %.

Prefixes are decimal for bytes too (1 kB = 1000 B): a row shows parameters, MACs and bytes side by
side, and with one kind of prefix 1.08 M parameters of 4 bytes can be seen to be 4.32 MB.
"""

import math
from typing import TypeGuard

MISSING = "–"
"""What stands for a value that is absent or not finite."""
LONGEST = 1e12
"""Seconds beyond which days say no more than the number itself."""
ROUNDED = 1e-9
"""Difference of fractions that sums of floats may make."""
PREFIXES = ("", "k", "M", "G", "T", "P", "E")


def percent(fraction: float | None, decimals: int = 2) -> str:
    """A fraction in 0..1 as a percentage, with more decimals where fewer would say all or nothing.

    >>> percent(0.9137), percent(0.9996, 1), percent(1.0, 1), percent(0.0004, 0)
    ('91.37 %', '99.96 %', '100.0 %', '0.04 %')
    """
    if not is_finite(fraction):
        return MISSING
    if abs(fraction) >= 1e4:
        return f"{number(fraction)} (×100 %)"
    text = f"{fraction * 100:z.{decimals}f}"
    some = float(text) == 0 and fraction > ROUNDED
    return percent(fraction, decimals + 1) if some or _not_all(fraction, text) else f"{text} %"


def points(share: float | None, decimals: int = 2) -> str:
    """A difference of two fractions as percentage points: 0.0139 → `1.39 points`."""
    if not is_finite(share):
        return MISSING
    if abs(share) >= 1e4:
        return f"{number(share)} (×100 points)"
    text = f"{share * 100:z.{decimals}f}"
    return points(share, decimals + 1) if _not_all(share, text) else f"{text} points"


def _not_all(share: float, text: str) -> bool:
    """Whether a text of a share says that it is all, which it is not."""
    return abs(float(text)) == 100 and abs(share) < 1 - ROUNDED


def points_of(amount: float) -> str:
    """So many percentage points, with the digits that were given: 1 → `1 point`, 0.5 → `0.5 points`."""
    return f"{number(amount)} point{'' if amount == 1 else 's'}"


def count(value: float | None, unit: str = "") -> str:
    """A count with three significant digits and a decimal prefix: 1 080 000 → `1.08 M`."""
    if not is_finite(value):
        return MISSING
    value = float(value) + 0.0  # no minus before a zero
    divisor, prefix = prefix_of(value)
    text = f"{value:.0f}" if divisor == 1 and value == int(value) else significant(value / divisor, 3)
    return f"{text} {prefix}{unit}".rstrip()


def size(value: float | None) -> str:
    """Bytes: 4 321 000 → `4.32 MB`."""
    return count(value, "B")


def milliseconds(value: float | None) -> str:
    """Milliseconds, never with more digits than a timer earns: `0.68 ms`, `16.9 ms`, `142 ms`."""
    if not is_finite(value):
        return MISSING
    return f"{significant(value, 2 if abs(value) < 1 else 3)} ms"


def duration(seconds: float | None) -> str:
    """A length of time in its two largest units: `0.4 s`, `42 s`, `1 m 20 s`, `3 h 5 m`, `2 d 4 h`."""
    if not is_finite(seconds):
        return MISSING
    if abs(seconds) > LONGEST:
        return f"{number(seconds)} s"
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def ratio(value: float | None) -> str:
    """A factor: `1.02×` (near 1 the second decimal decides), `3.7×`, `142×`."""
    if not is_finite(value):
        return MISSING
    decimals = 2 if abs(value) < 2 else 1 if abs(value) < 100 else 0
    return f"{value:z.{decimals}f}×" if abs(value) < 1e6 else f"{number(value)}×"


def number(value: float | None) -> str:
    """Any other number: whole ones in full, others with four significant digits."""
    if not is_finite(value):
        return MISSING
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def age(seconds: float | None) -> str:
    """How long ago something happened: `just now`, `40 s ago`, `3 h ago`, `5 d ago`."""
    if not is_finite(seconds):
        return MISSING
    if seconds < 5:
        return "just now"
    for divisor, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= divisor:
            return f"{int(seconds // divisor)} {unit} ago"
    return f"{int(seconds)} s ago"


def prefix_of(value: float) -> tuple[float, str]:
    """The decimal prefix that leaves 1 to 999 before the point, after rounding to three digits."""
    rounded = abs(float(f"{value:.3g}"))
    power = 0
    while power < len(PREFIXES) - 1 and rounded >= 1000 ** (power + 1):
        power += 1
    return float(1000**power), PREFIXES[power]


def significant(value: float, digits: int) -> str:
    """A number with that many significant digits, zeros kept: 1.0 with three is `1.00`."""
    if value == 0:
        return "0"
    if not 1e-6 <= abs(value) < 1e6:
        return number(value)
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def is_finite(value: float | None) -> TypeGuard[float]:
    """Whether it is a number that can be written: neither missing, nor infinite, nor NaN."""
    try:
        return value is not None and math.isfinite(value)
    except OverflowError:  # an int beyond every float
        return False
