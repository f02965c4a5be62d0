"""Which of a study's models to take, in a line or two, and what to know of what is shown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.text.tables import abbreviate
from tui.widgets.painted import Line, Painted
from tui.widgets.wrap import wrapped

if TYPE_CHECKING:  # the first frame shows no study yet
    from engine.results.pick import Pick
    from engine.studies.state import StudyState

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

    def show_pick(
        self, state: "StudyState | None", picked: "Pick | None", notes: tuple[str, ...] = ()
    ) -> None:
        """Show which model of a study to take; of one that has none, what to know of its trials."""
        from engine.results import remarks
        from engine.results.pick import verdict

        without = remarks.closing(state.trials) if state and not picked else ()
        self.show(verdict(picked) if picked else "", (*without, *notes))

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(self.lines(width, 0))

    def lines(self, width: int, height: int) -> Sequence[Line]:
        wrapped_lines = wrapped(self._text, width, "good") if self._text else []
        if len(wrapped_lines) > MOST_LINES:
            (text, role), *_ = wrapped_lines[MOST_LINES - 1]
            wrapped_lines = [*wrapped_lines[: MOST_LINES - 1], [(f"{text[: width - 1]}…", role)]]
        return [*wrapped_lines, *([(abbreviate(note, width), "warn")] for note in self._notes)]
