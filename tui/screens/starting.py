"""Starting a new study, from any place that has a preset."""

import asyncio
import functools
from typing import TYPE_CHECKING

from engine.errors import SecateurError
from engine.studies.rundir import RunDir
from engine.studies.status import OPEN
from tui.screens.base import BaseScreen
from tui.session import Go, Tell

if TYPE_CHECKING:
    from engine.presets.spec import Spec


class StartActions(BaseScreen):
    """A part of such a place, which gives `run_preset`."""

    _starting = False

    def action_run(self) -> None:
        """Run what is here as a new study: one, however often the key comes until it has started."""
        if not self._starting:
            self._starting = True
            self.run_worker(self._run_once(), group="run")

    async def _run_once(self) -> None:
        try:
            await self.run_preset()
        finally:
            self._starting = False

    async def run_preset(self) -> None:
        """Make a study of the preset and `begin` it, or say why not."""
        raise NotImplementedError

    async def begin(self, spec: "Spec", seconds: float | None, *, after: bool) -> RunDir:
        """Create a study, show it as the current one, start it and see it pass its check-up. Raises SecateurError.

        It is estimated to take so many `seconds`; `after` is as in `launch.start`.
        """
        from engine.runner import launch

        before = self.session.study
        run = await asyncio.to_thread(
            functools.partial(launch.create, spec, self.session.workspace, expected=seconds or 0.0)
        )
        self.session.show(run.name)
        self.post_message(Go("run"))
        await asyncio.to_thread(functools.partial(launch.start, run, after=after))
        self.session.watcher.look()
        try:
            await asyncio.to_thread(launch.accepted, run)
        except SecateurError:
            self.session.study = before
            self.session.watcher.look()
            raise
        return run

    async def tell_begun(self, run: RunDir) -> None:
        """Say that a study goes on; one whose results were all stored may be through by now."""
        if (await asyncio.to_thread(run.read_status)).state in OPEN:
            self.post_message(Tell(f"{run.name} goes on, also when you leave", "good"))
