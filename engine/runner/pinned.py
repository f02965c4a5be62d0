"""The machine that a study was begun on, kept in its folder: a study goes on as it began, or says what is other.

What `auto` came to (threads, device) is the study's own from then on, and so are the keys that follow from it. Where
the machine is another one, equal keys are impossible: then it is a user's choice to wait, to go on with other bits, or
to begin anew.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.machine import environment
from engine.machine.value import Machine, unlike
from engine.params.preset import Settings
from engine.presets.spec import Spec
from engine.runner.executors import choose
from engine.store.files import read_json, write_json
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState, load

TOLD = 4
"""Of how many differences the message tells."""


@dataclass(frozen=True)
class Pinned:
    """What a study's keys depend on, as it was when it began: see `engine.machine.value.Machine`."""

    host: str
    device: str
    threads: int
    cpus: int
    numerics: dict[str, Any]

    @classmethod
    def of(cls, machine: Machine) -> "Pinned":
        return cls(machine.host, machine.device, machine.threads, machine.cpus, machine.numerics)


class OtherMachine(UsageError):
    """The study can't go on here with the same bits. `differences` says why, `lost` how many steps are done."""

    def __init__(self, run: RunDir, kept: Pinned, differences: list[str], lost: int) -> None:
        self.differences, self.lost, self.host = tuple(differences), lost, kept.host
        more = f"; and {len(differences) - TOLD} more differences" if len(differences) > TOLD else ""
        finished = "1 finished step" if lost == 1 else f"{lost} finished steps"
        again = f"{finished} would be computed anew, with other bits" if lost else "it would begin again"
        super().__init__(
            f"Study {run.name} can't go on here as it began",
            f"{'; '.join(differences[:TOLD])}{more}. {again[0].upper()}{again[1:]}.",
            f"Wait, and `secateur resume {run.name}` where it is as it was (on {kept.host}); or "
            f"`secateur resume {run.name} --here`: it goes on here all the same; or `secateur run {run.preset}`: "
            "a new study beside it.",
        )


def read(run: RunDir) -> Pinned | None:
    """What is kept; of a study that began before it was kept, what its events tell. None for one that never began."""
    kept = read_json(run.machine)
    try:
        return Pinned(**kept) if isinstance(kept, dict) else _recorded(load(run.path))
    except (TypeError, KeyError):
        return None


def keep(run: RunDir, machine: Machine, within: Path) -> None:
    """Pin the study to `machine`; the file is made in the folder `within`. Raises SecateurError."""
    write_json(run.machine, asdict(Pinned.of(machine)), within=within)


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


def differences(kept: Pinned, now: Machine, spec: Spec) -> list[str]:
    """Why results computed as `kept` are not those that `now` would give, which has the same device and threads."""
    unlike_here = []
    if kept.threads > now.cpus and kept.threads <= kept.cpus:
        here = "1 processor is" if now.cpus == 1 else f"{now.cpus} processors are"
        unlike_here.append(f"Its trials compute with {kept.threads} threads, and {here} here")
    if kept.device == "cuda" and not environment.gpus():
        unlike_here.append("It computes on a GPU, and none is here")
    unlike_here += sorted(unlike(now.numerics, kept.numerics))
    timed = any(step.timed_in for trial in spec.trials for step in trial.steps)
    if timed and kept.host != now.host:
        unlike_here.append(f"It decides by times that were measured on {kept.host}, and this is {now.host}")
    return unlike_here


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
