"""Modal questions and notices: what will be lost is said before it is lost."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.widgets.document import Document, wrapped
from tui.widgets.keyinput import KeyInput
from tui.widgets.painted import Line

BOX = """
    height: auto; width: 76; max-width: 100%; max-height: 100%; border: round $border; padding: 0 1;
"""


class _Text(Document):
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


class Confirm(ModalScreen[bool]):
    """A question with what answering yes does; `await app.push_screen_wait(Confirm(…))` gives the answer.

    `y` or Enter on the button says yes, `n` or Escape no; the focus starts on no.
    """

    DEFAULT_CSS = (
        "Confirm #box {" + BOX + "} Confirm #choices { height: 1; } Confirm _Text { margin: 0 0 0 0; }"
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape", "answer(False)", "no"),
        Binding("left,right,up,down,h,l,j,k,tab,shift+tab", "other", "other", show=False, priority=True),
        Binding("enter", "choose", "choose"),
    ]

    def __init__(self, question: str, detail: str = "", yes: str = "Yes", no: str = "No") -> None:
        super().__init__()
        self.question, self.detail, self.yes, self.no = question, detail, yes, no
        self._chosen = False

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield _Text((self.question, "title"), (self.detail, ""))
            yield Document(self._choices, id="choices")

    def on_mount(self) -> None:
        self.query_one("#choices").can_focus = False

    def _choices(self, width: int) -> Sequence[Line]:
        yes, no = f" y {self.yes} ", f" n {self.no} "
        look = "bold reverse"
        yes_text, no_text = (f"[{yes}]", f" {no} ") if self._chosen else (f" {yes} ", f"[{no}]")
        return [
            [(no_text, "" if self._chosen else look), ("   ", ""), (yes_text, look if self._chosen else "")]
        ]

    def action_other(self) -> None:
        self._chosen = not self._chosen
        self.query_one("#choices", Document).show(self._choices)

    def action_choose(self) -> None:
        self.dismiss(self._chosen)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class Ask(ModalScreen[str]):
    """A question with several answers, each by its key; the key is what it gives, Escape gives an empty text.

    Enter gives `first`, if there is one.
    """

    DEFAULT_CSS = "Ask #box {" + BOX + "}"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss('')", "none of them")]

    def __init__(self, question: str, detail: str, choices: Mapping[str, str], first: str = "") -> None:
        super().__init__()
        self._choices, self._first = choices, first
        listed = "\n".join(f"{key}  {text}" for key, text in choices.items())
        self._parts = ((question, "title"), (detail, ""), (listed, "title"))

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield _Text(*self._parts)
            enter = f"Enter means {self._first}, " if self._first else ""
            yield Static(f"{enter}Esc does none of them", markup=False)

    def on_key(self, event: Key) -> None:
        key = self._first if event.key == "enter" else event.character
        if key in self._choices:
            event.stop()
            self.dismiss(key)


class Notice(ModalScreen[None]):
    """What went wrong, in detail, and what to do; or, with another `role` than `bad`, what was found."""

    DEFAULT_CSS = "Notice #box {" + BOX + "}"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,space,q", "close", "close")]

    def __init__(self, title: str, detail: str = "", remedy: str = "", role: str = "bad") -> None:
        super().__init__()
        self._parts = ((title, role), (detail, ""), (remedy, "title"))

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield _Text(*self._parts)
            yield Static("Enter closes", markup=False)

    def action_close(self) -> None:
        self.dismiss()


class Prompt(ModalScreen[str | None]):
    """Asks for a line of text, such as a file name; None if Escape was pressed."""

    DEFAULT_CSS = "Prompt #box {" + BOX + "}"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel")]

    def __init__(self, question: str, value: str = "", detail: str = "") -> None:
        super().__init__()
        self._question, self._value, self._detail = question, value, detail

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield _Text((self._question, "title"), (self._detail, ""))
            yield KeyInput(self._value)
            yield Static("Enter accepts, Esc cancels", markup=False)

    def on_input_submitted(self, message: KeyInput.Submitted) -> None:
        self.dismiss(message.value)

    def action_cancel(self) -> None:
        self.dismiss(None)
