"""The lab's app: it moves between the places, and says what screens have to say."""

import asyncio
import gc
import os
import signal
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import ClassVar

from textual.app import App
from textual.binding import BindingType

from engine.config import files
from engine.config.files import Config
from engine.errors import SecateurError
from engine.text.numbers import points_of
from tui import themes
from tui.keys.action import EVERYWHERE, PLACES, Place, place
from tui.keys.keymap import keymap
from tui.keys.table import bindings
from tui.patches import letters
from tui.patches.keyorder import KeyOrder
from tui.patches.spans import SendSpans
from tui.patches.stylesheet import ParsedOnce
from tui.screens.base import BaseScreen
from tui.session import Back, Exporting, Failed, Go, Session, Tell
from tui.widgets.painted import Painted
from tui.work.remembered import Keeper


class Lab(KeyOrder, SendSpans, App[None]):
    """A mode for each place, and what screens ask for by the messages of `tui.session`."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(EVERYWHERE)
    ENABLE_COMMAND_PALETTE = False
    TITLE = "secateur"
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

    def __init__(
        self,
        preset: Path | None = None,
        workspace: Path | None = None,
        first: str = "",
        *,
        keeper: Keeper | None = None,
        config: Config | None = None,
    ) -> None:
        """Open `preset` in the lab and `first`, a place; raises UsageError if there is no such place.

        With a `keeper` the lab begins where the last one was left, but for what is asked for here, and keeps where it
        is for the next one.
        """
        self.session = Session.at(workspace or Path(".secateur").absolute(), preset)
        config = config or files.load()
        self._take(config)
        first = self.session.go_on(keeper, first) if keeper else first
        self.DEFAULT_MODE = place(first or PLACES[0].name).name  # type: ignore[misc]
        plain = bool(os.environ.get("NO_COLOR"))
        super().__init__(letters.AsciiDriver if letters.ON else None, ansi_color=True if plain else None)
        self._before: list[str] = []
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = "plain" if plain else self._first_theme(config)
        self.stylesheet = ParsedOnce(variables=self.get_css_variables())
        self.set_keymap({name: ",".join(keys) for name, keys in self.session.keymap.items()})
        for row in PLACES:
            self.add_mode(row.name, partial(self._new_screen, row))

    def _take(self, config: Config) -> None:
        """Apply the user's settings; what is wrong in them is told once the first screen is there."""
        session = self.session
        session.within = config["within"]
        session.columns = tuple(config["columns"])
        session.keymap, wrong = keymap(config["keys"])
        self._problems = [*config.problems, *wrong]

    def _first_theme(self, config: Config) -> str:
        """The one that was chosen, or by default one that the terminal's colours are enough for."""
        by_default = config.given["theme"].source == "default"
        # `standard` is what Rich calls 16 colours.
        sixteen = by_default and self.console.color_system == "standard"
        return themes.SIXTEEN.name if sixteen else str(config["theme"])

    def _new_screen(self, row: Place) -> BaseScreen:
        """The place's screen, with the classes for this size of terminal: Textual would give it these after its first
        layout, and then style it a second time."""
        screen: BaseScreen = resolve_name(row.screen)(self.session)
        for size, breakpoints in (
            (self.size.width, self.HORIZONTAL_BREAKPOINTS),
            (self.size.height, self.VERTICAL_BREAKPOINTS),
        ):
            screen.add_class([name for least, name in breakpoints if size >= least][-1], update=False)
        return screen

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.DEFAULTS

    def on_mount(self) -> None:
        if self._problems:
            wrong = "\n".join(self._problems)
            self.post_message(
                Failed(SecateurError("Your settings are not valid", wrong, "`secateur config` shows them."))
            )
        self.session.watcher.failed = self._fail
        # After the first frame: a thread that reads files takes the interpreter from what draws it.
        self.call_after_refresh(self.session.watcher.start)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGTERM):
            loop.add_signal_handler(number, self.exit, None, 128 + number)

    def _fail(self, error: Exception) -> None:
        """Have the app end by an error of another thread, as by one of its own: nothing would move any more, and nobody
        would know."""

        def ended() -> None:
            raise error

        self.call_later(ended)

    def on_ready(self) -> None:
        gc.freeze()
        gc.enable()

    def let_go(self) -> None:
        """End the threads that read and write the terminal. Textual leaves them where leaving the terminal fails, as it
        may where that is gone: they would go on reading nothing, at the full speed of a processor, for ever."""
        driver = self._driver
        if driver is not None:
            if (ended := getattr(driver, "exit_event", None)) is not None:  # of those that read a terminal
                ended.set()
            driver.close()

    async def on_unmount(self) -> None:
        self._keep_place(self.current_mode)
        self.session.watcher.stop()
        if self.session.export is not None:
            await self.session.export.end()

    @property
    def here(self) -> BaseScreen:
        """The place on screen, below what may be asked over it."""
        below = self.screen_stack[0]
        assert isinstance(below, BaseScreen)
        return below

    # What screens ask for

    def on_go(self, message: Go) -> None:
        self.action_go(message.place)

    async def on_back(self, message: Back) -> None:
        await self.action_back()

    def on_tell(self, message: Tell) -> None:
        self.here.say(message.text, message.role)

    def on_failed(self, message: Failed) -> None:
        from tui.widgets.confirm import Notice

        error = message.error
        self.push_screen(Notice(error.title, error.detail, error.remedy))

    def on_exporting(self, message: Exporting) -> None:
        self.run_worker(self._export(message))

    async def _export(self, message: Exporting) -> None:
        """Run an export to its end and tell how it ended, wherever the user is by then."""
        export = message.export
        await export.run()
        if export.error is not None:
            self.post_message(Failed(export.error))
        else:
            self.post_message(Tell(export.outcome, "good" if export.done else "warn"))

    # Moving about

    def _leave_for(self, name: str) -> None:
        """Remember the way back; the study under the cursor of a list becomes the one that the place shows."""
        self._before.append(self.current_mode)
        pointed = self.here.pointed()
        if pointed is not None and name != "lab":
            self.session.show(pointed)
        self._keep_place(name)

    def _keep_place(self, name: str) -> None:
        """Have the next lab begin at this place, unless it is only reached from another one (as the knob is, whose
        worker loads torch)."""
        begin = {"place": name} if place(name).key else {}
        trial = -1 if self.session.trial is None else self.session.trial
        self.session.keep(**begin, study=self.session.study or "", trial=trial)

    async def go(self, name: str) -> None:
        """Go to a place, and wait until its screen is there."""
        if name != self.current_mode:
            self._leave_for(name)
            await self.switch_mode(name)

    def action_go(self, name: str) -> None:
        if name != self.current_mode and len(self.screen_stack) == 1:
            self._leave_for(name)
            self.switch_mode(name)

    async def action_back(self) -> None:
        if self._before and len(self.screen_stack) == 1:
            self._keep_place(self._before[-1])
            self.switch_mode(self._before.pop())

    async def action_help(self) -> None:
        from tui.screens.help import Help

        if len(self.screen_stack) == 1:
            await self.push_screen(Help(self.here))

    async def action_palette(self) -> None:
        from tui.screens.palette import show

        if len(self.screen_stack) == 1:
            await show(self, self.current_mode, self.go, self.session.keymap)

    def action_threshold(self) -> None:
        if len(self.screen_stack) == 1:
            self.run_worker(self._threshold())

    async def _threshold(self) -> None:
        """Ask for the points that picks may lose, in this session."""
        from engine.config.settings import BY_NAME
        from tui.widgets.confirm import Prompt

        within = self.session.within
        detail = "Empty: as each study's preset says. `within` in your settings keeps it (`secateur config`)."
        asked = Prompt("Points of validation accuracy that the pick may lose", f"{within or ''}", detail)
        typed = await self.push_screen_wait(asked)
        if typed is None:
            return
        try:
            within = float(typed) if typed.strip() else None
        except ValueError:
            within = -1.0
        if wrong := BY_NAME["within"].problem(within):
            self.here.say(wrong, "warn")
            return
        self.session.within = within
        self.here.picks_changed()
        self.here.say(
            f"picks lose at most {points_of(within)}" if within is not None else "picks are as presets say"
        )

    def action_theme(self) -> None:
        names = [theme.name for theme in themes.THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)] if self.theme in names else names[0]
        files.remember_theme(self.theme)
        self.call_after_refresh(self._draw_anew)
        self.here.say(f"theme: {self.theme}")

    def _draw_anew(self) -> None:
        """Have what we draw ourselves take the theme's colours: Textual tells some widgets later than the next key."""
        for widget in self.screen.query(Painted):
            widget.notify_style_update()

    def action_interrupt(self) -> None:
        self.here.say("^q leaves; studies that run go on without this program")

    def action_leave(self, key: str = "") -> None:
        """Leave, after a question if something would be lost."""
        from tui.screens.leaving import leave

        shown = [stack[0] for stack in self._screen_stacks.values() if stack]
        places = [screen for screen in shown if isinstance(screen, BaseScreen)]
        self.run_worker(leave(self, places, self.session))
