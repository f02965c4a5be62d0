"""A knob as lines of text and a figure: pure functions of what is turned and what was answered."""

from collections.abc import Callable, Mapping, Sequence

from engine.measures.table import mean_deviation, measure, measure_text
from engine.params.preset import Pick as Rule
from engine.plotting.figure import Figure, Point, Reference, Series
from engine.plotting.palette import STAR
from engine.studies.knob import Answer, Baseline, Costs, Technique
from engine.studies.state import TrialState
from engine.text import numbers, tables
from engine.text.bars import LEVELS, bar
from engine.text.phrases import counted
from tui.views.trial import aligned, difference
from tui.widgets.painted import Line, Span
from tui.widgets.wrap import wrapped
from tui.work.knob import Dial, Turning

QUALITY = "validation_accuracy"
TALL = 34
"""Lines of a terminal from which some may stay empty."""
SLOW_S = 2.0
"""Seconds without an answer after which it is said what may keep it."""
MARGIN = 0.02
"""Part of the technique's range left free at both ends of the axis."""
SAME = 0.0005
"""Accuracies nearer to each other than that are one line of the chart."""
MOST_SLIDER = 80
LEAST_BAR, MOST_BAR = 6, 20
"""Cells of a layer's bar."""
HIGHEST = 8
"""Lines of a layer's column."""
SHARES = "sparsity"
"""A measure that is written as the shares of a technique are."""
BESIDE: dict[str, tuple[str, Callable[[float | None], str]]] = {
    "accuracy": (QUALITY, lambda value: measure_text(QUALITY, value)),
    "packed": ("size.packed", numbers.size),
    "plain": ("size.plain", numbers.size),
    "non-zero": ("nonzero_parameters", numbers.count),
    "MACs": ("macs", numbers.count),
    "eff. MACs": ("effective_macs", numbers.count),
    "latency": ("latency", numbers.milliseconds),
}
"""Measures that stand beside those of the trial, and how they are written in narrow columns, by their heads."""


def value_text(technique: Technique, value: float) -> str:
    """A technique's value with its unit.

    >>> value_text(Technique("weights", "weights at zero", "%", 0, 1, 0.01, 0), 0.8)
    '80 %'
    """
    match technique.unit:
        case "%":
            return numbers.percent(value, 0)
        case "×":
            return numbers.ratio(value)
        case _:
            return numbers.number(value)


def level_text(technique: Technique, level: float) -> str:
    """What became of a layer: the share that goes, or its bits."""
    return f"{level:g} bits" if technique.unit == "bits" else numbers.percent(level, 0)


# Above the chart


def top(turning: Turning, width: int, height: int) -> list[Line]:
    """Which trial it is, the techniques, the value now and what it gives, and how far that is known.

    `height` is that of a terminal: on a low one the sentence has no more lines than it needs.
    """
    dial = turning.dial
    lines: list[Line] = [head(turning, width)]
    if turning.reason:
        return [
            *lines,
            (),
            *wrapped(turning.reason, width, "bad"),
            [("a", "accent"), (" tries again", "")],
        ]
    if dial is None:
        return [*lines, (), *starting(turning, width)]
    lines += [techniques(turning, width), ()] if height >= TALL else [techniques(turning, width)]
    if dial.technique.why_not:
        return [*lines, *wrapped(f"{dial.technique.name}: {dial.technique.why_not}", width, "warn")]
    sentence = wrapped(point(dial, turning.baseline), width, "title" if dial.answer else "muted")
    room = max(len(sentence), 3 if width < 100 else 2)
    sentence += [()] * (room - len(sentence))
    return [*lines, slider(dial, width), *sentence, standing(turning, dial, width)]


def head(turning: Turning, width: int) -> Line:
    """The study and its trial, and what this is not."""
    name = f"{turning.run.name}  trial {turning.trial}"
    left = "its model as stored, changed without training"
    room = width - tables.cell_width(name) - 3
    return [(name, "title"), (f"   {tables.abbreviate(left, room)}" if room > 10 else "", "muted")]


def starting(turning: Turning, width: int) -> list[Line]:
    """That the worker is being started, and for how long."""
    text = (
        "A worker of its own loads torch, the model and the images, which takes some seconds: "
        f"{turning.seconds:.0f} s so far. "
        "It ends when you leave this page; nothing is trained, nothing written."
    )
    early = len(turning.early)
    kept = f"{counted(early, 'key')} that you pressed {'is' if early == 1 else 'are'} kept until then."
    return [*wrapped(text, width), *(wrapped(kept, width, "accent") if early else [])]


