"""The one table of actions: bindings, footer, help screen, palette and the docs' key table come from it."""

from textual.binding import Binding, BindingType

from tui.keys.action import EVERYWHERE, PLACES, Action, rows
from tui.keys.knob import KNOB
from tui.keys.lab import LAB
from tui.keys.widgets import PLOT, TABLE, TEXT

APP = (
    *(
        Action(
            "go",
            (p.key, f"f{p.key}") if p.key else (),
            p.label,
            f"Go to {p.label}.",
            group="Places",
            arguments=f"'{p.name}'",
        )
        for p in PLACES
    ),
    Action("back", ("escape",), "back", "Go back to the place before.", group="Places"),
    Action("help", ("question_mark", "f12"), "help", "Show the keys that work here.", group="Program"),
    Action(
        "palette", ("ctrl+p",), "commands", "Find any action by its name.", group="Program", priority=True
    ),
    Action(
        "threshold",
        ("percent_sign",),
        "",
        "Choose how many points of accuracy the pick may lose.",
        group="Program",
    ),
    Action(
        "theme",
        ("ctrl+t",),
        "theme",
        "Next theme: dark, light, high contrast, 16 colours, plain.",
        group="Program",
    ),
    Action("leave", ("ctrl+q",), "quit", "Leave; studies that run go on.", group="Program", priority=True),
    Action("leave", ("q",), "quit", "Leave; studies that run go on.", group="Program", arguments="'q'"),
    Action("interrupt", ("ctrl+c",), "", "Says how to leave.", group="Program", priority=True),
)


# Actions of several screens
CANCEL = ("cancel", ("c",), "cancel", "Ask its engine to stop; finished steps stay stored.")
RESUME = ("resume", ("r",), "start/resume", "Start it, or go on where it was; after those that run here.")
BEGIN_NOW = ("begin_now", ("b",), "", "Let it begin now that waits for its turn, beside those before it.")
NEXT = ("next", ("N",), "", "What to try next: opens a preset edited from what was found.")
KNOB_OF_PICK = (
    "knob",
    ("K",),
    "",
    "Turn the knob: compress the model that is its pick further without training.",
)
COPY = ("copy", ("y", "Y"), "", "Copy a value, a row, a table, the preset or a command to your clipboard.")
SEARCH = (
    "search",
    ("s",),
    "search",
    "Of a search: what it is at, other limits, techniques to pin or forbid, its front.",
)
SORT = ("sort", ("s",), "sort", "Sort by the next column.")
REVERSE = ("reverse", ("S",), "", "Sort the other way round.")


STUDIES = (
    *rows(
        "studies",
        "Look",
        ("open", ("o",), "open", "Show the study's curves (as Enter does)."),
        ("filter", ("slash", "ctrl+f"), "filter", "Show only studies with these words in any column."),
        SORT,
        REVERSE,
        ("mark", ("space",), "mark", "Mark the study; actions then mean all that are marked."),
        ("mark_all", ("A",), "", "Mark every study shown, or none."),
        ("back", ("escape",), "", "Clear the filter, or go back to the place before."),
    ),
    *rows(
        "studies",
        "Study",
        RESUME,
        CANCEL,
        BEGIN_NOW,
        ("hold", ("h",), "", "On a cluster: keep what waits of it from starting."),
        ("release", ("H",), "", "On a cluster: let what was held start when its turn comes."),
        ("replay", ("p",), "replay", "Run it again from nothing and compare bit for bit."),
        ("detach", ("D",), "", "Let go of it: it runs on without this program, which follows it no more."),
        (
            "edit",
            ("e",),
            "edit as new",
            "Open its preset in the lab, to change it and run it as a new study.",
        ),
        ("export", ("w",), "", "Export the model that is its pick: choose a format and a folder."),
        (
            "report",
            ("R",),
            "report",
            "Write a report on it, or on all that are marked, for a browser or as Markdown.",
        ),
        NEXT,
        KNOB_OF_PICK,
        ("note", ("n",), "", "Write a note and tags, to find it by."),
        COPY,
        (
            "compare",
            ("equals_sign",),
            "",
            "Compare the picks of two marked studies, or its pick with another trial.",
        ),
        (
            "delete",
            ("d", "delete"),
            "delete",
            "Move it into the bin, after a question that says what it holds.",
        ),
        ("restore", ("u",), "", "Take back the study that was deleted last."),
        (
            "disk",
            ("U",),
            "",
            "Show what each study holds on the disk, what is in the bin, and what is left over.",
        ),
    ),
)
STUDIES += (
    Action(
        "throttle",
        ("plus",),
        "",
        "On a cluster: let twice as many of its tasks run at the same time.",
        "studies",
        group="Study",
        arguments="2.0",
    ),
    Action(
        "throttle",
        ("minus",),
        "",
        "On a cluster: let half as many of its tasks run at the same time.",
        "studies",
        group="Study",
        arguments="0.5",
    ),
)
RUN = (
    *rows(
        "run",
        "Study",
        CANCEL,
        RESUME,
        BEGIN_NOW,
    ),
    *rows("run", "Look", SEARCH),
)
CURVES = (
    *rows(
        "curves",
        "Chart",
        ("choose_x", ("x",), "axis", "Choose what to draw along."),
        ("choose_y", ("y",), "axis", "Choose what to draw."),
        ("choose_by", ("b",), "by", "Choose the parameter that tells the lines apart, or the layers."),
        SEARCH,
        ("overlay", ("o",), "overlay", "Choose studies to draw together."),
        ("epochs", ("t",), "training", "Training curves by epoch, or back to the trials."),
        ("pareto", ("p",), "Pareto", "Draw and list the trials that no other beats in both x and y."),
        ("log", ("L",), "log", "Logarithmic y axis, of accuracies then of the error, then linear again."),
        ("log_x", ("X",), "", "Logarithmic x axis, of accuracies then of the error, then linear again."),
        ("export", ("w",), "write file", "Write the chart as CSV, PNG, SVG or text."),
        ("report", ("R",), "", "Write a report on the studies drawn here, for a browser or as Markdown."),
        NEXT,
        KNOB_OF_PICK,
        (
            "copy",
            ("Y",),
            "",
            "Copy the point, the points drawn, a table, the preset or a command to your clipboard.",
        ),
    ),
)


