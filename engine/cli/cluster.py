"""`hold`, `release`, `throttle`: commands on studies whose tasks are jobs of a cluster."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.cli.common import add_json, add_study, add_workspace, print_json, say

if TYPE_CHECKING:
    from engine.studies.rundir import RunDir


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    for name, text, function in (
        ("hold", "keep a study's waiting tasks from starting", _hold),
        ("release", "let a study's held tasks start", _release),
        ("throttle", "let so many of a study's tasks run at the same time", _throttle),
    ):
        command = subparsers.add_parser(name, help=f"{text} (Slurm)", description=_LONG[name])
        add_study(command)
        if name == "throttle":
            command.add_argument("tasks", type=int, metavar="N", help="tasks of a stage; 0: no limit")
        add_workspace(command)
        add_json(command)
        command.set_defaults(run=function)


_LONG = {
    "hold": "Keep the tasks of a study that wait in Slurm's queue from starting; those that run go on.",
    "release": "Let the tasks of a study that `hold` keeps in Slurm's queue start when their turn comes.",
    "throttle": "Change, while they run and wait, how many tasks of a study may run at the same time "
    "(executor.slurm.parallel).",
}


def _hold(args: argparse.Namespace) -> int:
    from engine.runner.executors import steering

    return _do(args, steering.hold, "what waits of it is held: `secateur release` lets it go")


def _release(args: argparse.Namespace) -> int:
    from engine.runner.executors import steering

    return _do(args, steering.release, "what was held of it waits for its turn")


def _throttle(args: argparse.Namespace) -> int:
    from engine.errors import UsageError
    from engine.runner.executors import steering

    if args.tasks < 0:
        raise UsageError(
            f"{args.tasks} tasks can't run at the same time", "N has to be 0 (no limit) or more."
        )
    most = f"at most {args.tasks} of its tasks run" if args.tasks else "as many of its tasks run as can"
    return _do(args, lambda run: steering.throttle(run, args.tasks), f"{most} at the same time")


def _do(args: argparse.Namespace, do: "Callable[[RunDir], None]", done: str) -> int:
    from engine.errors import UsageError
    from engine.store.workspace import workspace
    from engine.studies.rundir import find

    run = find(workspace(args.workspace), args.study)
    status = run.read_status()
    if status.executor != "slurm":
        raise UsageError(f"Study {run.name} has no jobs", "It runs on this machine, not by Slurm.")
    do(run)
    if args.json:
        print_json({"study": run.name, "jobs": list(run.jobs())})
    else:
        say(f"{run.name}: {done}")
    return 0
