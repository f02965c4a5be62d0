"""`secateur params [STEP]`: every step and parameter, rendered from their one declaration."""

import argparse
import json
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from engine.cli.common import add_json, columns, print_json, say_text, table_width
from engine.errors import UsageError
from engine.params import STEPS
from engine.params.preset import Settings
from engine.params.rows import Row, describe, summary
from engine.params.schema import schema
from engine.text.phrases import suggest
from engine.text.tables import abbreviate

DESCRIPTION = """\
Without a name: the sections of a preset and the steps of its pipeline. With one (`prune.weights`, `model`,
`measure.latency`, `prune.weights.sparsity`): its parameters, what each takes, and its default."""

FOOTER = """\
A preset's steps are a list: `- prune.weights: {sparsity: 0.5}`. Anything in a step, in model or in data can
be swept (`prune.weights.sparsity: [0, 0.5]` or `0..0.9 by 0.1` below `sweep:`) or set for one run
(`secateur run PRESET --set prune.weights.sparsity=0.5`)."""

INDENT = "    "


@dataclass(frozen=True)
class Topic:
    """What a name stands for: a step, a section or a parameter, with the rows to show."""

    name: str
    about: str
    rows: tuple[Row, ...]

    def as_dict(self) -> dict[str, Any]:
        rows = [row.as_dict() | {"allowed": row.allowed()} for row in self.rows]
        return {"name": self.name, "about": self.about, "parameters": rows}


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "params", help="every step and parameter: type, bounds, unit, default", description=DESCRIPTION
    )
    parser.add_argument("topic", metavar="STEP", nargs="?", help="a step, a section or a parameter")
    parser.add_argument(
        "--schema",
        action="store_true",
        help="the preset format as a JSON Schema, for editors and other programs",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the overview or one topic; raises `UsageError` for an unknown name."""
    if args.schema:
        print_json(schema())
    elif args.topic is not None:
        topic = find(args.topic)
        if args.json:
            print_json(topic.as_dict())
        else:
            say_text(render(topic, columns()))
    elif args.json:
        print_json(everything())
    else:
        say_text(overview(columns(), table_width()))
    return 0


def everything() -> dict[str, Any]:
    """Every section and step with all of its parameters, as plain values."""
    sections = [_section(row).as_dict() for row in _sections()]
    steps = [_step(kind).as_dict() | {"family": cls.family} for kind, cls in STEPS.items()]
    return {"sections": sections, "steps": steps}


def find(name: str) -> Topic:
    """What `name` stands for; raises `UsageError`."""
    if name in STEPS:
        return _step(name)
    for row in describe(Settings):
        if row.path == name:
            return _section(row)
    kinds = [kind for kind in STEPS if name.startswith(f"{kind}.")]
    for kind in sorted(kinds, key=len, reverse=True):
        rows = _at_or_below(describe(STEPS[kind]), name[len(kind) + 1 :])
        if rows:
            return Topic(name, f"Parameter of {kind}: {summary(STEPS[kind])}", rows)
    known = [*STEPS, *(row.path for row in describe(Settings))]
    known += [f"{kind}.{row.path}" for kind, cls in STEPS.items() for row in describe(cls)]
    remedy = "`secateur params` lists every step and section."
    raise UsageError(
        f"There is no step, section or parameter {name}", suggest(name, known).capitalize(), remedy
    )


def _sections() -> tuple[Row, ...]:
    return tuple(row for row in describe(Settings) if "." not in row.path)


def _section(row: Row) -> Topic:
    below = _at_or_below(describe(Settings), row.path)
    return Topic(row.path, row.help, below[1:]) if row.type == "group" else Topic(row.path, "", below)


def _step(kind: str) -> Topic:
    return Topic(kind, summary(STEPS[kind]), describe(STEPS[kind]))


def _at_or_below(rows: Iterable[Row], path: str) -> tuple[Row, ...]:
    return tuple(row for row in rows if row.path == path or row.path.startswith(f"{path}."))


def overview(width: int, room: int | None) -> str:
    """Sections and steps, one line of at most `room` columns each, then how they are used, in `width` columns."""
    steps = [(kind, summary(cls)) for kind, cls in STEPS.items()]
    sections = [(row.path, row.help) for row in _sections()]
    names = max(len(name) for name, _ in (*steps, *sections))
    lines = ["Sections of a preset", *(f"  {name:<{names}}  {about}" for name, about in sections)]
    lines += ["", "Steps", *(f"  {name:<{names}}  {about}" for name, about in steps)]
    if room is not None:
        lines = [abbreviate(line, room) for line in lines]
    lines += ["", *textwrap.wrap(" ".join(FOOTER.split()), width, break_on_hyphens=False)]
    return "\n".join([*lines, "", "More about one: secateur params NAME"])


def render(topic: Topic, width: int) -> str:
    """A topic's parameters: name, what it takes and its default, its help below, in `width` columns."""
    title = f"{topic.name}: {topic.about}" if topic.about else topic.name
    lines = textwrap.wrap(title, width, break_on_hyphens=False)
    names = max((len(row.path) for row in topic.rows), default=0)
    for row in topic.rows:
        lines += ["", *_entry(row, names, width)]
    if len(topic.rows) == 1:
        lines += _choices(topic.rows[0], width)
    return "\n".join(lines)


def _entry(row: Row, names: int, width: int) -> list[str]:
    described = f"{row.allowed()}; {default_text(row)}"
    gap = " " * (names + 2)
    head = textwrap.wrap(
        described,
        width,
        initial_indent=f"{row.path:<{names}}  ",
        subsequent_indent=gap,
        break_on_hyphens=False,
    )
    text = row.help + (f" Only when {row.when}." if row.when else "")
    return head + textwrap.wrap(
        text, width, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False
    )


def _choices(row: Row, width: int) -> list[str]:
    """What each value of a choice means."""
    names = max((len(str(choice)) for choice in row.choices), default=0)
    told = zip(row.choices, row.meanings, strict=True)
    return [
        line
        for choice, meaning in told
        if meaning
        for line in textwrap.wrap(
            meaning,
            width,
            initial_indent=f"{INDENT}{choice!s:<{names}}  ",
            subsequent_indent=" " * (len(INDENT) + names + 2),
            break_on_hyphens=False,
        )
    ]


def default_text(row: Row) -> str:
    """What a parameter is where the preset leaves it out."""
    if row.required:
        return "required"
    if row.default is None:
        return "default: none"
    if row.type == "group":
        return "optional"
    if isinstance(row.default, str):
        return f"default: {row.default}" if row.default else "default: empty"
    return "default: " + json.dumps(row.default).replace('"', "").removesuffix(".0")
