"""How a worker is asked to stop in the middle of its work: where something can be kept, that is done first."""

import contextlib
import os
import threading
from collections.abc import Iterator

ANSWER_WITHIN_S = 3.0
"""How long a worker that has nothing to keep may take until it ends by itself: it may hang in a read."""


class Stopped(BaseException):
    """The work ends here because it was asked to. No error: nothing on the way may take it for one."""


class Stopping:
    """The wish that this process should stop, and whether its work has something to keep before it does."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._keeping = 0

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def ask(self) -> None:
        """Ask the working thread to stop; called by another one. Without something to keep the process ends soon."""
        self._asked.set()
        last = threading.Timer(ANSWER_WITHIN_S, self._end)
        last.daemon = True
        last.start()

    def _end(self) -> None:
        if not self._keeping:
            os._exit(0)

    def check(self) -> None:
        """Raises Stopped if it was asked for, except where work has something to keep first."""
        if self.asked and not self._keeping:
            raise Stopped

    @contextlib.contextmanager
    def keeping(self) -> Iterator[None]:
        """Work that looks at `asked` itself, keeps what it has, and raises Stopped."""
        self._keeping += 1
        try:
            yield
        finally:
            self._keeping -= 1
