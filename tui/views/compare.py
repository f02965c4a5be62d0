"""Two trials side by side as lines of text: pure functions of a comparison."""

from engine.measures.table import measure_text
from engine.results.compare import Comparison, Differing
from engine.results.network import Layer
from engine.text import numbers
from engine.text.bars import bar
from engine.text.tables import abbreviate, cell_width
from tui.views.trial import aligned, difference
from tui.widgets.painted import Line, Span
from tui.widgets.wrap import wrapped

LEAST_NAME, BESIDE_NAMES = 12, 46
"""Columns of a trial's name above its values, and of what else is in the table of measures."""
NARROWEST = 12
"""Columns of a measure's name: a difference says more than the rest of a name."""
BESIDE_VALUES = 34
"""Columns of a table of parameters that are left to their names."""
LEAST_BAR, MOST_BAR = 6, 30
"""Cells of a layer's bar."""
BESIDE_BARS = 46
"""Columns of the layers' table that are no bar."""


def lines(found: Comparison, width: int) -> list[Line]:
    """What differs between two trials, what both measured, and their layers mirrored."""
    names = _short(found.a.name, width), _short(found.b.name, width)
    measures: list[list[Span]] = [
        [
            (row.cells()[0], ""),
            (measure_text(row.name, row.a), ""),
            (measure_text(row.name, row.b), ""),
            difference(row.name, row.b, row.a),
        ]
        for row in found.measures
    ]
    out: list[Line] = [[("Measures", "accent")]]
    out += (
        aligned(("measure", *names, "difference"), measures, width, narrowest=NARROWEST)
        if measures
        else [[("  none yet", "muted")]]
    )
    out += [(), [("Parameters that differ", "accent")]]
    out += _differing(found.parameters, names, width) or [[("  none", "muted")]]
    if found.environment:
        out += [
            (),
            [("Environment that differs", "accent")],
            *_differing(found.environment_in_words, names, width),
        ]
    if found.layers:
        out += [
            (),
            [("Layers: parameters left of those in the baseline", "accent")],
            *_layers(found, names, width),
        ]
    return out


def _differing(rows: tuple[Differing, ...], names: tuple[str, str], width: int) -> list[Line]:
    """Each on a line, those with long values behind them, with the values below the name."""
    most = (width - BESIDE_VALUES) // 2

    def is_short(one: Differing) -> bool:
        longest = max(cell_width(one.a), cell_width(one.b))
        return longest <= most and cell_width(one.name) < width - 2 * max(most, *map(cell_width, names)) - 4

    short = [one for one in rows if is_short(one)]
    cells: list[list[Span]] = [[(one.name, ""), (one.a, ""), (one.b, "")] for one in short]
    out: list[Line] = aligned(("", *names), cells, width, texts=3) if cells else []
    for one in rows:
        if one in short:
            continue
        out.append([(f"  {one.name}", "")])
        for name, value in zip(names, (one.a, one.b), strict=True):
            out += wrapped(f"{name}: {value}", width, "muted", "    ")
    return out


def _short(name: str, width: int) -> str:
    """A trial's name as the head of one of two columns: of a long one the study's is cut, never the trial's number."""
    study, _, trial = name.rpartition(":")
    return f"{abbreviate(study, max((width - BESIDE_NAMES) // 2, LEAST_NAME) - len(trial) - 1)}:{trial}"


def _layers(found: Comparison, names: tuple[str, str], width: int) -> list[Line]:
    largest = max(layer.before for pair in found.layers for layer in pair if layer is not None) or 1
    cells = max(LEAST_BAR, min((width - BESIDE_BARS) // 2, MOST_BAR))

    def drawn(layer: Layer | None) -> str:
        return (
            bar(layer.nonzero / largest, cells, layer.before / largest).ljust(cells) if layer else " " * cells
        )

    def left(layer: Layer | None) -> str:
        return numbers.count(layer.nonzero) if layer else numbers.MISSING

    rows: list[list[Span]] = []
    for a, b in found.layers:
        name = (a or b).name.removesuffix(".weight")  # type: ignore[union-attr]
        mirrored = _mirrored(a.before / largest, a.nonzero / largest, cells) if a else " " * cells
        rows.append([(name, ""), (left(a), ""), (f"{mirrored}│{drawn(b)}", "bar"), (left(b), "")])
    return aligned(("layer", names[0], "", names[1]), rows, width)


def _mirrored(whole: float, filled: float, cells: int) -> str:
    """A bar that grows from the right to the left, in whole cells."""
    full = round(max(0.0, min(filled, 1.0)) * cells)
    return ("·" * max(round(min(whole, 1.0) * cells) - full, 0) + "█" * full).rjust(cells)
