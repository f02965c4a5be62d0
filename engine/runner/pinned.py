"""The machine that a study was begun on, kept in its folder: a study goes on as it began, or says what differs.

What `auto` came to (threads, device) is the study's own from then on, and so are the keys that follow from it. Where
the machine is another one, equal keys are impossible: then it is a user's choice to wait, to go on with other bits, or
to begin anew.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.machine import environment, limits
from engine.machine.value import Machine, unlike
from engine.params.preset import Settings
from engine.presets.spec import Spec
from engine.runner.executors import choose
from engine.store.files import read_json, write_json
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState, load
from engine.text.numbers import size
from engine.text.phrases import counted

TOLD = 4
"""Differences that the message names at most."""


@dataclass(frozen=True)
class Pinned:
    """What a study's keys depend on, as it was when it began: see `engine.machine.value.Machine`."""

    host: str
    device: str
    threads: int
    cpus: int
    numerics: dict[str, Any]
    memory: int = 0
    """Bytes of memory that all its processes might have; 0 where that was not kept."""

    @classmethod
    def of(cls, machine: Machine) -> "Pinned":
        return cls(
            machine.host,
            machine.device,
            machine.threads,
            machine.cpus,
            machine.numerics,
            limits.whole_memory(),
        )


class OtherMachine(UsageError):
    """The study can't go on here with the same bits. `differences` says why, `lost` how many steps are done."""

    def __init__(self, run: RunDir, kept: Pinned, differences: list[str], lost: int) -> None:
        self.differences, self.lost, self.host = tuple(differences), lost, kept.host
        more = f"; and {len(differences) - TOLD} more differences" if len(differences) > TOLD else ""
        finished = counted(lost, "finished step")
        again = f"{finished} would be computed anew, with other bits" if lost else "it would begin again"
        super().__init__(
            f"Study {run.name} can't go on here as it began",
            f"{'; '.join(differences[:TOLD])}{more}. {again[0].upper()}{again[1:]}.",
            f"Wait, and `secateur resume {run.name}` where it is as it was (on {kept.host}); or "
            f"`secateur resume {run.name} --here`: it goes on here all the same; or `secateur run {run.preset}`: "
            "a new study beside it.",
        )


def read(run: RunDir) -> Pinned | None:
    """The machine that is kept; of studies of earlier versions, the one in their events. None before it began."""
    kept = read_json(run.machine)
    try:
        return Pinned(**kept) if isinstance(kept, dict) else _recorded(load(run.path))
    except (TypeError, KeyError):
        return None


def keep(run: RunDir, kept: Pinned, within: Path) -> None:
    """Pin the study to what is `kept`; the file is made in the folder `within`. Raises SecateurError."""
    write_json(run.machine, asdict(kept), within=within)


def _recorded(state: StudyState) -> Pinned | None:
    if not state.devices or not state.environment:
        return None
    recorded, device, threads = state.environment, state.devices["device"], state.devices["threads"]
    cpu = recorded["cpu"]
    now = environment.numerics(device, threads)
    numerics = now | {
        "packages": {name: recorded["packages"].get(name) for name in now["packages"]},
        "machine": {name: cpu.get(name, value) for name, value in now["machine"].items()},
        "variables": recorded.get("variables", now["variables"]),
    }
    return Pinned(
        str(recorded.get("host", state.host)), device, threads, cpu.get("available", threads), numerics
    )


def machine(settings: Settings, kept: Pinned | None) -> Machine:
    """This machine, with the study's own device and threads where it has begun."""
    if kept is None:
        return choose.machine(settings)
    return choose.machine(settings, kept.device, kept.threads)


def parallel(settings: Settings, kept: Pinned | None, now: Machine) -> tuple[int, str]:
    """How many trials to compute at a time, and why these are fewer than asked for; empty where they are not.

    A study that goes on where fewer processors or less memory are allowed than where it began would else share them.
    No bit depends on it: every trial has a process of its own, with as many threads as ever.
    """
    asked = settings.executor.parallel
    if kept is None:
        return asked, ""
    why, found = "", asked
    if kept.threads * asked > now.cpus and kept.threads * asked <= kept.cpus:
        found = max(1, now.cpus // kept.threads)
        why = f"{_processors(now.cpus)} allowed here, and {kept.cpus} were where it began"
    memory = limits.whole_memory()
    if memory < kept.memory and (fit := max(1, asked * memory // kept.memory)) < found:
        found, why = (
            fit,
            f"{size(memory)} of memory are allowed here, and {size(kept.memory)} were where it began",
        )
    if found == asked:
        return asked, ""
    return found, f"Its trials are computed {found} at a time in place of {asked}, with the same bits: {why}"


def crowded(settings: Settings, now: Machine, at_a_time: int) -> str:
    """That so many trials at a time share processors, as they were asked to; empty where each has its own."""
    threads = now.threads * settings.distributed.here(None) * at_a_time
    if now.device != "cpu" or threads <= now.cpus:
        return ""
    return (
        f"Its trials compute with {threads} threads at a time, and {_processors(now.cpus)} usable here: they "
        "take turns, beside everybody else's programs; `parallel` and `threads` decide how many there are"
    )


def differences(kept: Pinned, now: Machine, spec: Spec) -> list[str]:
    """Why results computed as `kept` are not those that `now` would give, which has the same device and threads."""
    unlike_here = []
    if kept.threads > now.cpus and kept.threads <= kept.cpus:
        threads = counted(kept.threads, "thread")
        unlike_here.append(f"Its trials compute with {threads}, and {_processors(now.cpus)} here")
    if kept.device == "cuda" and not environment.gpus():
        unlike_here.append("It computes on a GPU, and none is here")
    unlike_here += unlike(now.numerics, kept.numerics)
    timed = any(step.timed_in for trial in spec.trials for step in trial.all_steps)
    if timed and kept.host != now.host:
        unlike_here.append(f"It decides by times that were measured on {kept.host}, and this is {now.host}")
    return unlike_here


def _processors(count: int) -> str:
    return f"{counted(count, 'processor')} {'is' if count == 1 else 'are'}"


def check(run: RunDir, spec: Spec, kept: Pinned | None) -> None:
    """Raises OtherMachine where going on here would compute again, with other bits, what the study has."""
    if kept is None:
        return
    different = differences(kept, machine(spec.settings, kept), spec)
    if not different:
        return
    state, store = load(run.path), run.store()
    done = sum(step.status == "done" for step in state.steps.values())
    if done or any(store.partial(key).exists() for key in state.steps):
        raise OtherMachine(run, kept, different, done)
