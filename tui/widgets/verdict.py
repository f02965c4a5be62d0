"""Which of a study's models to take, in a line or two, and what to know of what is shown."""

from collections.abc import Sequence

from engine.text.tables import abbreviate
from tui.widgets.document import wrapped
from tui.widgets.painted import Line, Painted

MOST_LINES = 2


class Verdict(Painted):
    """A sentence as high as it needs; nothing while there is no pick."""

    DEFAULT_CSS = "Verdict { height: auto; }"

    def __init__(self) -> None:
        super().__init__()
        self._text = ""
        self._notes: tuple[str, ...] = ()

    def show(self, text: str, notes: tuple[str, ...] = ()) -> None:
        """Show the sentence, and a line for each note; what is empty takes no room."""
        if (text, notes) != (self._text, self._notes):
            self._text, self._notes = text, notes
            self.refresh(layout=True)
            self.redraw()

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(self.lines(width, 0))

    def lines(self, width: int, height: int) -> Sequence[Line]:
        wrapped_lines = wrapped(self._text, width, "good") if self._text else []
        if len(wrapped_lines) > MOST_LINES:
            (text, role), *_ = wrapped_lines[MOST_LINES - 1]
            wrapped_lines = [*wrapped_lines[: MOST_LINES - 1], [(f"{text[: width - 1]}…", role)]]
        return [*wrapped_lines, *([(abbreviate(note, width), "warn")] for note in self._notes)]
