"""`run`, `resume`, `replay`, `watch`: commands that follow an engine."""

import argparse
import sys
from typing import TYPE_CHECKING

from engine.cli.common import (
    add_json,
    add_overrides,
    add_study,
    add_workspace,
    print_as_it_is,
    print_json,
    say,
    tell,
)
from engine.cli.declared import STDIN
from engine.errors import (
    EXIT_DIFFERENT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    SecateurError,
    UsageError,
    exit_code_of,
)

if TYPE_CHECKING:
    from engine.presets.spec import Spec
    from engine.studies.rundir import RunDir
    from engine.studies.state import StudyState


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = subparsers.add_parser(
        "run",
        help="run a preset",
        description="Run a preset (a YAML file, or the name of one that comes with secateur) as a study in the "
        "background, and follow it. Results that the workspace's store holds already are not computed again.",
        epilog="Ctrl-C stops following, not the study. With --json the study's results go to stdout as one "
        "object, progress to stderr.",
    )
    run.add_argument(
        "preset", help="a file, or a name from `secateur presets`; `-` reads YAML from standard input"
    )
    add_overrides(
        run,
        "override one value of the preset, such as train.epochs=2 or sweep.prune.weights.sparsity=[0,0.5]",
    )
    run.add_argument(
        "--quick",
        action="store_true",
        help="the small version of the study that the preset's `quick` section makes (before any --set)",
    )
    run.add_argument(
        "--name",
        help="the study's name; where there is a study of this name and preset, go on with it (for batch scripts)",
    )
    run.add_argument("--detach", action="store_true", help="start it and return at once")
    add_turn(run)
    run.add_argument(
        "--show-script",
        action="store_true",
        help="print the batch scripts that Slurm would be given, to be read: nothing is written or sent, and they need "
        "the study's folder, which --prepare writes",
    )
    run.add_argument(
        "--prepare",
        action="store_true",
        help="write the study with its batch scripts, to be looked at, changed and sent by hand: "
        "`bash FOLDER/slurm/submit.sh` sends them",
    )
    add_workspace(run)
    add_json(run)
    run.set_defaults(run=_run)

    for name, text, function in (
        ("watch", "follow a running study", _watch),
        ("resume", "go on with a study that was cancelled, failed or lost its engine", _resume),
        ("replay", "run a study again without reusing anything and compare bit for bit", _replay),
    ):
        command = subparsers.add_parser(name, help=text, description=_LONG[name])
        add_study(command)
        if name == "resume":
            command.add_argument(
                "--remeasure",
                action="store_true",
                help="measure again what other programs disturbed (marked ~ in the table)",
            )
            add_overrides(
                command,
                "ask the executor for something else, such as executor.slurm.memory=8G, or let a search go on, such "
                "as search.budget.trials=120",
                "PATH=VALUE",
            )
            command.add_argument(
                "--here",
                action="store_true",
                help="go on on this machine though it gives other bits than the one where the study began",
            )
        if name != "watch":
            add_turn(command)
            command.add_argument("--detach", action="store_true", help="start it and return at once")
        add_workspace(command)
        add_json(command)
        command.set_defaults(run=function)


def add_turn(command: argparse.ArgumentParser) -> None:
    """Whether the study waits for those before it: `--after`, `--beside`."""
    turn = command.add_mutually_exclusive_group()
    turn.add_argument(
        "--after",
        action="store_true",
        default=None,
        help="one study after the other: wait until those that run or wait on this machine are over (the default; "
        "not within a batch job)",
    )
    turn.add_argument(
        "--beside",
        dest="after",
        action="store_false",
        help="begin at once, beside studies that run; also one that waits",
    )


def _after(args: argparse.Namespace) -> bool:
    """Whether the study is to wait for its turn: a batch job has its own, and pays for waiting."""
    from engine.machine.allocation import Allocation

    return bool(args.after) if args.after is not None else Allocation.here() is None


_LONG = {
    "watch": "Follow a study until it ends, then show its table and plot. Ctrl-C stops following only.",
    "resume": "Start a study's engine again. Finished steps come from the store, an interrupted training goes on "
    "from its last kept epoch, failed trials are tried again; the results are those of an undisturbed run.",
    "replay": "Run the study's preset again in a store of its own and compare every deterministic number and every "
    "model's bits with the original. Exit code 0: identical; 3: different, saying where and by how much.",
}


def _run(args: argparse.Namespace) -> int:
    return carry_out(args, _read(args))


