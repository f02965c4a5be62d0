"""The lab's actions that run the preset."""

import asyncio
from typing import TYPE_CHECKING

from engine.errors import Problem, SecateurError
from tui.lab.check import Checked, completed, runnable, valid
from tui.lab.fields import fields_of, problems_at, says, says_where
from tui.lab.outline import items
from tui.lab.review import Place
from tui.screens.lab_base import LabBase
from tui.screens.lab_texts import Review, TextView
from tui.screens.starting import StartActions
from tui.session import Failed, Go
from tui.widgets.confirm import Ask
from tui.widgets.form import Form
from tui.widgets.outline import Outline

if TYPE_CHECKING:
    from engine.presets.spec import Spec


class RunActions(LabBase, StartActions):
    """A part of the lab screen."""

    async def run_preset(self) -> None:
        """Show every value, and start the study if that is confirmed."""
        self.flush()
        self.say(
            "Checking the preset …"
        )  # with thousands of trials, or images to look for, this takes seconds
        checked = await self._check_now()
        if checked.spec is None:
            self._go_to(checked.problems[0])
            return
        variants = await asyncio.to_thread(runnable, checked, self.history)
        self.say("")
        if not variants:
            assert checked.unusable is not None
            self.post_message(Failed(checked.unusable))
            return
        from engine.runner import launch

        try:
            place = await asyncio.to_thread(self._place)
        except SecateurError as error:
            self.post_message(Failed(error))
            return
        review = Review(variants, place, lambda spec: launch.batch_scripts(spec, self.session.workspace))
        if not await self.app.push_screen_wait(review):
            return
        after = await self._asked_when(review.spec)
        if after is None:
            return
        self.say("Starting …")
        seconds = {spec.name: estimate.seconds for spec, estimate in variants}[review.spec.name]
        try:
            run = await self.begin(review.spec, seconds, after=after)
        except SecateurError as error:
            self.post_message(Go("lab"))
            self.post_message(Failed(error))
            return
        self.running = run.name
        await self.tell_begun(run)

    def _place(self) -> Place:
        """What site and user have settled of where the preset runs. Raises UsageError."""
        from engine.runner.executors import site

        options = {name: (value, site.shown(file)) for name, (value, file) in site.settled().items()}
        settled = self.checked.settled
        by, instead = ("", settled) if says_where(self.document.root) else (settled, "")
        return Place(by, instead, options)

    async def _asked_when(self, spec: "Spec") -> bool | None:
        """Whether a study waits for those that run on this machine; None if it is not to be started after all."""
        from engine.studies import turns

        if spec.settings.executor.slurm is not None:
            return False
        others = await asyncio.to_thread(turns.at_work, self.session.workspace)
        if not others:
            return True
        last = others[-1].run.name
        choices = {
            "a": f"after {last}: one study after the other, each as fast as this machine is",
            "b": "beside it: at once, and both slower; latency waits until the machine is quiet",
        }
        what = await asyncio.to_thread(turns.in_words, others)
        question = Ask(f"{others[0].run.name} runs here already", f"It can wait {what}.", choices, first="a")
        answer = await self.app.push_screen_wait(question)
        return None if not answer else answer == "a"

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
        for item in items(root, self.checked.problems, self.checked.settled):
            owner = item.owner
            for field in fields_of(root, owner, self.checked.settled) if owner is not None else ():
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
