"""Keys are handled strictly one after the other, however they arrive; none is lost behind Escape.

A key that a widget does not take itself travels up through the queues of its parents before the app runs
what it is bound to, while the next key goes straight to the focused widget. Keys that arrive in one packet
(a slow line, a paste, a fast typist) would so overtake each other. Here each key waits until a mark sent
after the one before has travelled the same way up (Textual issue 6605), and until a screen that opens is there to
take it, however long a busy machine needs for that.

A terminal sends Alt and a letter as Escape and the letter. Nothing here is bound to Alt, while somebody who types fast
means Escape, then the letter: so these are handled as two keys.
"""

import time
from collections import deque
from typing import TYPE_CHECKING

from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.app import App
from textual.keys import _character_to_key
from textual.message import Message
from textual.message_pump import MessagePump

if TYPE_CHECKING:
    Base = App[None]
else:
    Base = object

GIVE_UP_S = 0.3
"""After this long a mark is taken for lost, with the widget that it was sent to."""


assert isinstance(ANSI_SEQUENCES_KEYS, dict)
for _sequence in [f"\x1b{letter}" for letter in "0123456789-="]:
    ANSI_SEQUENCES_KEYS.pop(_sequence, None)  # signs that Alt gives on one kind of keyboard


def apart(event: events.Key | events.Paste) -> list[events.Key | events.Paste]:
    """The keys of an event: Escape and a letter where they arrived together."""
    if not isinstance(event, events.Key) or not event.key.startswith("alt+") or not event.character:
        return [event]
    return [events.Key("escape", "\x1b"), events.Key(_character_to_key(event.character), event.character)]


class Handled(Message, bubble=True):
    """Travels behind a key; once it reaches the app, the key has been handled.

    It travels twice: what the key's handler posted (an input's `Submitted`, say) is handled by the second time.
    """

    def __init__(self, sent_to: MessagePump, *, again: bool) -> None:
        super().__init__()
        self.sent_to, self.again = sent_to, again


class KeyOrder(Base):
    """A mixin for the app."""

    _under_way = 0.0
    """When the key being handled was sent on; 0 if none is."""
    _mark: Handled | None = None
    """The one that is waited for."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        self._keys: deque[events.Key | events.Paste] = deque()
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    @property
    def handling(self) -> bool:
        """Whether a key is being handled. Where the widget that its mark was sent to is gone, none is any more."""
        if not self._under_way or self._mark is None:
            return False
        return self._mark.sent_to.is_running or not self.screen.is_mounted

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
            return
        waited = bool(self._keys)
        self._keys += apart(event)
        if not self._under_way or time.monotonic() - self._under_way > GIVE_UP_S:
            await self._next_key()
        if self._keys and not waited:
            self.set_timer(GIVE_UP_S, self._unstick)

    async def _next_key(self) -> None:
        self._under_way = 0.0
        if not self._keys:
            return
        self._under_way = time.monotonic()
        if self.screen.is_mounted:
            await super().on_event(self._keys.popleft())
            self._send_mark(again=True)
        else:  # it opens: nothing in it has the focus yet, and the key is lost there
            self._send_mark(again=False)

    def _send_mark(self, *, again: bool) -> None:
        target = self.focused or self.screen
        self._mark = Handled(target, again=again)
        if not target.post_message(self._mark):
            self._mark = Handled(self, again=False)
            self.post_message(self._mark)

    async def on_handled(self, message: Handled) -> None:
        if message is not self._mark:
            return  # one that was given up
        if message.again:
            self._send_mark(again=False)
        else:
            await self._next_key()

    async def _unstick(self) -> None:
        """While keys wait, look from time to time whether the mark that they wait for is lost, and go on if it is."""
        if self._keys and time.monotonic() - self._under_way > GIVE_UP_S:
            await self._next_key()
        if self._keys:
            self.set_timer(GIVE_UP_S, self._unstick)
