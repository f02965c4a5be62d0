"""What can be done to a study, as plain functions that run in a thread; each gives the name to report."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import SecateurError
from engine.store.paths import expanded
from engine.studies.listed import Listed
from engine.studies.rundir import RunDir
from engine.studies.state import MALFORMED, TrialState
from engine.text.numbers import age, size
from engine.text.phrases import counted

if TYPE_CHECKING:
    from engine.reports.clips import Clip
    from engine.results.pick import Asked
    from engine.results.suggestions import Suggestion

Act = Callable[[Listed], str]
"""What is done to a study; gives the name to report."""


@contextmanager
def readable(*runs: RunDir) -> Iterator[None]:
    """Raises SecateurError where the block finds that the events of these studies make no sense."""
    try:
        yield
    except MALFORMED as error:
        names = ", ".join(run.name for run in runs)
        files = "\n".join(str(run.events) for run in runs)
        raise SecateurError(f"The events of {names} make no sense", files) from error


def start(study: Listed, *, here: bool = False) -> str:
    """Start a study's engine, for the first time or again, after those that run on this machine.

    `here`: though this machine gives other bits. Raises `engine.runner.pinned.OtherMachine` where it would and that
    was not said.
    """
    from engine.runner import launch

    launch.start(study.run, here=here, after=True)
    return study.run.name


def begin_now(study: Listed) -> str:
    """Let a study begin that waits for its turn. Raises SecateurError where it does not wait."""
    from engine.runner import launch

    launch.begin_now(study.run)
    return study.run.name


def cancel(study: Listed) -> str:
    """Ask a study's engine to stop; it answers within a moment."""
    from engine.runner import launch

    launch.cancel(study.run)
    return study.run.name


def hold(study: Listed) -> str:
    """Keep what waits of a study on a cluster from starting. Raises SecateurError for one that has no jobs."""
    from engine.runner.executors import steering

    steering.hold(study.run)
    return study.run.name


def release(study: Listed) -> str:
    """Let what was held start when its turn comes. Raises SecateurError for a study that has no jobs."""
    from engine.runner.executors import steering

    steering.release(study.run)
    return study.run.name


def throttle(study: Listed, factor: float) -> str:
    """Let so many times the tasks run at the same time. Raises SecateurError for a study that has no jobs."""
    from engine.runner.executors import steering

    most = counted(steering.throttle_by(study.run, factor), "task")
    return f"{study.run.name} (at most {most})"


def replay(study: Listed) -> str:
    """Run a study again in a store of its own."""
    from engine.runner import launch
    from engine.runner import replay as replaying

    run = replaying.create(study.run)
    launch.start(run, after=True)
    return run.name


def delete(study: Listed) -> str:
    """Move a study into the bin. Raises SecateurError for one that runs."""
    from engine.studies import bin

    return bin.delete(study.run).name


def restore(workspace: Path, name: str = "") -> str:
    """Take a study out of the bin, by default the one deleted last. Raises SecateurError where that can't be done."""
    from engine.studies import bin

    found = bin.binned(workspace)
    if not name and not found:
        raise SecateurError("The bin is empty", "No study was deleted, or `secateur clean` has emptied it.")
    return bin.restore(workspace, name or found[0].name).name


def disk_use(workspace: Path, width: int) -> str:
    """What fills the workspace, as text of so many columns."""
    from engine.reports.disk import overview
    from engine.studies import holdings

    contents = holdings.holdings(workspace)
    return overview(contents, contents.left_over(), width)


def pick(study: Listed, asked: "Asked" = None) -> tuple[TrialState, str]:
    """The trial to take of a study, and why, as a sentence. Raises SecateurError while no trial is done."""
    from engine.results import exports
    from engine.results.pick import PICK
    from engine.studies import state

    with readable(study.run):
        return exports.choose(study.run, state.load(study.run.path), PICK, asked)


def trial_preset(run: RunDir, trial: TrialState) -> Path:
    """The preset that makes a trial: of a search one of its own, written into the study's folder; else the study's."""
    from engine.presets import spec
    from engine.store.files import write_atomic

    if not trial.proposal:
        return run.preset
    file = run.path / f"trial-{trial.index}.yaml"
    write_atomic(file, spec.plain(run.spec(), trial.proposal, f"Trial {trial.index} of {run.name}"))
    return file


def clips(run: RunDir, trial: int | None = None, asked: "Asked" = None) -> "list[Clip]":
    """What can be copied of a study, and of one of its trials. Raises SecateurError where its files can't be read."""
    from engine.reports.clips import of_study
    from engine.studies import state

    with readable(run):
        found = state.load(run.path)
        return list(
            of_study(run, found, next((one for one in found.trials if one.index == trial), None), asked)
        )


def report(runs: Sequence[RunDir], name: str, asked: "Callable[[str], Asked]") -> Path:
    """Write a report on studies into a file, the pick of each by what is `asked` for of it; the file's path.

    Raises SecateurError where that can't be done.
    """
    from engine.reports import content, files
    from engine.studies import state

    with readable(*runs):
        return files.write(
            [content.reported(run, state.load(run.path), asked(run.name)) for run in runs], expanded(name)
        )


def suggested(run: RunDir, asked: "Asked" = None) -> "tuple[list[Suggestion], str]":
    """What is worth trying after a study, and why nothing is. Raises SecateurError where its files can't be read."""
    from engine.results import pick, suggestions
    from engine.studies import state

    with readable(run):
        found = state.load(run.path)
        choice = pick.asked_for(found, run.settings(), asked)
        return suggestions.suggestions(run, found, choice), suggestions.without(found, choice)


def what_is_lost(studies: list[Listed]) -> str:
    """What deleting these studies loses, and what it makes free, as sentences."""
    from engine.studies import holdings

    contents = holdings.holdings(studies[0].run.workspace)
    names = {study.run.name for study in studies}
    folders = {one.name: one.folder for one in contents.holders if one.name in names}
    lines = []
    for study in studies[:8]:
        made = f", {age(time.time() - study.status.created)}" if study.status.created else ""
        lines.append(
            f"{study.run.name}: {study.status.counts}{made}, {size(folders.get(study.run.name, 0))} in its folder"
        )
    if len(studies) > 8:
        lines.append(f"and {len(studies) - 8} more")
    lines.append("")
    in_folders, alone = sum(folders.values()), sum(item.size for item in contents.alone(names))
    lines.append(
        "They go into the bin: u takes the last one back, with all that it had. `secateur clean` removes what has been "
        f"there for 30 days: {size(in_folders)} of folders, and of the {size(sum(i.size for i in contents.items))} in "
        f"the store {size(alone)} that no other study holds."
    )
    return "\n".join(lines)
