"""Modal questions: what will be lost is said before it is lost."""

from textual.screen import ModalScreen


class Confirm(ModalScreen[bool]):
    """A question with what answering yes does; `await app.push_screen_wait(Confirm(…))` gives the answer."""

    def __init__(self, question: str, detail: str = "", yes: str = "Yes", no: str = "No") -> None:
        super().__init__()
        self.question, self.detail, self.yes, self.no = question, detail, yes, no