def carry_out(args: argparse.Namespace, read: "Spec") -> int:
    """Run a preset that was read, as the arguments of `run` say."""
    from engine.machine import signals
    from engine.runner import launch, names
    from engine.runner.executors import choose
    from engine.store.workspace import workspace

    _refuse_background(args)
    read = launch.with_default_executor(read)
    if passed_over := choose.passed_over(read):
        tell(f"{read.name} {passed_over}")
    folder, name = workspace(args.workspace), names.shared(read, args.name)
    if args.show_script:
        scripts = launch.batch_scripts(read, folder)
        if args.json:
            print_json({"scripts": scripts})
        else:
            print_as_it_is(scripts)
        return 0
    if args.prepare:
        launch.check_on_cluster(read)
    with signals.blocked():  # one that comes now finds a study that can be told
        run, new = names.create_or_find(read, folder, name) if name else (launch.create(read, folder), True)
        if args.prepare:
            launch.prepare(run)
            submit = run.slurm / "submit.sh"
            if args.json:
                print_json({"study": run.name, "folder": str(run.path), "submit": str(submit)})
            else:
                say(f"{run.name} is ready: `bash {submit}` submits it")
            return 0
        if new and _started(args, run, shared=name is not None):
            return _follow_new(args, run)
        names.go_on(run, tell, after=_after(args))
        return _follow(args, run)


def _started(args: argparse.Namespace, run: "RunDir", *, shared: bool) -> bool:
    """Start a new study; False where another start of the same name found it and was faster."""
    from engine.runner import launch
    from engine.studies import lease

    try:
        launch.start(run, after=_after(args))
    except lease.Held:
        if not shared:
            raise
        return False
    return True


def _read(args: argparse.Namespace) -> "Spec":
    """The preset that is meant, a file's, one that comes with secateur, or that on standard input."""
    from engine.presets import shipped, spec
    from engine.store.paths import here

    if args.preset != STDIN:
        return spec.read(shipped.find(args.preset), args.overrides, quick=args.quick)
    text = sys.stdin.read()
    return spec.parse(text, "stdin", args.overrides, folder=here(), quick=args.quick)


def _resume(args: argparse.Namespace) -> int:
    from engine.runner import launch
    from engine.store.workspace import workspace
    from engine.studies import turns
    from engine.studies.rundir import find

    _refuse_background(args)
    run = find(workspace(args.workspace), args.study)
    if args.after is False and run.read_status().state == "queued" and turns.waits(run):
        launch.begin_now(run)
        return _follow(args, run)
    launch.start(
        run, after=_after(args), here=args.here, remeasure=args.remeasure, overrides=args.overrides, tell=tell
    )
    return _follow(args, run)


def _replay(args: argparse.Namespace) -> int:
    from engine.runner import launch, replay
    from engine.store.workspace import workspace
    from engine.studies.rundir import find

    _refuse_background(args)
    original = find(workspace(args.workspace), args.study)
    run = replay.create(original)
    launch.start(run, after=_after(args))
    return _follow_new(args, run)


def _watch(args: argparse.Namespace) -> int:
    from engine.store.workspace import workspace
    from engine.studies.rundir import find

    args.detach = False
    return _follow(args, find(workspace(args.workspace), args.study))


def _follow_new(args: argparse.Namespace, run: "RunDir") -> int:
    """`_follow` a study that has just been started, once its preset is known to be one that can run."""
    from engine.cli import follow
    from engine.machine import signals
    from engine.runner import launch

    try:
        with signals.blocked(), follow.waiting("trying the preset's files and networks …") as show:

            def look(state: "StudyState") -> None:
                follow.heard(run)
                show(state.waits and f"{run.name} waits {state.waits}")

            launch.accepted(run, look)
    except KeyboardInterrupt as error:
        follow.goes_on(run)
        return exit_code_of(signals.number_of(error))
    return _follow(args, run)


ONWARD = {"watch": "follows it", "show": "has what there is"}
"""What a command does for a study that was just started."""


def _follow(args: argparse.Namespace, run: "RunDir") -> int:
    from engine.cli import follow, study_text
    from engine.studies.status import OPEN

    if args.detach:
        if args.json:
            print_json({"study": run.name, "folder": str(run.path)})
        else:
            status = run.read_status()
            how = f"is {status.state}" + (f" ({status.queue})" if status.queue else "")
            now = "runs in the background" if status.state == "running" else how
            onward = "watch" if status.state in OPEN else "show"
            say(f"{run.name} {now}: `secateur {onward} {run.name}` {ONWARD[onward]}")
        return 0
    state = follow.follow(run)
    if isinstance(state, int):
        return exit_code_of(state)
    if not run.path.is_dir():
        raise SecateurError(
            f"The folder of study {run.name} is gone",
            f"{run.path} was removed or moved while it was followed.",
            "What it had finished is in the store: run the preset again.",
        )
    if args.json:
        from engine.results import failures

        tell(*failures.lines(state))
        print_json(study_text.as_json(run, state))
    else:
        study_text.print_study(run, state, followed=True)
    if state.verdict is not None and not state.verdict.identical:
        return EXIT_DIFFERENT
    if state.status == "cancelled":
        return exit_code_of(state.signal) if state.signal else EXIT_INTERRUPTED
    return 0 if state.status == "done" else EXIT_FAILED


def _refuse_background(args: argparse.Namespace) -> None:
    """In a batch job nothing can be left behind: its end is that of all its processes."""
    from engine.machine.allocation import Allocation

    job = Allocation.here()
    if args.detach and job is not None:
        raise UsageError(
            f"A study can't be left in the background of {job.name}",
            "The job would end at once, and the study with it.",
            "Leave out --detach: the job lasts as long as the study, and `secateur watch` follows it from anywhere.",
        )
