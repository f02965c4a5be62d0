"""Modals of the lab that show text: YAML, differences, problems, and every value before a start."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from engine.errors import Problem, SecateurError
from engine.results.estimate import Estimate
from engine.text.tables import cell_width
from tui.lab.outline import amount_of
from tui.lab.review import Entry, Place, sections
from tui.widgets.box import Box
from tui.widgets.keys import Hint, Keys
from tui.widgets.pager import Pager
from tui.widgets.painted import Line
from tui.widgets.wrap import wrapped

if TYPE_CHECKING:
    from engine.presets.spec import Spec

Part = tuple[str, str]
"""Text and its role."""


class TextView(ModalScreen[bool]):
    """Text to scroll through; Escape closes it."""

    DEFAULT_CSS = """
    TextView Box { width: 96%; max-width: 110; height: 94%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "close", "close")]
    KEYS: tuple[Hint, ...] = (Hint("Esc", "close", "escape"), Hint("↑ ↓", "scroll"))

    def __init__(self, title: str, parts: Sequence[Part]) -> None:
        super().__init__()
        self._title, self._parts = title, parts

    def compose(self) -> ComposeResult:
        with Box(self._title):
            yield Pager(self.build)
            yield Keys(*self.KEYS)

    def build(self, width: int) -> Sequence[Line]:
        """The text in lines of `width` columns."""
        lines: list[Line] = []
        for text, role in self._parts:
            for line in text.splitlines():
                indent = line[: len(line) - len(line.lstrip())]
                lines += wrapped(line.lstrip(), width, role, indent)
        return lines

    def action_close(self) -> None:
        self.dismiss(False)


class YamlView(TextView):
    """A preset's YAML in colours, each of its problems below the line that it is about."""

    def __init__(self, title: str, yaml: str, problems: Sequence[Problem]) -> None:
        super().__init__(title, ())
        self._yaml, self._problems = yaml, problems

    def build(self, width: int) -> Sequence[Line]:
        from tui.views.highlight import highlighted

        return highlighted(self._yaml, self._problems, width)


class Review(TextView):
    """Every value of a study before it starts; Enter or the run key starts it.

    `variants` are the preset and its quick version, those of them that can run, with their estimates; `q`
    goes from one to the other, and `spec` is the one that is shown and would be started.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,f9,y", "start", "start"),
        Binding("n", "close", "cancel"),
        Binding("q", "other", "quick version"),
        Binding("v", "scripts", "batch scripts"),
    ]
    KEYS: tuple[Hint, ...] = (
        Hint("Enter", "start it", "enter"),
        Hint("Esc", "back", "escape"),
        Hint("↑ ↓", "scroll"),
    )

    def __init__(
        self,
        variants: "Sequence[tuple[Spec, Estimate]]",
        place: Place,
        scripts: "Callable[[Spec], str]",
    ) -> None:
        """`place` is what is settled of where they run, `scripts` gives the batch scripts that a cluster would get."""
        super().__init__("", ())
        self._scripts, self._place = scripts, place
        self._variants = variants
        self._shown = 0
        if len(variants) > 1:
            self.KEYS = (*self.KEYS, Hint("q", "quick or whole version", "q"))
        if variants[0][0].settings.executor.slurm is not None:
            self.KEYS = (*self.KEYS, Hint("v", "batch scripts", "v"))

    @property
    def spec(self) -> "Spec":
        return self._variants[self._shown][0]

    def compose(self) -> ComposeResult:
        self._title = self._headline()
        yield from super().compose()

    def _headline(self) -> str:
        spec, estimate = self._variants[self._shown]
        return f"Run {spec.name}: {amount_of(spec)}, {estimate}"

    def build(self, width: int) -> Sequence[Line]:
        """The sections with what is set or swept first; what is left at its default on fewer lines."""
        lines: list[Line] = [[("Swept and set values; defaults follow in brackets.", "muted")], ()]
        for name, entries in sections(self.spec, self._place):
            lines += [[(name, "title")], *section_lines(entries, width)]
        return lines

    def action_other(self) -> None:
        self._shown = (self._shown + 1) % len(self._variants)
        self.query_one(Box).border_title = self._headline()
        self.query_one(Pager).show(self.build)

    def action_scripts(self) -> None:
        """Show what Slurm would be given; nothing is sent."""
        if self.spec.settings.executor.slurm is None:
            return
        try:
            text = self._scripts(self.spec)
        except SecateurError as error:
            text = str(error)
        self.app.push_screen(TextView("Batch scripts that Slurm would be given", [(text, "")]))

    def action_start(self) -> None:
        self.dismiss(True)


def section_lines(entries: Sequence[Entry], width: int) -> list[Line]:
    """The values of one section: a line for each that is set or swept, the defaults in a row."""
    names = max((cell_width(name) for name, _, origin in entries if origin != "default"), default=0)
    lines: list[Line] = []
    for name, value, origin in entries:
        if origin == "default":
            continue
        sign = "~" if origin in ("swept", "together") else "*"
        first, *rest = wrapped(
            f"{value}{' (together)' if origin == 'together' else ''}", max(width - names - 6, 10)
        )
        lines.append([(f"  {sign} {name.ljust(names)}  ", "accent" if sign == "~" else ""), *first])
        lines += [[(" " * (names + 6), ""), *line] for line in rest]
    defaults = ", ".join(f"{name} {value}" for name, value, origin in entries if origin == "default")
    if defaults:
        lines += wrapped(f"[{defaults}]", width, "muted", "    ")
    return lines


def diff_parts(lines: Sequence[str]) -> list[Part]:
    """A unified diff with its changed lines marked by their sign and colour."""
    roles = {"+": "good", "-": "bad", "@": "muted"}
    return [(line, roles.get(line[:1], "")) for line in lines]
