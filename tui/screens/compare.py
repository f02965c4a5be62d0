"""Comparing two trials, from any place that shows one."""

import asyncio
from collections.abc import Sequence

from engine.errors import SecateurError
from engine.results import compare, pick
from engine.results.summary import quality_name
from engine.studies.rundir import named, studies
from engine.studies.state import load
from tui.screens.base import BaseScreen
from tui.screens.lab_texts import TextView
from tui.session import Failed
from tui.views.compare import lines
from tui.widgets.painted import Line
from tui.widgets.picker import Choice, Picker
from tui.work.studies import readable

MOST_STUDIES = 100
"""Other studies whose picks are offered."""


class CompareView(TextView):
    """Two trials side by side, to scroll through."""

    DEFAULT_CSS = "CompareView Box { max-width: 140; }"

    def __init__(self, found: compare.Comparison) -> None:
        super().__init__(f"{found.a.name} against {found.b.name}", ())
        self._found = found

    def build(self, width: int) -> Sequence[Line]:
        return lines(self._found, width)


class CompareActions(BaseScreen):
    """A part of such a place."""

    def compared(self) -> list[str]:
        """Trials that are chosen already, as `STUDY:TRIAL` or as a study for its pick; those missing are asked for."""
        study = self.session.study
        return [f"{study}:{self.session.trial_of(self.session.watcher.state(study))}"] if study else []

    def action_compare(self) -> None:
        self.run_worker(self._compare(), group="compare", exclusive=True)

    async def _compare(self) -> None:
        sides = self.compared()[:2]
        if not sides:
            return
        try:
            if len(sides) < 2:
                choices = await asyncio.to_thread(self._others, sides[0])
                picker = Picker(f"Compare {sides[0]} with", choices, columns=("trial", "what it is"))
                chosen = await self.app.push_screen_wait(picker)
                if not chosen:
                    return
                sides.append(chosen[0])
            found = await asyncio.to_thread(self._found, sides)
        except SecateurError as error:
            self.post_message(Failed(error))
        else:
            await self.app.push_screen(CompareView(found))

    def _others(self, first: str) -> list[Choice]:
        """The other trials of its study that are done, its pick first, and the picks of other studies."""
        study, index = named(first)
        run = self.session.run(study)
        with readable(run):
            state = load(run.path)
            choice = pick.asked_for(state, run.settings(), self.session.asked(run.name))
            picked = choice.trial if choice else None
            here = str(picked.index) if index in ("", pick.PICK) and picked else index
            done = [
                trial for trial in state.trials if trial.measure.status == "done" and str(trial.index) != here
            ]
            goal, quality = pick.goal_of(state, done) if done else "", quality_name(state)
            done.sort(key=lambda trial: (trial is not picked, trial.index))
            names = [(f"{study}:{trial.index}", pick.describe(trial, goal, quality)) for trial in done]
        own = [Choice(name, name, about) for name, about in names]
        others = [other for other in studies(self.session.workspace)[:MOST_STUDIES] if other.name != study]
        texts = [(other.name, other.stored_status().pick.get("text")) for other in others]
        return own + [
            Choice(name, f"{name}, its pick", text) for name, text in texts if isinstance(text, str)
        ]

    def _found(self, sides: list[str]) -> compare.Comparison:
        found = []
        for text in sides:
            study, trial = named(text)
            run = self.session.run(study)
            with readable(run):
                found.append(compare.side(run, load(run.path), trial, self.session.asked(run.name)))
        return compare.compare(*found)