def techniques(turning: Turning, width: int) -> Line:
    """All techniques, the one in hand in reverse, one that can't be had in brackets; and how layers share it."""
    spans: list[Span] = []
    for dial in turning.dials:
        name = f"({dial.technique.name})" if dial.technique.why_not else f" {dial.technique.name} "
        here = dial is turning.dial
        spans += [
            (name, "bold reverse" if here else "muted" if dial.technique.why_not else "accent"),
            (" ", ""),
        ]
    room = width - sum(tables.cell_width(text) for text, _ in spans) - 1
    how = turning.dial.technique.how if turning.dial else ""
    return [*spans, (f" {tables.abbreviate(how, room)}" if how and room > 10 else "", "muted")]


def slider(dial: Dial, width: int) -> Line:
    """Where the value stands between those that compress least and most."""
    first, last = (value_text(dial.technique, dial.value_at(place)) for place in (0, dial.last))
    cells = max(min(width - len(first + last) - 2, MOST_SLIDER), 4)
    return [(f"{first} ", "muted"), (bar(dial.place / (dial.last or 1), cells), "bar"), (f" {last}", "muted")]


def point(dial: Dial, baseline: Baseline | None) -> str:
    """The network at the value now, in words.

    `weights at zero 80 %: 93.1 ± 0.4 % (−2.3 points against this trial), 84 kB packed (4.4× smaller), 12.1 M MACs`
    """
    answer, what = dial.answer, f"{dial.technique.what} {value_text(dial.technique, dial.value)}"
    if answer is None or baseline is None:
        return f"{what}: …"
    lost = (
        numbers.points(abs(answer.quality - baseline.quality)) if answer.quality != baseline.quality else ""
    )
    sign = "−" if answer.quality < baseline.quality else "+"
    parts = [
        f"{quality_text(answer)} ({sign}{lost} against this trial)"
        if lost
        else f"{quality_text(answer)} (as this trial)",
        size(answer, baseline.costs),
        f"{numbers.count(answer.costs.macs)} MACs{_times(baseline.costs.macs, answer.costs.macs, 'fewer')}",
        latency(answer, baseline),
    ]
    return f"{what}: " + ", ".join(part for part in parts if part)


def quality_text(answer: Answer) -> str:
    """The quality with its standard error, which is 0 where every image was scored."""
    if answer.error:
        return mean_deviation(answer.quality, answer.error, QUALITY)
    return measure_text(QUALITY, answer.quality)


def size(answer: Answer, before: Costs) -> str:
    now = answer.costs
    times = _times(before.size_packed, now.size_packed, "smaller")
    return f"{_about(answer)}{numbers.size(now.size_packed)} packed{times}"


def latency(answer: Answer, baseline: Baseline) -> str:
    """The latency, measured or predicted; empty where the study measured none."""
    if answer.costs.latency_ms is None:
        return "latency not known: a step sensitivity with latency tells it" if baseline.latency else ""
    return f"{_about(answer)}{numbers.milliseconds(answer.costs.latency_ms)} in {_row(baseline)}"


def _about(answer: Answer) -> str:
    """Before what is estimated; of the trial as it is all that is told is known."""
    return "about " if answer.added else ""


def _row(baseline: Baseline) -> str:
    """Runtime and batch of the latency."""
    return measure(f"latency.{baseline.latency}").label.removeprefix("latency, ")


def _times(before: float, now: float, word: str) -> str:
    return f" ({numbers.ratio(before / now)} {word})" if now and before > now else ""


def standing(turning: Turning, dial: Dial, width: int) -> Line:
    """How far the answer is known."""
    answer, baseline = dial.answer, turning.baseline
    if answer is None:
        why = ": the machine is busy, or a latency is being measured" if turning.waited > SLOW_S else ""
        return [("pending", "warn"), (tables.abbreviate(why, width - 8), "muted")]
    if not answer.final:
        text = f"refining: {answer.images} of {counted(answer.of, 'image')}  "
        cells = max(min(width - len(text), 24), 4)
        return [(text, "accent"), (bar(answer.images / answer.of, cells), "bar")]
    of = f" of {baseline.images}" if baseline and answer.images < baseline.images else ""
    error = "; ± is one standard error" if answer.error else ""
    return [(f"scored on {answer.images}{of} validation images{error}", "muted")]


# The chart


def figure(turning: Turning, trial: TrialState | None, rule: Rule) -> Figure:
    """Every value asked so far with its error bar, the value now starred, and what it may lose.

    The technique compresses more from left to right, whatever its numbers do.
    """
    dial, baseline = turning.dial, turning.baseline
    if dial is None or baseline is None or dial.technique.why_not:
        return Figure()
    one = dial.technique
    known = [dial.answers[value] for value in dial.values if value in dial.answers]

    def x(value: float) -> float | str:
        return value_text(one, value) if dial.downwards else value

    # Of an axis that runs downwards every value is named, in the order that it is to have.
    named = tuple(Point(x(value), None) for value in dial.values) if dial.downwards else ()
    visited = tuple(Point(x(a.value), a.quality, a.error or None) for a in known)
    now = dial.answer or next((a for a in known if a is turning.latest), None)
    lines = [Series(one.name, (*named, *visited))]
    if now is not None:
        lines.append(Series("now", (Point(x(now.value), now.quality),), STAR, line=False))
    room = (one.most - one.least) * MARGIN
    return Figure(
        x_label=one.what,
        x_measure=SHARES if one.unit == "%" else "",
        y_label="validation accuracy",
        y_measure=QUALITY,
        series=tuple(lines),
        references=tuple(references(baseline, trial, rule)),
        x_limits=None if dial.downwards else (one.least - room, one.most + room),
    )


