"""What one thing a user can do is: its keys, its words, and where it works."""

from dataclasses import dataclass
from typing import TypeAlias

from engine.errors import UsageError

EVERYWHERE = ""


@dataclass(frozen=True)
class Place:
    """A screen that one goes to.

    Attributes:
        key: Its number; the function key of the same number works inside inputs too. Empty for a place that one
            comes to from another: the bar of places names it while one is there.
        name: What actions and messages call it.
        label: What people read.
        screen: Its class as `module:class`; imported when it is first shown, so that the first frame does not
            wait for the others.
    """

    key: str
    name: str
    label: str
    screen: str


PLACES = (
    Place("1", "lab", "Lab", "tui.screens.lab:LabScreen"),
    Place("2", "run", "Run", "tui.screens.run:RunScreen"),
    Place("3", "studies", "Studies", "tui.screens.studies:StudiesScreen"),
    Place("4", "curves", "Curves", "tui.screens.curves:CurvesScreen"),
    Place("5", "trial", "Trial", "tui.screens.trial:TrialScreen"),
    Place("6", "layers", "Layers", "tui.screens.layers:LayersScreen"),
    Place("7", "log", "Log", "tui.screens.log:LogScreen"),
    Place("", "knob", "Knob", "tui.screens.knob:KnobScreen"),
)


def place(name: str) -> Place:
    """The place of that name. Raises UsageError if there is none."""
    for row in PLACES:
        if row.name == name:
            return row
    raise UsageError(f"The lab has no place {name}", "", f"Its places: {', '.join(p.name for p in PLACES)}.")


def hint(name: str) -> str:
    """A place with the key that leads there from anywhere, for sentences.

    >>> hint("trial")
    'Trial (F5)'
    """
    return f"{place(name).label} (F{place(name).key})"


@dataclass(frozen=True)
class Action:
    """A row of the action table.

    Attributes:
        id: The method `action_ID` of the screen (or of the app, if it works everywhere) that does it.
        keys: Textual's names of keys; the first is the one shown. A bare letter works outside inputs only,
            so an action that must work inside them has a function key or `ctrl+…` as well.
        label: One or two words for the footer.
        help: One sentence for the help screen, the palette and the documentation.
        where: The screen it belongs to (`lab`, `studies`, …), or EVERYWHERE.
        footer: Whether the footer names it; the rest is in the help screen.
        group: Heading under which the help screen lists it.
        arguments: What the method is called with, as written in an action string.
        priority: Whether it comes before the focused widget's own keys.
    """

    id: str
    keys: tuple[str, ...]
    label: str
    help: str
    where: str = EVERYWHERE
    footer: bool = False
    group: str = ""
    arguments: str = ""
    priority: bool = False

    @property
    def call(self) -> str:
        """The action string that Textual runs."""
        return f"{self.id}({self.arguments})"

    @property
    def name(self) -> str:
        """A stable name, such as `studies.cancel` or `app.go.lab`."""
        tail = f".{self.arguments.strip(chr(39))}" if self.arguments else ""
        return f"{self.where or 'app'}.{self.id}{tail}"


Row: TypeAlias = tuple[str, tuple[str, ...], str, str]
"""An action's name, its keys, its label in the footer and its help."""


def rows(where: str, group: str, *given: Row) -> tuple[Action, ...]:
    """Actions of one screen under one heading; those with a label are in its footer."""
    return tuple(Action(id, keys, label, text, where, bool(label), group) for id, keys, label, text in given)
