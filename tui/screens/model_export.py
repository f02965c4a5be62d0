"""The modal in which a trial's model is taken away: a small form, and what the export says while it works."""

from dataclasses import replace
from typing import Any, ClassVar, Self

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from engine.params.rows import Row
from engine.presets.addresses import ABSENT
from engine.presets.steps import Address
from engine.results.exports import FORMATS, formats
from engine.studies.state import TrialState
from tui.lab.fields import Field
from tui.lab.text import Default, Fixed
from tui.session import Exporting, Session
from tui.widgets.box import Box
from tui.widgets.form import Form
from tui.widgets.keys import Hint, Keys
from tui.widgets.pager import Pager
from tui.widgets.painted import Line
from tui.widgets.wrap import wrapped
from tui.work.models import ModelExport, Wish

READY = (
    Hint("F9", "write it", "f9"),
    Hint("Esc", "close", "escape"),
    Hint("↑ ↓", "fields"),
    Hint("← →", "choose"),
    Hint("Enter", "edit the folder, write it"),
)
WORKING = (Hint("c", "cancel", "c"), Hint("Esc", "close this and let it go on", "escape"))
TOLD_LINES = 13
NAMES = 12
"""Columns of a format's name."""
ROWS = (
    Row("format", "choice", said="What the model is written as; a loader and a card come with it."),
    Row(
        "folder",
        "text",
        said="The folder to write; it is made, with those above it. Relative to where the lab started.",
    ),
    Row(
        "force",
        "yes/no",
        default=False,
        said="Whether a folder that is not empty may be used, and files of the same names replaced.",
    ),
)


class ExportScreen(ModalScreen[None]):
    """The form for one trial, or with `export` what goes on already."""

    DEFAULT_CSS = f"""
    ExportScreen Box {{ width: 100; }}
    ExportScreen Form {{ height: {len(ROWS)}; margin: 1 0; }}
    ExportScreen Pager {{ height: {TOLD_LINES}; }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "close"),
        Binding("f9", "start", "write"),
        Binding("c", "cancel", "cancel"),
        Binding("left", "cycle(-1)", show=False),
        Binding("right", "cycle(1)", show=False),
    ]

    def __init__(
        self, session: Session, wish: Wish, about: str = "", export: ModelExport | None = None
    ) -> None:
        """`wish` is what is written unless the form is changed; `about` says which trial it is and why."""
        super().__init__()
        self.session, self._wish, self._about, self._export = session, wish, about, export
        self._rows = [replace(row, default=getattr(wish, row.path)) for row in ROWS]
        self._rows[0] = replace(self._rows[0], choices=wish.formats)
        self._values: dict[str, Any] = {}

    @classmethod
    def of(cls, session: Session, study: str, trial: TrialState, about: str) -> Self:
        """The form for a finished trial, or the export that is going on."""
        if session.export is not None and session.export.running:
            return cls(session, session.export.wish, export=session.export)
        offered, folder = formats(trial), f"{study}-trial-{trial.index}"
        return cls(session, Wish(session.workspace, study, trial.index, offered, offered[0], folder), about)

    @property
    def _busy(self) -> bool:
        return self._export is not None and self._export.running

    def compose(self) -> ComposeResult:
        with Box(f"Export trial {self._wish.trial} of {self._wish.study}"):
            yield Form(lambda field: "")
            yield Pager(self._lines)
            yield Keys()

    def on_mount(self) -> None:
        self._show_form(fresh=True)
        if self._export is not None:
            self._export.changed = self._show
        self._show()

    def on_unmount(self) -> None:
        if self._export is not None:
            self._export.changed = lambda: None

    def _show_form(self, *, fresh: bool = False, typed: bool = False) -> None:
        fields = [
            Field(Address(None, row.path), row, self._values.get(row.path, ABSENT), None, row.path)
            for row in self._rows
        ]
        self.query_one(Form).show(fields, fresh=fresh, typed=typed)

    def _show(self) -> None:
        """Show what the export says, and give the focus to what can be used."""
        pager, form = self.query_one(Pager), self.query_one(Form)
        pager.follow = self._export is not None
        pager.show(self._lines)
        form.disabled = self._busy
        self.query_one(Keys).show_keys(WORKING if self._busy else READY)
        if self._busy:
            pager.focus()
        elif not form.focused:
            form.focus_row()

    def _lines(self, width: int) -> list[Line]:
        if self._export is None:
            return self._help(width)
        export = self._export
        out = [line for text in export.progress_lines for line in wrapped(text, width, "muted")]
        if export.running:
            return [*out, [("…", "muted")]]
        role = "good" if export.done else "bad" if export.error else "warn"
        return [*out, (), *wrapped(export.outcome, width, role)]

    def _help(self, width: int) -> list[Line]:
        """Which trial it is, what the field under the cursor means, and the formats."""
        field = self.query_one(Form).field
        out = wrapped(self._about, width, "good")
        if field is None:
            return out
        out += [*([()] if out else []), *wrapped(field.row.help, width)]
        if field.row.path == "format":
            out.append(())
            for name in field.row.choices:
                first, *rest = wrapped(FORMATS[name], width - NAMES)
                out += [
                    [(f"{name:<{NAMES}}", "accent"), *first],
                    *([(" " * NAMES, ""), *line] for line in rest),
                ]
        return out

    @on(Form.Pointed)
    def _pointed(self) -> None:
        self._forget()

    @on(Form.Edited)
    def _edited(self, message: Form.Edited) -> None:
        self._take(message)
        self._show_form(typed=True)
        self._forget()

    @on(Form.GivenUp)
    def _given_up(self, message: Form.GivenUp) -> None:
        self._edited(message)

    def _take(self, message: Form.Edited) -> None:
        """Keep what was typed; a folder's name is text, whatever else it could be read as."""
        path, typed = message.field.address.path, message.typed
        if isinstance(typed, Default):
            self._values.pop(path, None)
        elif isinstance(typed, Fixed):
            self._values[path] = typed.value
        else:
            self._values[path] = self.query_one(Form).editor.value.strip()

    def _forget(self) -> None:
        """Show the help in place of an export that has ended, as soon as the form is used again."""
        if not self._busy:
            self._export = None
            self._show()

    @on(Form.Entered)
    def _entered(self, message: Form.Entered) -> None:
        if message.field.options:
            self.action_start()
        else:
            self.query_one(Form).edit()

    def action_start(self) -> None:
        """Write the model; the screen shows how that goes."""
        if self._busy:
            return
        if self._export is not None and self._export.done:
            self.action_close()
            return
        pending = self.query_one(Form).pending()
        if pending is not None:
            self._take(Form.Edited(*pending))
        self._export = self.session.export = ModelExport(self._wished(), changed=self._show)
        self.post_message(Exporting(self._export))
        self._show()

    def _wished(self) -> Wish:
        return replace(self._wish, **self._values)

    def action_cycle(self, by: int) -> None:
        if not self._busy:
            self.query_one(Form).cycle(by)

    def action_cancel(self) -> None:
        if self._export is not None and self._busy:
            self._export.cancel()

    def action_close(self) -> None:
        self.dismiss()