def references(baseline: Baseline, trial: TrialState | None, rule: Rule) -> list[Reference]:
    """The trial as it is, the study's baseline where that is another, and the least that a pick may have."""
    lines, before = [Reference("trial", baseline.quality)], _before(trial)
    if before is None:
        return lines
    if abs(before - baseline.quality) > SAME:
        lines.append(Reference("baseline", before))
    return [*lines, Reference("limit", before - rule.within / 100)]


def title(trial: TrialState | None, rule: Rule) -> str:
    """What the chart is of, and what its limit is."""
    return "accuracy" + (
        f"; limit: {numbers.points_of(rule.within)} below the baseline" if _before(trial) is not None else ""
    )


def _before(trial: TrialState | None) -> float | None:
    """What the study's own baseline has, against which picks are judged."""
    return trial.baseline_measure.measures.get(QUALITY) if trial else None


# Beside it


def beside(turning: Turning, width: int) -> list[Line]:
    """Measures at the value now, and those of the trial."""
    dial, baseline = turning.dial, turning.baseline
    if dial is None or baseline is None:
        return []
    now, before = _measures(dial.answer), _measures(baseline)
    rows: list[list[Span]] = []
    for head, (name, text) in BESIDE.items():
        if before[name] is not None:
            value = now.get(name)
            told = "…" if dial.answer is None else text(value)
            rows.append(
                [(head, ""), (told, ""), (text(before[name]), "muted"), difference(name, value, before[name])]
            )
    return aligned(("", "now", "trial", "difference"), rows, width)


def _measures(of: Answer | Baseline | None) -> dict[str, float | None]:
    """By the names of measures."""
    if of is None:
        return {}
    return {
        QUALITY: of.quality,
        "size.packed": of.costs.size_packed,
        "size.plain": of.costs.size_plain,
        "nonzero_parameters": of.costs.nonzero_parameters,
        "macs": of.costs.macs,
        "effective_macs": of.costs.effective_macs,
        "latency": of.costs.latency_ms,
    }


def layers(dial: Dial | None, width: int, height: int) -> Sequence[Line]:
    """What becomes of each layer at the value now: a bar each, lying where there is room for all, else upright."""
    if dial is None or dial.answer is None:
        return []
    levels = dial.answer.levels
    if not levels:
        return [[("nothing is changed", "muted")]]
    if len(set(levels.values())) == 1:
        level = level_text(dial.technique, next(iter(levels.values())))
        return wrapped(f"{level} in each of {counted(len(levels), 'layer')}", width)
    whole = dial.technique.most if dial.technique.unit == "bits" else 1.0
    if len(levels) > height:
        return _upright(dial.technique, levels, whole, width, height)[:height]
    longest = max(map(tables.cell_width, levels))
    told = max(len(level_text(dial.technique, level)) for level in levels.values())
    room = max(min(longest, width - told - LEAST_BAR - 2), 4)
    cells = max(min(width - room - told - 2, MOST_BAR), 1)
    return [
        [
            (f"{tables.abbreviate(name, room):<{room}} ", ""),
            (f"{bar(level / whole, cells):<{cells}} ", "bar"),
            (f"{level_text(dial.technique, level):>{told}}", ""),
        ]
        for name, level in levels.items()
    ]


def _upright(
    technique: Technique, levels: Mapping[str, float], whole: float, width: int, height: int
) -> list[Line]:
    """A column for each layer, in the model's order, and which has most and least."""
    each = max(min(width // len(levels), 2), 1)
    shares = [min(level / whole, 1.0) for level in levels.values()]
    blocks = [shares[at : at + width // each] for at in range(0, len(shares), max(width // each, 1))]
    rows = max(min((height - 2) // len(blocks), HIGHEST), 1)
    lines: list[Line] = []
    for block in blocks:
        for row in reversed(range(rows)):
            drawn = "".join(_column(share * rows - row).ljust(each) for share in block)
            lines.append([(drawn, "bar")])
    order = sorted(levels, key=lambda name: levels[name])
    for word, name in (("most", order[-1]), ("least", order[0])):
        text = f"{word} {level_text(technique, levels[name])} "
        lines.append([(text, "muted"), (tables.abbreviate(name, max(width - len(text), 4)), "")])
    return lines


def _column(filled: float) -> str:
    """A cell of a column that is filled from below."""
    eighths = round(max(0.0, min(filled, 1.0)) * len(LEVELS))
    return LEVELS[eighths - 1] if eighths else " "
