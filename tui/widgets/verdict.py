"""Which of a study's models to take, in a line or two."""

from collections.abc import Sequence

from tui.widgets.document import wrapped
from tui.widgets.painted import Line, Painted

MOST_LINES = 2


class Verdict(Painted):
    """A sentence as high as it needs; nothing while there is no pick."""

    DEFAULT_CSS = "Verdict { height: auto; }"

    def __init__(self) -> None:
        super().__init__()
        self._text = ""

    def show(self, text: str) -> None:
        """Show the sentence; an empty one takes no room."""
        if text != self._text:
            self._text = text
            self.refresh(layout=True)
            self.redraw()

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(self.lines(width, MOST_LINES))

    def lines(self, width: int, height: int) -> Sequence[Line]:
        found = wrapped(self._text, width, "good") if self._text else []
        if len(found) <= MOST_LINES:
            return found
        (text, role), *_ = found[MOST_LINES - 1]
        return [*found[: MOST_LINES - 1], [(f"{text[: width - 1]}…", role)]]
