"""The legend of a chart in a terminal: marker and name of every line, in words that fit."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile, zip_longest

from engine.measures.table import measure_text
from engine.params.runtimes import KIND
from engine.plotting.axis import NOT_SHOWN, placeable
from engine.plotting.cells import Cell, Rows, spelled
from engine.plotting.figure import Figure, Point, Series, finite
from engine.plotting.palette import MUTED, SEVERAL, styles

SHARE, LARGEST_SHARE = 4, 3
"""The legend takes at most one row in this many, and where no short names are enough for that, in that many."""
LETTERS = (8, 6, 5, 4)
"""Letters that parts of names are cut to where nothing else is enough, the most first."""
FEWEST_UNDER_HEAD = 3
"""Series that begin with the same words, from which these are said once."""
NOTE = f"{SEVERAL} several here"
"""What the sign for several points in one cell means."""
WORDS = {name: kind.short for name, kind in KIND.items()} | {"baseline": "base"}
"""What stands for a long word where there is little room."""
BATCH, THREADS = re.compile(r"^batch (\d+)$"), re.compile(r"^(\d+) threads?$")


@dataclass(frozen=True)
class _Names:
    """What series are called, and reference lines with the values they stand at.

    `heads`: what the names of neighbours begin with, said once before the first of them; none: names are whole.
    """

    series: tuple[str, ...]
    references: tuple[tuple[str, str], ...]
    heads: tuple[str, ...] = ()


def fitted(figure: Figure, width: int, height: int, ascii_only: bool = False) -> Rows:
    """The legend of a chart of `height` rows with it, its names shortened as far as it takes and while they differ.

    First go parts that all names have, and words get short; then reference lines become one entry; then words
    before values go; then what neighbours begin with is said once; then parts of names are cut. What does not fit
    even so is left out, and an ellipsis says so.
    It ends with NOTE where there are several series; `without_note` takes that away.
    """
    names = _in_full(figure)
    rows = _wrapped(figure, names, width, ascii_only)
    for shorter in SHORTER:
        if len(rows) <= max(1, height // SHARE):
            return rows
        names = _if_they_differ(shorter(names, figure), names)
        rows = _wrapped(figure, names, width, ascii_only)
    most, cut = max(1, height // LARGEST_SHARE), names
    for letters in LETTERS:
        if len(rows) <= most:
            return rows
        cut = _if_they_differ(_cut(names, letters), cut)
        rows = _wrapped(figure, cut, width, ascii_only)
    return _at_most(most, rows, width, ascii_only)


def _if_they_differ(shorter: _Names, names: _Names) -> _Names:
    """The shorter names, unless two that differed are one now."""
    before, after = (len(set(zip_longest(one.heads, one.series))) for one in (names, shorter))
    return shorter if after == before else names


def without_note(rows: Rows) -> Rows:
    """The legend of a chart in which no cell holds several points."""
    if not rows or not "".join(cell.char for cell in rows[-1]).endswith(NOTE):
        return rows
    last = rows[-1][: -len(NOTE)]
    return [*rows[:-1], last] if any(cell.char != " " for cell in last) else rows[:-1]


def _in_full(figure: Figure) -> _Names:
    values = ((line.name, measure_text(figure.y_measure, finite(line.y))) for line in figure.references)
    return _Names(tuple(line.name for line in figure.series), tuple(values))


def _headed(names: _Names, figure: Figure) -> _Names:
    """The words with which three neighbours or more begin stand once, before the first of them.

    >>> short = _headed(_Names(("train", "tune l 0 %", "tune l 30 %", "tune l 50 %", "tune g"), ()), Figure())
    >>> short.heads, short.series
    (('', 'tune l', 'tune l', 'tune l', ''), ('train', '0 %', '30 %', '50 %', 'tune g'))
    """
    words = [name.split(" ") for name in names.series]
    heads: list[str] = []
    while len(heads) < len(words):
        left = words[len(heads) :]
        head = _common_start(left[:FEWEST_UNDER_HEAD])
        under = len(list(takewhile(partial(_begins, head=head), left))) if head else 1
        heads += [" ".join(head)] * under
    series = (" ".join(one[len(head.split()) :]) for one, head in zip(words, heads, strict=True))
    return replace(names, series=tuple(series), heads=tuple(heads)) if any(heads) else names


def _common_start(names: Sequence[list[str]]) -> list[str]:
    """The most words with which all of FEWEST_UNDER_HEAD names begin that have more."""
    first = names[0]
    lengths = range(len(first) - 1 if len(names) == FEWEST_UNDER_HEAD else 0, 0, -1)
    return next((first[:k] for k in lengths if all(_begins(one, first[:k]) for one in names)), [])


def _begins(words: list[str], head: list[str]) -> bool:
    """Whether a name begins with these words, and has more."""
    return len(words) > len(head) and words[: len(head)] == head


def _in_short(names: _Names, figure: Figure) -> _Names:
    """Parts between commas that every name has go, and words get short.

    >>> _in_short(_Names(("onnxruntime, bf16, batch 1", "torch, bf16, batch 32"), ()), Figure()).series
    ('ort, b1', 'torch, b32')
    """
    every = [*names.series, *(name for name, _ in names.references)]
    common = set.intersection(*(set(name.split(", ")) for name in every)) if len(every) > 1 else set()

    def short(name: str) -> str:
        return ", ".join(_short(part) for part in name.split(", ") if part not in common) or name

    return replace(
        names,
        series=tuple(map(short, names.series)),
        references=tuple((short(name), value) for name, value in names.references),
    )


def _short(part: str) -> str:
    part = THREADS.sub(r"\1t", BATCH.sub(r"b\1", part))
    return " ".join(WORDS.get(word, word) for word in part.split(" "))


def _with_one_reference(names: _Names, figure: Figure) -> _Names:
    """Reference lines look alike: one entry says what they are and where the lowest and the highest stand."""
    if len(names.references) < 2:
        return names
    heights = [height for line in figure.references if (height := finite(line.y)) is not None]
    ends = (measure_text(figure.y_measure, end(heights, default=None)) for end in (min, max))
    first, *rest = (name.replace(",", "").split() for name, _ in names.references)
    common = [word for word in first if all(word in words for words in rest)]
    return replace(names, references=((" ".join(common), " to ".join(ends)),))


def _without_labels(names: _Names, figure: Figure) -> _Names:
    """`0.5, local` for `sparsity 0.5, scope local`, where all lines that have such words, two at least, have the same.

    >>> _without_labels(_Names(("ratio 0.5, torch", "ratio 0.9, torch", "base"), ()), Figure()).series
    ('0.5, torch', '0.9, torch', 'base')
    """
    labels = [{part.rpartition(" ")[0] for part in name.split(", ") if " " in part} for name in names.series]
    labelled = [words for words in labels if words]
    common = set.intersection(*labelled) if len(labelled) > 1 else set()

    def plain(name: str) -> str:
        parts = (part.rpartition(" ") for part in name.split(", "))
        return ", ".join(last if label in common else label + gap + last for label, gap, last in parts)

    return replace(names, series=tuple(map(plain, names.series)))


def _cut(names: _Names, letters: int) -> _Names:
    return replace(
        names,
        series=tuple(
            ", ".join(_middle_cut(part, letters) for part in name.split(", ")) for name in names.series
        ),
    )


def _middle_cut(part: str, letters: int) -> str:
    """A word keeps its start, several words keep their end too.

    >>> _middle_cut("compiled", 4), _middle_cut("prune-resnet18-3 local", 8)
    ('comp', 'pru…ocal')
    """
    end = letters // 2 if " " in part or "." in part else 0
    if len(part) <= letters:
        return part
    return f"{part[: letters - end - 1]}…{part[-end:]}" if end else part[:letters]


SHORTER: tuple[Callable[[_Names, Figure], _Names], ...] = (
    _in_short,
    _with_one_reference,
    _without_labels,
    _headed,
)
"""Ways to shorten names that cut no word, each tried on what the one before has left."""


def _wrapped(figure: Figure, names: _Names, width: int, ascii_only: bool) -> Rows:
    lines: Rows = []
    for entry in _entries(figure, names, ascii_only):
        cells = [Cell(" "), *entry][: max(width, 0)]
        if lines and len(lines[-1]) + 2 + len(cells) <= width:
            lines[-1] += [Cell(" "), Cell(" "), *cells]
        elif cells:
            lines.append(cells)
    return lines


def _entries(figure: Figure, names: _Names, ascii_only: bool) -> Iterable[list[Cell]]:
    said = ""
    for line, name, head, look in zip(
        figure.series, names.series, names.heads or ("" for _ in names.series), styles(figure), strict=True
    ):
        glyph = look.ascii_glyph if ascii_only else look.glyph
        if not line.marks:
            glyph = "-" if ascii_only else "─"
        text = spelled(f" {name}{_omitted(line, figure)}", ascii_only)
        before = spelled(f"{head.rstrip(',')}: " if head and head != said else "", ascii_only)
        said = head
        yield [*map(Cell, before), Cell(glyph, look.colour.terminal), *map(Cell, text)]
    for name, value in names.references:
        dash = Cell("-" if ascii_only else "╌", MUTED.terminal)
        text = "".join(f" {part}" for part in (name, value) if part)
        yield [dash, dash, *map(Cell, spelled(text, ascii_only))]
    if len(figure.series) > 1:
        yield [Cell(char) for char in NOTE]


def _at_most(count: int, lines: Rows, width: int, ascii_only: bool) -> Rows:
    """The first `count` lines, an ellipsis at their end where there are more."""
    if len(lines) <= count:
        return lines
    more = [Cell(" "), *map(Cell, "..." if ascii_only else "…")]
    return [*lines[: count - 1], [*lines[count - 1][: max(width - len(more), 0)], *more][: max(width, 0)]]


def _omitted(line: Series, figure: Figure) -> str:
    """What the legend says about points that the scales have no place for."""
    lost = Counter(where for point in line.points if (where := _off_scale(point, figure)))
    return "".join(f" ({number} {where} not shown)" for where, number in lost.items())


def _off_scale(point: Point, figure: Figure) -> str:
    """Where a point lies that can't be shown; empty if it can."""
    for value, scale in ((point.x, figure.x_scale), (point.y, figure.y_scale)):
        plain = finite(value)
        if plain is not None and not placeable(plain, scale):
            return NOT_SHOWN[scale]
    return ""
