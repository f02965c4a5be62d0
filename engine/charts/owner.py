"""What a point of a chart stands for."""

from typing import NamedTuple

from engine.plotting.figure import Point
from engine.studies.state import StudyState, TrialState


class Owner(NamedTuple):
    """A study and those of its trials that a point shows: several where it is their mean, or where they share it."""

    state: StudyState
    trials: tuple[TrialState, ...]


def owner_of(point: Point) -> Owner | None:
    """The owner that a chart of studies gave to the point; None for a point that stands for no trial."""
    return point.owner if isinstance(point.owner, Owner) else None
