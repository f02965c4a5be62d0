"""The lab's app: it holds what screens share and moves between them."""

import asyncio
import gc
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App
from textual.binding import BindingType
from textual.screen import Screen

from engine.errors import SecateurError
from engine.studies.rundir import RunDir
from tui import places, themes
from tui.keys.table import EVERYWHERE, bindings
from tui.patches.keyorder import KeyOrder
from tui.patches.spans import SendSpans
from tui.screens.base import BaseScreen
from tui.stylesheet import ParsedOnce
from tui.work.watch import Watcher

if TYPE_CHECKING:
    from engine.presets.spec import Spec
    from tui.work.models import ModelExport, Wish


class Lab(KeyOrder, SendSpans, App[None]):
    """Screens reach it as `self.app`; what they may use is what is public here.

    Attributes:
        study: The current study, which Curves, Trial, Layers and Log show; None until there is one.
        trial: The current trial's index.
        overlay: Other studies drawn together with the current one.
        export: The latest export of a model, at work or ended.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(EVERYWHERE)
    ENABLE_COMMAND_PALETTE = False
    TITLE = "secateur"
    DEFAULT_MODE = "lab"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-narrow"),
        (110, "-wide"),
        (180, "-huge"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-short"),
        (34, "-tall"),
    ]

    def __init__(self, preset: Path | None = None, workspace: Path | None = None, first: str = "lab") -> None:
        self.DEFAULT_MODE = first  # type: ignore[misc]
        plain = bool(os.environ.get("NO_COLOR"))
        super().__init__(ansi_color=True if plain else None)
        self.preset = preset
        self.workspace: Path = workspace or Path(".secateur").absolute()
        self.watcher = Watcher(self.workspace)
        self.study: str | None = None
        self.trial = 0
        self.overlay: list[str] = []
        self.export: ModelExport | None = None
        self._before: list[str] = []
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = "plain" if plain else themes.chosen()
        self.stylesheet = ParsedOnce(variables=self.get_css_variables())
        for _, place, _ in places.PLACES:
            self.add_mode(place, lambda place=place: self._fitted(places.screen(place, self)))  # type: ignore[misc]

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.DEFAULTS

    def _fitted(self, screen: Screen[Any]) -> Screen[Any]:
        """A new screen with the classes that Textual would give it, and style it anew for, once it is laid out."""
        for size, breakpoints in (
            (self.size.width, self.HORIZONTAL_BREAKPOINTS),
            (self.size.height, self.VERTICAL_BREAKPOINTS),
        ):
            screen.add_class([name for least, name in breakpoints if size >= least][-1], update=False)
        return screen

    def on_mount(self) -> None:
        # After the first frame: a thread that reads files takes the interpreter from what draws it.
        self.call_after_refresh(self.watcher.start)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGTERM):
            loop.add_signal_handler(number, self.exit, None, 128 + number)

    def on_ready(self) -> None:
        gc.freeze()
        gc.enable()

    async def on_unmount(self) -> None:
        self.watcher.stop()
        if self.export is not None:
            await self.export.end()

    async def start_study(self, spec: "Spec") -> RunDir:
        """Create and start a study in a thread; raises SecateurError. Call it from a worker of a screen."""
        from engine.runner import launch

        run = await asyncio.to_thread(launch.create, spec, self.workspace)
        self.study, self.trial, self.overlay = run.name, 0, []
        await asyncio.to_thread(launch.start, run)
        self.watcher.look()
        return run

    def start_export(self, wish: "Wish") -> "ModelExport":
        """Begin to write a trial's model in a process of its own; it ends with the lab."""
        from tui.screens.model_export import carry_out
        from tui.work.models import ModelExport

        self.export = ModelExport(wish)
        self.run_worker(carry_out(self, self.export))
        return self.export

    def show_study(self, name: str, place: str = "curves") -> None:
        """Make `name` the current study and open its curves (or another place)."""
        self._make_current(name)
        self.action_go(place)

    def _make_current(self, name: str) -> None:
        if name != self.study:
            self.study, self.trial, self.overlay = name, 0, []

    def _leave_for(self, place: str) -> None:
        """Remember the way back; from a list of studies a place that shows one shows the one pointed at."""
        self._before.append(self.current_mode)
        pointed = self.screen.pointed() if isinstance(self.screen, BaseScreen) else None
        if pointed is not None and place != "lab":
            self._make_current(pointed)

    def tell(self, text: str, role: str = "") -> None:
        """Say something in the footer's line until the next key."""
        if isinstance(self.screen, BaseScreen):
            self.screen.say(text, role)

    async def fail(self, error: SecateurError) -> None:
        """Show an error with its detail and remedy until it is dismissed."""
        from tui.widgets.confirm import Notice

        await self.push_screen(Notice(error.title, error.detail, error.remedy))

    async def open_preset(self, path: Path) -> None:
        """Open a preset in the lab (`edit as new preset`)."""
        await self.go("lab")
        places.open_preset(self, path)

    async def go(self, place: str) -> None:
        """Go to a place, and wait until its screen is there."""
        if place != self.current_mode:
            self._leave_for(place)
            await self.switch_mode(place)

    def action_go(self, place: str) -> None:
        if place == self.current_mode or len(self.screen_stack) > 1:
            return
        self._leave_for(place)
        self.switch_mode(place)

    async def action_back(self) -> None:
        if len(self.screen_stack) > 1:
            return
        if self._before:
            self.switch_mode(self._before.pop())

    async def action_help(self) -> None:
        from tui.screens.help import Help

        if not isinstance(self.screen, Help):
            await self.push_screen(Help(self.screen))

    async def action_palette(self) -> None:
        from tui.screens.palette import show

        await show(self)

    def action_theme(self) -> None:
        names = [theme.name for theme in themes.THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)] if self.theme in names else names[0]
        themes.remember(self.theme)
        self.tell(f"theme: {self.theme}")

    def action_interrupt(self) -> None:
        self.tell("^q leaves; studies that run go on without this program")

    def action_leave(self, key: str = "") -> None:
        """Leave, after a question if something would be lost."""
        from tui.screens.leaving import leave

        self.run_worker(leave(self))
