"""What one thing a user can do is: its keys, its words, and where it works."""

from dataclasses import dataclass

EVERYWHERE = ""
PLACES = (
    ("2", "lab", "Lab"),
    ("3", "studies", "Studies"),
    ("4", "curves", "Curves"),
    ("5", "trial", "Trial"),
    ("6", "layers", "Layers"),
    ("7", "log", "Log"),
)
"""Key, name and label of every place; the function key of the same number works inside inputs too."""


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