def _trials(where: str) -> tuple[Action, ...]:
    return (
        Action("trial", ("left", "h"), "", "The trial before.", where, group="Trial", arguments="-1"),
        Action("trial", ("right", "l"), "next trial", "The next trial.", where, True, "Trial", "1"),
    )


TRIAL = (
    *_trials("trial"),
    *rows(
        "trial",
        "Trial",
        ("layers", ("enter",), "layers", "Its layers, one by one."),
        (
            "knob",
            ("K",),
            "knob",
            "Turn the knob: compress its model further without training, and see at once.",
        ),
        ("export", ("w",), "export", "Take its model away: choose a format and a folder."),
        (
            "edit",
            ("e",),
            "",
            "Open its preset in the lab; a search's trial becomes a preset of its own.",
        ),
        ("report", ("R",), "", "Write a report on its study, for a browser or as Markdown."),
        NEXT,
        COPY,
        (
            "compare",
            ("equals_sign",),
            "compare",
            "Put it beside another trial: parameters, measures, layers.",
        ),
        (
            "check_bits",
            ("b",),
            "",
            "Check this machine's bits: whether equal computations give equal bits here.",
        ),
    ),
)
LIMITS = (
    Action(
        "limit",
        ("plus", "equals_sign"),
        "",
        "Loosen the limit: another answer, at once.",
        "search",
        arguments="1",
    ),
    Action("limit", ("minus",), "", "Tighten the limit.", "search", arguments="-1"),
    *rows(
        "search",
        "Search",
        ("limits", ("0",), "", "All limits as the preset has them."),
        (
            "pin",
            ("p",),
            "",
            "Pin the technique, or free it: every new candidate has it, from the next round on.",
        ),
        (
            "forbid",
            ("f",),
            "",
            "Forbid the technique, or free it: no new candidate has it, from the next round on.",
        ),
        ("edit", ("e",), "", "Open the trial of the front as a preset of its own in the lab."),
        ("close", ("escape", "q"), "", "Back to the study."),
    ),
)
LAYERS = (
    *_trials("layers"),
    *rows(
        "layers",
        "Look",
        COPY,
        SORT,
        REVERSE,
        (
            "compare",
            ("equals_sign",),
            "compare",
            "Put its trial beside another: parameters, measures, layers.",
        ),
    ),
)
LOG = rows(
    "log",
    "Log",
    ("follow", ("f",), "follow", "Keep the end in view as lines come, or stand still."),
    ("events", ("e",), "events/log", "The study's events, or what its engine printed."),
)

ACTIONS: tuple[Action, ...] = (
    *APP,
    *LAB,
    *RUN,
    *STUDIES,
    *CURVES,
    *TRIAL,
    *LIMITS,
    *LAYERS,
    *LOG,
    *KNOB,
    *TABLE,
    *PLOT,
    *TEXT,
)


def bindings(where: str) -> list[BindingType]:
    """The key bindings of a screen or kind of widget, or of the app (EVERYWHERE)."""
    return [
        Binding(",".join(a.keys), a.call, a.label or a.help, show=a.footer, priority=a.priority, id=a.name)
        for a in ACTIONS
        if a.where == where and a.keys
    ]


KEY_NAMES = {
    "question_mark": "?",
    "exclamation_mark": "!",
    "slash": "/",
    "plus": "+",
    "equals_sign": "=",
    "minus": "-",
    "percent_sign": "%",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "escape": "Esc",
    "enter": "Enter",
    "space": "Space",
    "delete": "Del",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "tab": "Tab",
    "backspace": "Bksp",
}


def key_text(key: str) -> str:
    """A key as people write it.

    >>> key_text("ctrl+p"), key_text("shift+left"), key_text("f2")
    ('^p', 'Shift+←', 'F2')
    """
    start, _, last = key.rpartition("+")
    if start == "ctrl":
        return f"^{last}"
    name = KEY_NAMES.get(
        last, last.upper() if len(last) > 1 and last[0] == "f" and last[1:].isdigit() else last
    )
    return f"{start.title()}+{name}" if start else name


__all__ = ["ACTIONS", "EVERYWHERE", "Action", "bindings", "key_text"]
