"""The one input field of the lab: keys that arrive together are handled in the order they were typed."""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import Input


class KeyInput(Input):
    """A compact input whose own keys (Backspace, Ctrl+U, …) run before the characters after them.

    Textual runs a bound key only after it has travelled up to the app, while characters are taken at once:
    `Backspace 9` in one packet would delete the 9 (Textual issue 6605). So the keys bound here are run
    inline, and Tab has priority. The cursor does not blink, because blinking sends bytes while idle.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", show=False, priority=True),
    ]

    def __init__(
        self,
        value: str = "",
        placeholder: str = "",
        *,
        id: str | None = None,
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(
            value, placeholder, id=id, classes=classes, disabled=disabled, compact=True, select_on_focus=False
        )
        self.cursor_blink = False

    async def _on_key(self, event: events.Key) -> None:
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if not binding.priority:
                event.stop()
                event.prevent_default()
                await self.app.run_action(binding.action, self)
                return
        await super()._on_key(event)
