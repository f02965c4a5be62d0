"""The frame of a modal: its title above, the keys that work in it below."""

from textual.containers import Vertical


class Box(Vertical):
    """A modal's one child, in the heavy frame of what has the focus."""

    DEFAULT_CSS = """
    Box {
        width: 76; max-width: 100%; height: auto; max-height: 100%;
        border: heavy $accent; border-title-color: $accent; border-title-style: bold; padding: 0 1;
    }
    """

    def __init__(self, title: str = "", *, classes: str = "") -> None:
        super().__init__(id="box", classes=classes)
        self.border_title = title
