"""Modal questions and notices: what will be lost is said before it is lost."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key
from textual.screen import ModalScreen

from engine.text.tables import cell_width
from tui.widgets.box import Box
from tui.widgets.keyinput import KeyInput
from tui.widgets.keys import Hint, Keys
from tui.widgets.pager import Pager
from tui.widgets.painted import Line, Painted, Span
from tui.widgets.wrap import wrapped


class _Text(Pager):
    """A few paragraphs, as high as they need up to half the screen."""

    DEFAULT_CSS = "_Text { height: auto; max-height: 16; }"
    can_focus = False

    def __init__(self, *parts: tuple[str, str]) -> None:
        self._parts = [part for part in parts if part[0]]
        super().__init__(self._lines)

    def _lines(self, width: int) -> Sequence[Line]:
        out: list[Line] = []
        for text, role in self._parts:
            out += [*wrapped(text, width, role), ()]
        return out

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(self._lines(width))


class _Answers(Painted):
    """Yes and no, beside each other, the chosen one in reverse; a click answers."""

    DEFAULT_CSS = "_Answers { height: 1; }"

    def __init__(self, yes: str, no: str) -> None:
        super().__init__()
        self._labels = ((False, f" n {no} "), (True, f" y {yes} "))
        self.yes = False
        """Which one Enter gives."""

    def _parts(self) -> Iterator[tuple[bool | None, Span]]:
        """What stands in the line: an answer and its text, or None and the gap between them."""
        for answer, label in self._labels:
            chosen = answer == self.yes
            yield answer, ((f"[{label}]", "bold reverse") if chosen else (f" {label} ", ""))
            yield None, ("   ", "")

    def lines(self, width: int, height: int) -> Sequence[Line]:
        return [[span for _, span in self._parts()]]

    def clicked(self, x: int, y: int, times: int) -> None:
        end = 0
        for answer, (text, _) in self._parts():
            end += cell_width(text)
            if x < end:
                if answer is not None:
                    self.screen.dismiss(answer)
                return


class Confirm(ModalScreen[bool]):
    """A question with what answering yes does; `await app.push_screen_wait(Confirm(…))` gives the answer.

    `y` or Enter on the button says yes, `n` or Escape no; the focus starts on no.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape", "answer(False)", "no"),
        Binding("left,right,up,down,h,l,j,k,tab,shift+tab", "other", "other", show=False, priority=True),
        Binding("enter", "choose", "choose"),
    ]

    def __init__(self, question: str, detail: str = "", yes: str = "Yes", no: str = "No") -> None:
        super().__init__()
        self.question, self.detail, self.yes, self.no = question, detail, yes, no

    def compose(self) -> ComposeResult:
        with Box():
            yield _Text((self.question, "title"), (self.detail, ""))
            yield _Answers(self.yes, self.no)

    def action_other(self) -> None:
        answers = self.query_one(_Answers)
        answers.yes = not answers.yes
        answers.redraw()

    def action_choose(self) -> None:
        self.dismiss(self.query_one(_Answers).yes)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class _Choices(Painted):
    """Answers below each other, each with its key; a click on one gives it."""

    DEFAULT_CSS = "_Choices { height: auto; margin: 0 0 1 0; }"

    def __init__(self, choices: Mapping[str, str]) -> None:
        super().__init__()
        self._choices = choices

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(self._keyed(width))

    def lines(self, width: int, height: int) -> Sequence[Line]:
        return [line for _, line in self._keyed(width)]

    def clicked(self, x: int, y: int, times: int) -> None:
        self.screen.dismiss(self._keyed(self.size.width)[y][0])

    def _keyed(self, width: int) -> list[tuple[str, Line]]:
        """The lines, each with the key of the answer it belongs to."""
        out: list[tuple[str, Line]] = []
        for key, text in self._choices.items():
            head = f"{key}  "
            for i, line in enumerate(wrapped(text, width - len(head), "title")):
                out.append((key, [(" " * len(head) if i else head, "accent"), *line]))
        return out


class Ask(ModalScreen[str]):
    """A question with several answers, each by its key; the key is what it gives, Escape gives an empty text.

    Enter gives `first`, if there is one.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss('')", "none of them")]

    def __init__(self, question: str, detail: str, choices: Mapping[str, str], first: str = "") -> None:
        super().__init__()
        self._choices, self._first = choices, first
        self._parts = ((question, "title"), (detail, ""))

    def compose(self) -> ComposeResult:
        with Box():
            yield _Text(*self._parts)
            yield _Choices(self._choices)
            enter = [Hint("Enter", f"means {self._first}", "enter")] if self._first else []
            yield Keys(*enter, Hint("Esc", "none of them", "escape"))

    def on_key(self, event: Key) -> None:
        key = self._first if event.key == "enter" else event.character
        if key in self._choices:
            event.stop()
            self.dismiss(key)


class Notice(ModalScreen[None]):
    """What went wrong, in detail, and what to do; or, with another `role` than `bad`, what was found."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,space,q", "close", "close")]

    def __init__(self, title: str, detail: str = "", remedy: str = "", role: str = "bad") -> None:
        super().__init__()
        self._parts = ((title, role), (detail, ""), (remedy, "title"))

    def compose(self) -> ComposeResult:
        with Box():
            yield _Text(*self._parts)
            yield Keys(Hint("Enter", "close", "enter"))

    def action_close(self) -> None:
        self.dismiss()


class Prompt(ModalScreen[str | None]):
    """Asks for a line of text, such as a file name; None if Escape was pressed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel")]

    def __init__(self, question: str, value: str = "", detail: str = "") -> None:
        super().__init__()
        self._question, self._value, self._detail = question, value, detail

    def compose(self) -> ComposeResult:
        with Box():
            yield _Text((self._question, "title"), (self._detail, ""))
            yield KeyInput(self._value)
            yield Keys(Hint("Enter", "accept", "enter"), Hint("Esc", "cancel", "escape"))

    def on_input_submitted(self, message: KeyInput.Submitted) -> None:
        self.dismiss(message.value)

    def action_cancel(self) -> None:
        self.dismiss(None)
