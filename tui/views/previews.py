"""What a list to choose from tells of the choice under its cursor, beyond its line.

All may read files: call them in a thread. What they give is laid out for the width there is when it is shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import SecateurError
from engine.params import STEPS, StepParams
from engine.params.networks import NETWORKS
from engine.params.rows import Row, describe, plain
from engine.plotting.figure import Figure
from engine.results import pick
from engine.results.estimates import History
from engine.store.paths import is_file
from engine.studies import notes
from engine.studies.listed import Listed
from engine.studies.rundir import RunDir
from engine.studies.state import MALFORMED, load
from engine.text.numbers import count, size
from tui.lab import outline
from tui.lab.catalogue import Entry
from tui.lab.check import completed, valid
from tui.lab.document import Document
from tui.lab.fields import says
from tui.lab.text import text_of
from tui.views.studies import about
from tui.widgets.pager import Builder
from tui.widgets.painted import Line
from tui.widgets.plot import drawn
from tui.widgets.trials import figure_of
from tui.widgets.wrap import wrapped

FP32 = 4
"""Bytes of a parameter."""
CURVE_LINES = 9
MOST_PROBLEMS = 3
AS_PUBLISHED = (
    "As published: first and last layer are fitted to the preset's data; smaller images are less work."
)


@dataclass(frozen=True)
class Facts:
    """Paragraphs and their roles; an empty one is a free line between two."""

    paragraphs: Sequence[tuple[str, str]]

    def __call__(self, width: int) -> list[Line]:
        return [line for text, role in self.paragraphs for line in wrapped(text, width, role)]


@dataclass(frozen=True)
class Curve:
    """The curve of a study, and what is said of it below."""

    study: Listed
    figure: Figure

    def __call__(self, width: int) -> list[Line]:
        return [*drawn(self.figure, width, CURVE_LINES), *about(self.study, width)]


def of_entry(entry: Entry) -> Builder:
    """A data set or a place to run at: all that is said of it, which its line may cut."""
    about = [(entry.about, "")] if entry.about else []
    missing = [(f"not here: {entry.missing}", "warn")] if entry.missing else []
    return Facts([(entry.name, "title"), *about, *missing])


def as_typed(name: str) -> Builder:
    """What is on no list."""
    return Facts(
        [(name, "title"), ("Taken as you typed it; the preset is checked with it at once.", "muted")]
    )


def of_model(entry: Entry) -> Builder:
    """Size and work of a network as it is published, and what the preset's data make of it."""
    known = NETWORKS.get(entry.name)
    if known is None:
        return of_entry(entry)
    facts = [
        (f"{count(known.parameters)} parameters, {size(FP32 * known.parameters)} in fp32", ""),
        (
            f"{count(known.macs)} MACs for an image of {known.size}×{known.size}; {known.classes:,} classes",
            "",
        ),
    ]
    if known.top1 is not None:
        facts.append((f"{known.top1:.2f} % top-1 on ImageNet with torchvision's own weights", ""))
    if entry.missing:
        facts.append((f"not here: {entry.missing}", "warn"))
    return Facts([(entry.name, "title"), *facts, ("", ""), (AS_PUBLISHED, "muted")])


def of_step(kind: str) -> Builder:
    """What a step is for, what it leaves behind, and its parameters."""
    cls = STEPS[kind]
    first, *rest = (plain(part) for part in (cls.__doc__ or "").split("\n\n"))
    leaves = [(text, "muted") for text in _leaves(cls)]
    rows = [row for row in describe(cls) if row.path not in StepParams.model_fields and "." not in row.path]
    parameters = [part for row in rows for part in _parameter(row)]
    return Facts(
        [
            (f"{kind}, a step of {cls.family}", "title"),
            (first, ""),
            *((text, "") for text in rest),
            *leaves,
            ("", ""),
            *parameters,
        ]
    )


def _leaves(cls: type[StepParams]) -> list[str]:
    """What a step needs before it and leaves behind it, as sentences."""
    out = []
    if cls.needs_weights:
        out.append("Needs a trained model before it.")
    if cls.makes is not None:
        out.append(f"Leaves {cls.makes.value} on the weights, which later training keeps.")
    if cls.file:
        out.append("Leaves a file that a runtime executes: no step can follow.")
    elif cls.last:
        out.append("Leaves a model for inference: no step can follow.")
    return out


def _parameter(row: Row) -> list[tuple[str, str]]:
    default = "" if row.required or row.default is None else f"  {text_of(row.default)}"
    return [
        (f"{row.path}{default}{f' {row.unit}' if default and row.unit else ''}", "accent"),
        (row.help, "muted"),
    ]


def of_preset(path: Path, history: History) -> Builder:
    """Subject, steps and sweep of a preset's file, how many trials it makes and how long they would take here."""
    try:
        document = Document.open(path)
    except SecateurError as error:
        return Facts([(error.title, "bad"), (error.detail, ""), (error.remedy, "muted")])
    root = document.root
    checked = completed(valid(root, document.name, document.folder, 0), history)
    text = root.plain().get("about")
    facts = [(document.name, "title")]
    if checked.spec is not None:
        facts.append((f"{outline.amount_of(checked.spec)}, {checked.estimate}", ""))
    facts += [(f"! {says(problem)}", "bad") for problem in checked.problems[:MOST_PROBLEMS]]
    if checked.unusable is not None:
        facts.append((f"! {checked.unusable.sentence}", "warn"))
    facts.append(
        (f"{outline.section_value(root, 'model')} on {outline.section_value(root, 'data')}", "accent")
    )
    facts.append((plain(text) if isinstance(text, str) else "", "muted"))
    for item in outline.items(root):
        if isinstance(item.owner, int) or item.axis is not None:
            sign = "~" if item.axis is not None else "→"
            facts.append((f"{sign} {item.label}{' (off)' if item.off else ''}  {item.value}", ""))
    return Facts([fact for fact in facts if fact[0]])


def of_file(key: str, history: History) -> Builder:
    """What a list of presets has: a preset's file, or what leads to another one."""
    path = Path(key)
    return of_preset(path, history) if is_file(path) else as_typed(key)


def of_study(run: RunDir, asked: pick.Asked) -> Builder:
    """The curve of a study, its pick or what became of it."""
    listed = Listed(run, run.read_status(), notes.read(run))
    try:
        state, settings = load(run.path), run.settings()
    except (SecateurError, *MALFORMED):
        return lambda width: about(listed, width)
    picked = pick.asked_for(state, settings, asked)
    return Curve(listed, figure_of(state, settings.plot, [picked.trial] if picked else []))
