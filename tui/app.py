"""The lab's app: it holds what screens share and moves between them."""

from pathlib import Path

from textual.app import App

from engine.errors import SecateurError
from engine.rundir import RunDir
from engine.spec import Spec
from tui.watch import Watcher


class Lab(App[None]):
    """Screens reach it as `self.app`; what they may use is what is public here."""

    def __init__(self, preset: Path | None = None, workspace: Path | None = None) -> None:
        super().__init__()
        self.preset = preset
        self.workspace: Path = workspace or Path()
        self.watcher = Watcher(self.workspace)

    async def start_study(self, spec: Spec) -> RunDir:
        """Create and start a study in a thread; raises SecateurError. Call it from a worker of a screen."""
        raise NotImplementedError

    def show_study(self, name: str) -> None:
        """Make `name` the current study and open its curves."""

    def tell(self, text: str) -> None:
        """Say something in the footer's line until the next key."""

    async def fail(self, error: SecateurError) -> None:
        """Show an error with its detail and remedy until it is dismissed."""

    def open_preset(self, path: Path) -> None:
        """Open a preset in the lab (`edit as new preset`)."""
