"""The lab's actions that run the preset."""

import asyncio

from textual import work

from engine.errors import Problem, SecateurError
from engine.presets.spec import Spec
from engine.studies.rundir import RunDir
from tui.lab.check import Checked, completed, runnable, valid
from tui.lab.fields import fields_of, problems_at, says
from tui.lab.outline import items
from tui.screens.lab_base import LabBase
from tui.screens.lab_texts import Review, TextView
from tui.session import Failed
from tui.widgets.form import Form
from tui.widgets.outline import Outline


class RunActions(LabBase):
    """A part of the lab screen."""

    _starting = False

    @work
    async def action_run(self) -> None:
        """Show every value, and start the study if that is confirmed."""
        if self._starting:
            return
        self._starting = True
        try:
            await self._run()
        finally:
            self._starting = False

    async def _run(self) -> None:
        self.flush()
        checked = await self._check_now()
        if checked.spec is None:
            self._go_to(checked.problems[0])
            return
        variants = await asyncio.to_thread(runnable, checked, self.history)
        if not variants:
            assert checked.unusable is not None
            self.post_message(Failed(checked.unusable))
            return
        from engine.runner import launch

        variants = [(launch.with_default_executor(spec), estimate) for spec, estimate in variants]
        review = Review(variants, lambda spec: launch.batch_scripts(spec, self.session.workspace))
        if not await self.app.push_screen_wait(review):
            return
        self.say("Starting …")
        before = self.session.study
        try:
            run = await self._begin(review.spec)
        except SecateurError as error:
            self.post_message(Failed(error))
            return
        seconds = {spec.name: estimate.seconds for spec, estimate in variants}[review.spec.name]
        if seconds is not None:
            self.expected[run.name] = seconds
        if before:
            self.session.watcher.unsubscribe(self, before)
        self.running = run.name
        self.session.watcher.subscribe(self, run.name)
        self.say(f"{run.name} runs, also when you leave. ^l: its curve and trials.", "good")

    async def _begin(self, spec: Spec) -> RunDir:
        """Create a study, make it the current one, start it and see it pass its check-up. Raises SecateurError."""
        from engine.runner import launch

        before = self.session.study
        run = await asyncio.to_thread(launch.create, spec, self.session.workspace)
        self.session.show(run.name)
        await asyncio.to_thread(launch.start, run)
        self.session.watcher.look()
        self.say("Trying its files and networks …")
        try:
            await asyncio.to_thread(launch.accepted, run)
        except SecateurError:
            self.session.study = before
            self.session.watcher.look()
            raise
        return run

    async def _check_now(self) -> Checked:
        """What holds for the preset as it is at this moment."""
        document = self.document
        if self.checked.revision == document.revision and self.checked.complete:
            return self.checked
        given = (document.root, document.name, document.folder, document.revision)
        checked = await asyncio.to_thread(lambda: completed(valid(*given), self.history))
        self.take(checked)
        return checked

    def _go_to(self, problem: Problem) -> None:
        """Put the cursor on the field that a problem is about."""
        root = self.document.root
        self.say(f"! {problem.path}: {says(problem)}", "bad")
        for item in items(root, self.checked.problems):
            owner = item.owner
            for field in fields_of(root, owner) if owner is not None else ():
                if problem in problems_at(root, field, [problem]):
                    self.query_one(Outline).point_at(item.key)
                    self.show_form()
                    self.query_one(Form).point_at(field.address)
                    self.query_one(Form).focus_row()
                    return

    def action_problems(self) -> None:
        self.flush()
        checked = self.checked
        parts = [(f"{problem.path}: {says(problem)}", "bad") for problem in checked.problems]
        if checked.unusable is not None:
            parts += [(str(checked.unusable), "bad")]
        self.app.push_screen(TextView("What is wrong with the preset", parts or [("Nothing.", "good")]))
