"""How a worker is asked to stop in the middle of its work: where something can be kept, that is done first."""

import contextlib
import threading
from collections.abc import Iterator


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

    @property
    def keeps(self) -> bool:
        """Whether the work looks at `asked` itself and keeps what it has."""
        return self._keeping > 0

    def ask(self) -> None:
        """Ask the working thread to stop; called by another one."""
        self._asked.set()

    def check(self) -> None:
        """Raises Stopped if it was asked for, except where work has something to keep first."""
        if self.asked and not self.keeps:
            raise Stopped

    @contextlib.contextmanager
    def keeping(self) -> Iterator[None]:
        """Work that looks at `asked` itself, keeps what it has, and raises Stopped."""
        self._keeping += 1
        try:
            yield
        finally:
            self._keeping -= 1
