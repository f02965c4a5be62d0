"""What screens share, and what they ask of the app by messages that bubble up to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from engine.errors import SecateurError
from engine.studies import rundir
from engine.studies.rundir import RunDir
from tui.work.watch import Watcher

if TYPE_CHECKING:
    from engine.presets.limits import Limit
    from engine.results.pick import Asked, Pick
    from engine.studies.settings import StudySettings
    from engine.studies.state import StudyState
    from tui.work.models import ModelExport
    from tui.work.remembered import Keeper, Remembered


@dataclass
class Session:
    """One sitting at the lab; every screen is given it.

    Attributes:
        workspace: The folder whose studies are shown and started.
        watcher: Posts what goes on in the workspace; started and stopped by the app.
        preset: A preset's file that the lab's form is to open when it is next shown.
        proposal: A preset as YAML, and the name for it, that the lab's form is to open when it is next shown.
        study: The current study, which Curves, Trial, Layers and Log show; None until there is one.
        trial: The current trial's index where one was chosen; None: the study's pick.
        overlay: Other studies drawn together with the current one.
        export: The latest export of a model, at work or ended.
        within: Points that picks may lose, in place of what presets say; None where nobody said.
        columns: Those of the list of studies, by the user's settings; none: all.
        keymap: Keys of actions, by the user's settings.
        keeper: Keeps for the next lab what this one is at; None where nothing is kept.
        remembered: What the lab before left, until its preset has been opened.
    """

    workspace: Path
    watcher: Watcher
    preset: Path | None = None
    proposal: tuple[str, str] | None = None
    study: str | None = None
    trial: int | None = None
    overlay: list[str] = field(default_factory=list)
    export: "ModelExport | None" = None
    within: float | None = None
    limits: "dict[str, tuple[Limit, ...]]" = field(default_factory=dict)
    """Of searches, by study: limits that were moved here, by which their picks go then."""
    columns: tuple[str, ...] = ()
    keymap: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keeper: "Keeper | None" = None
    remembered: "Remembered | None" = None
    _settings: "dict[tuple[str, float | None], StudySettings | None]" = field(
        default_factory=dict, init=False
    )

    def __post_init__(self) -> None:
        self.watcher.asked = self.asked

    @classmethod
    def at(cls, workspace: Path, preset: Path | None = None) -> "Session":
        """The beginning of a session in a workspace, with a watcher that is not started yet."""
        return cls(workspace, Watcher(workspace), preset)

    def run(self, study: str) -> RunDir:
        """The folder of a study by its name."""
        return RunDir.of(self.workspace, study)

    def settings(self, study: str) -> "StudySettings | None":
        """A study's settings; None where they can't be read."""
        try:
            return self.run(study).settings()
        except SecateurError:
            return None

    def settings_of(self, study: str, state: "StudyState") -> "StudySettings | None":
        """The same, read once for each study that had the name: a new one may have that of one that was deleted."""
        known = study, state.started
        if known not in self._settings:
            self._settings[known] = self.settings(study)
        return self._settings[known]

    def asked(self, study: str) -> "Asked":
        """What this session asks for in place of what the study's preset says of its pick."""
        return self.limits.get(study, self.within)

    def limits_of(self, study: str, asked: "tuple[Limit, ...]") -> "tuple[Limit, ...]":
        """A search's limits as they stand here, by those that it asks for. What was moved of others is dropped: these
        are of a study of that name that was deleted, or that was resumed with other ones."""

        def kinds(limits: "tuple[Limit, ...]") -> list[tuple[str, str]]:
            return [(one.measure, one.kind) for one in limits]

        moved = self.limits.pop(study, None)
        if moved is None or kinds(moved) != kinds(asked):
            return asked
        self.limits[study] = moved
        return moved

    def picked(self, name: str, state: "StudyState") -> "Pick | None":
        """A study's pick, by what this session asks for."""
        from engine.results import pick

        settings = self.settings_of(name, state)
        return pick.asked_for(state, settings, self.asked(name))

    def trial_of(self, state: "StudyState | None") -> int:
        """The trial that pages on one show: the chosen one, else the study's pick, else the first that failed."""
        if self.trial is not None or state is None:
            return self.trial or 0
        found = self.picked(self.study or state.name, state)
        if found is not None:
            return found.trial.index
        return next((trial.index for trial in state.trials if trial.status == "failed"), 0)

    def show(self, study: str) -> None:
        """Make a study the current one, with the trial to take of it, unless it is that already."""
        if study != self.study:
            self.study, self.trial, self.overlay = study, None, []

    def current(self) -> str | None:
        """The current study; where none was chosen yet, the newest of the workspace becomes it."""
        if self.study is None:
            runs = rundir.studies(self.workspace)
            if runs:
                self.study, self.trial = runs[0].name, None
        return self.study

    def keep(self, **changes: object) -> None:
        """Take note for the next lab of what has changed."""
        if self.keeper is not None:
            self.keeper.keep(**changes)

    def go_on(self, keeper: "Keeper", place: str) -> str:
        """Be where the last lab was, unless a preset or a `place` was asked for; the place to begin at."""
        self.keeper, last = keeper, keeper.last()
        asked = self.preset
        if asked is None or str(asked.absolute()) == last.preset:
            self.remembered = last
        if last.study and self.run(last.study).preset.is_file():
            self.study, self.trial = last.study, last.trial if last.trial >= 0 else None
        return place or (last.place if asked is None else "")

    def take_remembered(self) -> "Remembered | None":
        """What the last lab left of its preset, once."""
        last, self.remembered = self.remembered, None
        return last

    def take_proposal(self) -> tuple[str, str] | None:
        """The preset that was proposed, once."""
        proposal, self.proposal = self.proposal, None
        return proposal

    def take_preset(self) -> Path | None:
        """The preset to open, once: whoever takes it opens it."""
        path, self.preset = self.preset, None
        return path


class Go(Message):
    """Go to a place, by its name in `PLACES`."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place


class Back(Message):
    """Go back to the place before."""


class Tell(Message):
    """Say something in the footer's line of the place that is on screen, until the next key."""

    def __init__(self, text: str, role: str = "") -> None:
        super().__init__()
        self.text, self.role = text, role


class Failed(Message):
    """Show an error with its detail and remedy until it is dismissed."""

    def __init__(self, error: SecateurError) -> None:
        super().__init__()
        self.error = error


class Exporting(Message):
    """Carry an export of a model out: it goes on when the screen that asked for it is closed."""

    def __init__(self, export: "ModelExport") -> None:
        super().__init__()
        self.export = export
