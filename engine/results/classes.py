"""How each class did, beside the baseline: what one accuracy hides, and compression kills first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.text.numbers import percent

MOST = 12
"""Classes that a table of many shows: those that lost most."""


@dataclass(frozen=True)
class ClassResult:
    """One class on the test split.

    Attributes:
        name: Its name.
        images: How many images it has.
        accuracy: Share of them that was right, 0 … 1; None without images.
        before: The same of the baseline; None where that is not known.
        taken_for: The class that most of its wrong images were taken for, and how many; None where none was wrong.
    """

    name: str
    images: int
    accuracy: float | None
    before: float | None
    taken_for: tuple[str, int] | None

    @property
    def lost(self) -> float:
        """What it lost against the baseline, 0 … 1; 0.0 where that is not known."""
        return 0.0 if self.accuracy is None or self.before is None else self.before - self.accuracy


def results(counted: Mapping[str, Any], before: Mapping[str, Any]) -> list[ClassResult]:
    """Each class in the data's order, from what `RunDir.classes` gives of a trial and of its baseline.

    >>> one = {"names": ["cat", "dog"], "images": [4, 2], "correct": [1, 2], "confused": [[0, 1, 3]]}
    >>> results(one, one | {"correct": [3, 2]})[0]
    ClassResult(name='cat', images=4, accuracy=0.25, before=0.75, taken_for=('dog', 3))
    """
    if not counted:
        return []
    names = [str(name) for name in counted["names"]]
    worst: dict[int, tuple[int, int]] = {}
    for true, taken, images in counted["confused"]:
        worst[true] = max(worst.get(true, (0, 0)), (images, taken), key=lambda pair: pair[0])
    same = before.get("names") == counted["names"]
    return [
        ClassResult(
            name,
            counted["images"][number],
            _share(counted, number),
            _share(before, number) if same else None,
            (names[worst[number][1]], worst[number][0]) if number in worst else None,
        )
        for number, name in enumerate(names)
    ]


def _share(counted: Mapping[str, Any], number: int) -> float | None:
    images = counted["images"][number]
    return counted["correct"][number] / images if images else None


def shown(every: list[ClassResult]) -> list[ClassResult]:
    """All of a few classes; of many, those that lost most, then those that do worst."""
    if len(every) <= MOST:
        return every
    return sorted(every, key=lambda one: (-one.lost, 1.0 if one.accuracy is None else one.accuracy))[:MOST]


HEADS = ("class", "images", "baseline", "accuracy", "difference", "most taken for")


def cells(one: ClassResult) -> list[str]:
    """A row under `HEADS`."""
    change = (
        ""
        if one.accuracy is None or one.before is None
        else f"{100 * (one.accuracy - one.before):+z.1f} points"
    )
    taken = "" if one.taken_for is None else f"{one.taken_for[0]} ({one.taken_for[1]})"
    return [one.name, str(one.images), percent(one.before, 1), percent(one.accuracy, 1), change, taken]


def matrix(counted: Mapping[str, Any]) -> list[list[int]]:
    """The confusion matrix: images of each true class (row) that were taken for each class (column)."""
    count = len(counted["names"])
    table = [[0] * count for _ in range(count)]
    for number, correct in enumerate(counted["correct"]):
        table[number][number] = correct
    for true, taken, images in counted["confused"]:
        table[true][taken] = images
    return table
