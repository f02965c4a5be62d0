"""Which of a study's models to take, in a few lines, and what to know of what is shown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.widgets.painted import Line, Painted
from tui.widgets.wrap import clipped, wrapped

if TYPE_CHECKING:  # the first frame shows no study yet
    from engine.results.pick import Pick
    from engine.studies.state import StudyState

WANTED_LINES, MOST_LINES = 2, 3
"""Of the sentence: with fewer of the trial's parameters, it is told in as many lines as are wanted where that is
possible, so that a small terminal has room for a chart; else in the most that it may have."""
MOST_OF_NOTE = 2


class Verdict(Painted):
    """A sentence as high as it needs; nothing while there is no pick."""

    DEFAULT_CSS = "Verdict { height: auto; }"

    def __init__(self) -> None:
        super().__init__()
        self._texts: tuple[str, ...] = ()
        self._notes: tuple[str, ...] = ()

    def show(self, texts: Sequence[str], notes: Sequence[str] = ()) -> None:
        """Show the first of the sentences, each shorter than the one before, that has room, and notes; what is empty
        takes no room."""
        wanted = tuple(texts), tuple(notes)
        if wanted != (self._texts, self._notes):
            self._texts, self._notes = wanted
            self.refresh(layout=True)
            self.redraw()

    def show_pick(
        self, state: "StudyState | None", picked: "Pick | None", notes: tuple[str, ...] = ()
    ) -> None:
        """Show which model of a study to take; of one that has none, what to know of its trials."""
        from engine.results import remarks
        from engine.results.pick import verdict

        without = remarks.closing(state.trials) if state and not picked else ()
        parameters = len(picked.trial.parameters) if picked else 0
        texts = [verdict(picked, most) for most in range(parameters, -1, -1)] if picked else ()
        self.show(texts, (*without, *notes))

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(self.lines(width, 0))

    def lines(self, width: int, height: int) -> Sequence[Line]:
        ways = [wrapped(text, width, "good") for text in self._texts]
        fitting = (way for most in (WANTED_LINES, MOST_LINES) for way in ways if len(way) <= most)
        told = next(fitting, ways[-1] if ways else [])
        notes = (clipped(wrapped(note, width, "warn"), MOST_OF_NOTE, width) for note in self._notes)
        return [*clipped(told, MOST_LINES, width), *(line for note in notes for line in note)]
