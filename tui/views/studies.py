"""The list of studies as rows of a table: pure functions of what the watcher tells."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.results.failures import RESUME, of_status
from engine.results.kept import cell
from engine.results.pick import MARK
from engine.results.summary import quality_of
from engine.studies.listed import Listed
from engine.studies.status import OPEN
from engine.text.bars import bar, sparkline
from engine.text.numbers import age
from tui.keys.action import hint
from tui.widgets.painted import Line
from tui.widgets.table import Cell, Column
from tui.widgets.wrap import wrapped

TAGS = "tags"
"""The column that is there once a study has some."""
BAR, SPARK = 6, 14
"""Cells of the bar of an open study, and of the curve of its trials."""
COLUMNS = (
    Column("study", widest=44),
    Column("state", widest=22),
    Column("trials", "right"),
    Column("pick", "right", rank=2),
    Column("curve", rank=7, widest=SPARK),
    Column("age", "right", rank=1),
    Column("host", rank=6, widest=24),
    Column("model", rank=4),
    Column("data", rank=5),
    Column(TAGS, rank=3, widest=24),
    Column("about", rank=8, widest=120),
)
STATES = ("running", "queued", "lost", "failed", "cancelled", "done", "unreadable")
SORTS: tuple[tuple[str, bool, Callable[[Listed], object]], ...] = (
    ("age", True, lambda s: s.status.created),
    ("study", False, lambda s: s.run.name),
    ("state", False, lambda s: STATES.index(s.status.state)),
    ("pick", True, lambda s: _times(s.status.pick)),
    ("model", False, lambda s: s.status.model),
)
"""Label, whether the largest comes first, and what to sort by."""
MOST_LINES = 4
"""Lines on the study under the cursor."""
RESUMED = f"goes on with it or tries again; Enter, then {hint('trial')}, tells more"
ROLES = {"running": "good", "lost": "warn", "failed": "bad", "unreadable": "bad", "cancelled": "muted"}


def cells(study: Listed, now: float, models: Mapping[str, str]) -> dict[str, Cell]:
    """What each column says of a study; `models` are the ends that tell models of the user's own apart."""
    status = study.status
    state = status.state + "?" * bool(status.doubt) + (f", {status.verdict}" if status.verdict else "")
    trials = status.fraction + (f" {status.failed}!" if status.failed else "")
    trials += f", {status.untimed} untimed" if status.untimed else ""
    if status.state in OPEN and (of := status.most or status.trials) > 0:
        trials = f"{bar(status.done / of, BAR)} {trials}"
    role = "bad" if status.verdict == "different" else ROLES.get(status.state, "")
    old = age(now - status.created).removesuffix(" ago").removeprefix("just ") if status.created else "–"
    return {
        "study": study.run.name,
        "state": (state, role),
        "trials": (trials, "bad" if status.failed else ""),
        "pick": cell(status.pick),
        "curve": (sparkline(status.qualities, SPARK), "bar"),
        "age": old,
        "host": status.host,
        "model": models.get(status.model, status.model),
        "data": status.data,
        TAGS: (" ".join(f"#{tag}" for tag in study.notes.tags), "accent"),
        "about": (status.about, "muted"),
    }


def about(study: Listed, width: int) -> list[Line]:
    """What became of a study, or else what it is about, on a few lines."""
    status = study.status
    if status.standing:
        return wrapped(status.standing, width)[:MOST_LINES]
    if not (happened := of_status(status)):
        text = status.pick.get("text")
        picked = wrapped(f"{MARK} {text}", width, "good") if isinstance(text, str) else []
        note = wrapped(study.notes.words, width, "accent") if study.notes else []
        return [*wrapped(status.about, width, "muted"), *picked, *note][:MOST_LINES]
    onward = f"r {RESUMED}" if status.state in ("lost", "failed", "cancelled") else ""
    lines = wrapped(happened.replace(RESUME, "r"), width, "bad")
    room = MOST_LINES - bool(onward)
    if len(lines) > room:
        (text, role), *_ = lines[room - 1]
        lines = [*lines[: room - 1], [(f"{text[: width - 1]}…", role)]]
    return [*lines, *([[(onward, "accent")]] if onward else [])]


def _times(kept: dict[str, Any]) -> tuple[float, float]:
    """How many times smaller the pick is, then its quality; −1 while there is none."""
    times, quality = kept.get("times"), quality_of(kept)
    return (float(times) if isinstance(times, int | float) else -1.0, quality[1] if quality else -1.0)


def chosen(names: Sequence[str]) -> tuple[Column, ...]:
    """The columns that the user's settings name, in their order; all where they name none that there is."""
    by_name = {column.label: column for column in COLUMNS}
    return tuple(by_name[name] for name in names if name in by_name) or COLUMNS


def headed(columns: Sequence[Column], label: str, down: bool) -> list[Column]:
    """The columns, an arrow at the one sorted by."""
    arrow = "↓" if down else "↑"
    return [
        Column(f"{c.label}{arrow}", c.align, c.rank, c.widest) if c.label == label else c for c in columns
    ]
