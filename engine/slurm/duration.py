"""Times as Slurm writes them."""


def seconds(given: int | str | None) -> int:
    """A time limit in seconds; 0 where there is none.

    Slurm takes minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes and
    days-hours:minutes:seconds.

    >>> seconds("90"), seconds("1:30"), seconds("2:00:00"), seconds("1-12"), seconds("1-0:30"), seconds(None)
    (5400, 90, 7200, 129600, 88200, 0)
    """
    if given is None:
        return 0
    days, dash, rest = str(given).rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, secs = (*parts, 0, 0)[:3]
        return ((int(days) * 24 + hours) * 60 + minutes) * 60 + secs
    if len(parts) == 3:
        return (parts[0] * 60 + parts[1]) * 60 + parts[2]
    return parts[0] * 60 + (parts[1] if len(parts) == 2 else 0)


def text(wanted: float) -> str:
    """A time limit of at least so many seconds, in whole minutes, as hours:minutes:seconds.

    >>> text(61), text(3 * 3600 + 1)
    ('0:02:00', '3:01:00')
    """
    minutes = -(-int(wanted) // 60)
    return f"{minutes // 60}:{minutes % 60:02d}:00"
