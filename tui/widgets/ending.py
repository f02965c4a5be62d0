"""What became of studies that are not well: why, once for all trials that share it, and which keys go on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.keys.action import hint
from tui.widgets.painted import Line, Painted
from tui.widgets.wrap import wrapped

if TYPE_CHECKING:
    from engine.results.failures import Ending, Part
    from engine.studies.state import StudyState

ONWARD = f"r in {hint('studies')}"
"""How the lab resumes a study."""
ROLES: "dict[Part, str]" = {"headline": "bad", "reason": "", "remedy": "title", "onward": "accent"}


def paragraphs(parts: "Sequence[tuple[Part, str]]", width: int) -> list[Line]:
    """The parts of an ending in lines of `width` columns."""
    from engine.results.failures import INDENTS

    out: list[Line] = []
    for part, text in parts:
        indent = INDENTS[part]
        first, *rest = wrapped(text, max(width - len(indent), 8), ROLES[part])
        out.append([(indent, ROLES[part]), *first])
        out += [[(" " * len(indent), ""), *line] for line in rest]
    return out


def _places_of(end: "Ending") -> str:
    """Where all of an ending is told: at the first trial of each reason, else where the study runs."""
    failed = [str(reason.trials[0]) for reason in end.reasons if reason.trials]
    which = ("trial " if len(failed) == 1 else "trials ") + ", ".join(failed)
    return f"{which} in {hint('trial')}" if failed else hint("run")


class Endings(Painted):
    """The endings of studies, as high as they need; nothing while all goes well."""

    DEFAULT_CSS = "Endings { height: auto; }"

    def __init__(self, *, onward: str = ONWARD, id: str | None = None) -> None:
        """`onward` is how the study is resumed from where this is shown."""
        super().__init__(id=id)
        self._onward = onward
        self._parts: list[tuple[Part, str]] = []
        self._most = 0
        self._all = ""
        """What tells all, where there is no room for it."""

    def show(self, states: "Sequence[StudyState]", most: int = 12, also: str = "") -> None:
        """Show what became of these studies on at most `most` lines; `also`: another way on."""
        from engine.results.failures import ending, paragraphs_of

        parts: list[tuple[Part, str]] = []
        for state in states:
            if end := ending(state):
                (_, head), *rest = paragraphs_of(end, self._onward)
                parts += [("headline", f"{state.name}: {head}" if len(states) > 1 else head), *rest]
                self._all = _places_of(end)
        if parts and also:
            parts.append(("onward", also))
        if (parts, most) != (self._parts, self._most):
            self._parts, self._most = parts, most
            self.refresh(layout=True)
            self.redraw()

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(self._paragraphs(width))

    def lines(self, width: int, height: int) -> Sequence[Line]:
        return self._paragraphs(width)

    def _paragraphs(self, width: int) -> list[Line]:
        if not self._parts:
            return []
        lines = paragraphs(self._parts, width)
        if len(lines) > self._most:
            lines = [*lines[: self._most - 1], [(f"… all of it: {self._all}", "muted")]]
        return lines
