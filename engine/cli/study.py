"""`list`, `show`, `cancel`: commands on studies that import no torch."""

import argparse
import time
from typing import TYPE_CHECKING

from engine.cli.common import (
    add_json,
    add_study,
    add_trial,
    add_within,
    add_workspace,
    print_json,
    say,
    say_text,
    table_width,
    tell,
    trial_of,
)

if TYPE_CHECKING:
    from engine.studies.status import Status


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    listing = subparsers.add_parser(
        "list",
        help="the studies of a workspace",
        description="Every study, the one begun or resumed last first; with words, those that have them all in a "
        "column, their note or tags.",
    )
    listing.add_argument(
        "word", nargs="*", help="what a study has to have, such as failed, resnet20 or #paper"
    )
    listing.set_defaults(run=_list)
    show = subparsers.add_parser(
        "show",
        help="one study's results",
        description="A study's table and chart; --trial N: one trial's steps, measures and layers.",
    )
    add_trial(show, "show one trial in full: its number, or `pick`")
    add_within(show)
    show.set_defaults(run=_show)
    cancel = subparsers.add_parser(
        "cancel",
        help="stop a running study",
        description="Ask a study's engine to stop. Finished steps stay in the store: `secateur resume` goes on.",
    )
    add_study(cancel)
    cancel.set_defaults(run=_cancel)
    for command in (listing, show, cancel):
        add_workspace(command)
        add_json(command)


def _list(args: argparse.Namespace) -> int:
    from engine.config import files
    from engine.results.kept import cell, repicked
    from engine.store.workspace import workspace
    from engine.studies import notes
    from engine.studies.listed import Listed
    from engine.studies.rundir import studies
    from engine.text import numbers, tables

    folder = workspace(args.workspace)
    within = files.within(None)
    every = [
        Listed(run, repicked(run, run.read_status(), within), notes.read(run)) for run in studies(folder)
    ]
    listed = [one for one in every if one.has(args.word)]
    if args.json:
        print_json([one.as_dict() for one in listed])
        return 0
    if every and not listed:
        say(f"None of {len(every)} studies has {' and '.join(args.word)}.")
        return 0
    if not listed:
        say(f"No studies in {folder} yet: `secateur run quickstart` makes one.")
        return 0
    now = time.time()
    rows = [(one.run.name, one.status) for one in listed]
    models = tables.path_ends(one.status.model for one in listed)
    tagged = any(one.notes.tags for one in listed)
    cells = [
        [
            name,
            status.state + "?" * bool(status.doubt) + (f", {status.verdict}" if status.verdict else ""),
            status.fraction + (f" ({', '.join(less)})" if (less := _less(status)) else ""),
            cell(status.pick),
            numbers.age(now - status.created) if status.created else "",
            status.host,
            models.get(status.model, status.model),
            status.data,
            *([" ".join(f"#{tag}" for tag in one.notes.tags)] if tagged else []),
        ]
        for one in listed
        for name, status in [(one.run.name, one.status)]
    ]
    headers = ["study", "state", "trials", "pick", "started", "host", "model", "data", *["tags"] * tagged]
    align: list[tables.Align] = ["whole", "left", "right", "right", "left", "left", "left", "left", "left"]
    say_text(tables.table(headers, cells, align, table_width()))
    say(*(f"{name}: {status.standing}" for name, status in rows if status.standing), *_not_well(rows))
    return 0


def _less(status: "Status") -> list[str]:
    """What keeps the count of trials from telling all."""
    counted = ((status.untimed, "untimed"), (status.failed, "failed"))
    return [f"{number} {what}" for number, what in counted if number]


def _not_well(rows: "list[tuple[str, Status]]") -> list[str]:
    """What became of the newest studies that failed or were lost, and how to go on."""
    from engine.results import failures

    reasons = [
        (name, why)
        for name, status in rows
        if status.state != "cancelled" and (why := failures.of_status(status))
    ]
    out = [line for name, why in reasons[:TOLD] for line in ("", f"{name}: {why}")]
    if reasons:
        more = f" ({len(reasons) - TOLD} more are not well)" if len(reasons) > TOLD else ""
        out += ["", f"`secateur show NAME` says more, `secateur resume NAME` goes on{more}"]
    return out


def _show(args: argparse.Namespace) -> int:
    from engine.cli import study_text, trial
    from engine.config import files
    from engine.results.meant import meant
    from engine.store.workspace import workspace
    from engine.studies.rundir import find
    from engine.studies.state import load

    name, wanted = trial_of(args)
    run = find(workspace(args.workspace), name)
    state, within = load(run.path), files.within(args.within)
    if wanted:
        trial.show(run, state, meant(run, state, wanted, within), as_json=args.json)
        return 0
    if args.json:
        print_json(study_text.as_json(run, state, within))
    else:
        study_text.print_study(run, state, within)
    return 0


def _cancel(args: argparse.Namespace) -> int:
    from engine.errors import UsageError
    from engine.runner import launch
    from engine.store.workspace import workspace
    from engine.studies.rundir import find
    from engine.studies.status import OPEN

    run = find(workspace(args.workspace), args.study)
    status = run.read_status()
    if status.state not in OPEN:
        raise UsageError(f"Study {run.name} is {status.state}", "Only a running study can be cancelled.")
    launch.cancel(run)
    started, said = time.monotonic(), ""
    while (now := run.read_status()).state in OPEN:
        waited = time.monotonic() - started
        if waited > CANCEL_WITHIN_S:
            break
        if waited > TELL_AFTER_S and (what := _awaited(now)) != said:
            said = what
            tell(f"{run.name} was asked to stop and {what}")
        time.sleep(0.1)
    state = now.state
    if args.json:
        waits = _awaited(now) if state in OPEN else ""
        print_json({"study": run.name, "state": state, "waits": waits})
    elif state in OPEN:
        tell(f"{run.name} will stop as soon as it can: {_awaited(now)}")
    elif state == "done":
        say(f"{run.name} is done: it ended before it could be stopped")
    else:
        say(f"{run.name} is {state}: `secateur resume {run.name}` goes on where it was")
    return 0


def _awaited(status: "Status") -> str:
    """What a study that was asked to stop still waits for."""
    fate = status.process.fate()
    if fate == "alive" and status.process.suspended:
        return f"its engine is suspended: `kill -CONT {status.pid}` lets it hear"
    if fate == "elsewhere" and not status.waits:
        return f"its engine on {status.host} has not answered yet"
    return f"waits {status.waits}" if status.waits else "is about to"


TOLD = 3
"""Of how many studies the list says what became of them."""
CANCEL_WITHIN_S = 30.0
"""How long to wait for the engine's answer; it keeps what it has first, and one on another node hears late."""
TELL_AFTER_S = 4.0
"""After how long it is told what is waited for."""
