"""The text files that hold the boxes of a YOLO set: every row read as ultralytics reads it, or told to be wrong.

What is slightly off (an edge outside the image, a row that is there twice) is mended and counted; what can't be meant
is collected, so that all of it can be told at once.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import SecateurError

TOLERANCE = 0.01
"""How far beyond the image, as a share of it, rounding may put a coordinate: what ultralytics tolerates."""
BOX = 5
"""Numbers of a plain row: class, centre, width, height."""
LEAST_POLYGON = 7
LISTED = 12
"""How many wrong lines an error shows."""

Row = list[float]


@dataclass
class Reading:
    """What reading the label files of a set has found so far.

    Attributes:
        classes: How many there are.
        key_points: Numbers beyond the box in each row, 0 for none, None where the data.yaml does not say.
        wrong: Lines that can't be read, with the reason.
        damaged: Images that can't be read, likewise.
        mended: How many rows were changed or dropped, by the way.
        lengths: How many rows of more than a box there are, by their length.
        like_key_points: Whether each of those could be a box with key points.
    """

    classes: int
    key_points: int | None = None
    wrong: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    mended: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    like_key_points: bool = True

    def rows(self, file: Path) -> list[Row]:
        """The boxes of one file: class, centre, width and height, each once and inside the image."""
        try:
            text = file.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            self.wrong.append(f"{file} can't be read: {error}")
            return []
        boxes: dict[tuple[float, ...], Row] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            words = line.split()
            try:
                box = self._box(words)
            except ValueError as error:
                pose = " (a pose set says kpt_shape in its data.yaml)" if len(words) > BOX else ""
                self.wrong.append(f"{file}, line {number}: {error}{pose}")
                continue
            if tuple(box) in boxes:
                self.mended["rows that were there twice, dropped"] += 1
            elif box[3] <= 0 or box[4] <= 0:
                self.mended["boxes without an area, dropped"] += 1
            else:
                boxes[tuple(box)] = box
        return list(boxes.values())

    def _box(self, words: list[str]) -> Row:
        """One row; raises ValueError that says what is wrong with it."""
        try:
            values = [float(word) for word in words]
        except ValueError:
            commas = "; numbers are apart by spaces, not commas" if any("," in word for word in words) else ""
            raise ValueError(f"it is not numbers alone{commas}") from None
        label, rest = values[0], values[1:]
        if not 0 <= label < self.classes or label != int(label):
            raise ValueError(f"class {words[0]} is not one of 0 to {self.classes - 1}")
        if len(values) == BOX:
            return [label, *self._inside(_finite(rest))]
        if self.key_points:
            if len(values) != BOX + self.key_points:
                raise ValueError(f"it has {len(values)} numbers, not {BOX} or {BOX + self.key_points}")
            self.mended["rows with key points, taken as their boxes"] += 1
            return [label, *self._inside(_finite(rest[:4]))]
        if len(values) < LEAST_POLYGON or len(values) % 2 == 0:
            raise ValueError(f"it has {len(values)} numbers, not {BOX}")
        self._note(rest)
        return [label, *self._inside(_around(_finite(rest)))]

    def _note(self, rest: Row) -> None:
        """A polygon has as many corners as it needs; rows of one length that all begin with a box have key points."""
        self.lengths[len(rest) + 1] += 1
        x, y, width, height = rest[:4]
        edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        self.like_key_points &= min(edges) >= -TOLERANCE and max(edges) <= 1 + TOLERANCE

    def _inside(self, box: Row) -> Row:
        """The box cut off at the edges of the image; the same numbers where it is inside."""
        x, y, width, height = box
        left, above, right, below = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        edges = [min(max(edge, 0.0), 1.0) for edge in (left, above, right, below)]
        if max(abs(a - b) for a, b in zip(edges, (left, above, right, below), strict=True)) < 1e-6:
            return box
        self.mended["boxes cut off at the edge of their image"] += 1
        left, above, right, below = edges
        return [(left + right) / 2, (above + below) / 2, right - left, below - above]

    def finish(self, file: Path, skip_damaged: bool) -> tuple[str, ...]:
        """What was mended, in words. Raises SecateurError with everything that is wrong, or can't be told."""
        wrong = self.wrong if skip_damaged else [*self.wrong, *self.damaged]
        if wrong:
            raise _refused(file, wrong)
        (length, count), *_ = self.lengths.most_common(1) or [(0, 0)]
        if self.key_points is None and count > 1 and len(self.lengths) == 1 and self.like_key_points:
            points = length - BOX
            shape = f"[{points // 3}, 3]" if points % 2 else f"[{points // 2}, 2]"
            raise SecateurError(
                f"The labels of {file} look like poses, not boxes or polygons",
                f"All {count} longer rows have {length} numbers, of which the first five can be a box and the rest key "
                "points.",
                f"Write kpt_shape: {shape} into it for key points, which are left out; kpt_shape: false for polygons.",
            )
        return tuple(f"{what}: {count}" for what, count in sorted(self.mended.items()))


def _refused(file: Path, wrong: list[str]) -> SecateurError:
    form = "A line is: class x y width height, all but the class as fractions of the image (0 to 1)."
    if len(wrong) == 1:
        return SecateurError(wrong[0], form, "Correct or remove it.")
    more = [f"and {len(wrong) - LISTED} more"] if len(wrong) > LISTED else []
    return SecateurError(
        f"{len(wrong)} labels or images of {file} can't be used",
        "\n".join(f"  {line}" for line in [*wrong[:LISTED], *more]),
        f"Correct or remove them. {form}",
    )


def _finite(values: Row) -> Row:
    if not all(math.isfinite(value) and -TOLERANCE <= value <= 1 + TOLERANCE for value in values):
        raise ValueError("a coordinate is not from 0 to 1 (fractions of the image, not pixels)")
    return values


def _around(corners: Row) -> Row:
    """The box around a polygon of x, y, x, y, …"""
    xs, ys = corners[0::2], corners[1::2]
    low, high = (min(xs), min(ys)), (max(xs), max(ys))
    return [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, high[0] - low[0], high[1] - low[1]]
