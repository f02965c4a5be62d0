"""Replay: run a study's preset again without reuse, and compare every deterministic number bit for bit."""

from typing import Any

from engine import sources
from engine.errors import SecateurError, UsageError
from engine.runner import launch
from engine.store.files import MEASUREMENTS, explained, read_json, write_json
from engine.store.keys import file_hash
from engine.store.objects import Store, StoredObject
from engine.studies.events import Verdict
from engine.studies.plan import Plan
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState, TrialState, load

NOT_NUMERIC = {"host", "memory_bytes", "platform"}
"""Parts of the environment that cannot change a result's bits."""


def create(original: RunDir) -> RunDir:
    """A new study that will replay `original` in a store of its own; UsageError if it is not finished."""
    state = load(original.path)
    if state.status != "done":
        raise UsageError(
            f"Study {original.name} is {state.status}: only a finished one can be replayed",
            f"{state.counts}.",
            f"`secateur resume {original.name}` completes it.",
        )
    return launch.create(
        original.spec(), original.workspace, replay_of=original.name, code=sources.read(original.code)
    )


def hand_over(original: RunDir, plan: Plan, store: Store) -> None:
    """Put the times that the original's steps measured and decided by where the replay's steps look for them.

    Times are observations and differ from run to run; the decisions made by them have to be the same ones, on
    another host too. `plan` and `store` are the replay's.
    """
    before, source = load(original.path), original.store()
    for trial, planned in zip(before.trials, plan.trials, strict=False):
        steps, nodes = [*trial.steps, *trial.beside], [*planned.steps, *planned.beside]
        for step, node in zip(steps, nodes, strict=False):
            recorded = read_json(source.folder(step.key) / MEASUREMENTS) if node.exclusive else None
            target = store.partial(node.key) / MEASUREMENTS
            if recorded is None or target.exists() or store.get(node.key) is not None:
                continue
            with explained(target):
                target.parent.mkdir(parents=True, exist_ok=True)
            write_json(target, recorded)


def compare(original: RunDir, replay: RunDir, state: StudyState) -> Verdict:
    """The verdict on the finished replay whose state is `state`.

    Compared are every step's measures, every trial's measures, and the SHA-256 of every file (models,
    predictions, layers). Seconds, memory and latency are observations: they are not compared.
    """
    before = load(original.path)
    stores = original.store(), replay.store()
    if len(before.trials) != len(state.trials):
        raise SecateurError(
            f"Study {original.name} can't be compared with any more",
            f"Its event log tells of {len(before.trials)} trials, the replay has {len(state.trials)}.",
            f"`secateur resume {original.name}` writes them anew from the store.",
        )
    compared, differences = 0, []
    for one, two in zip(before.trials, state.trials, strict=True):
        for where, a, b in _values(one, two, stores):
            compared += 1
            if not _equal(a, b):
                differences.append(_difference(where, a, b))
    environment = _changes(before.environment | before.devices, state.environment | state.devices)
    return Verdict(
        identical=not differences,
        compared=compared,
        differences=differences,
        environment=environment,
        recorded=len(
            {
                step.key
                for trial in before.trials
                for step in (*trial.steps, *trial.beside)
                if _recorded(step.key, stores[0])
            }
        ),
    )


def _recorded(key: str, store: Store) -> bool:
    """Whether the step measured times to decide by."""
    stored = store.get(key)
    return stored is not None and MEASUREMENTS in stored.files


def _values(one: TrialState, two: TrialState, stores: tuple[Store, Store]) -> list[tuple[str, Any, Any]]:
    out = []
    mine, theirs = ([*trial.steps, *trial.beside, trial.measure] for trial in (one, two))
    if one.proposal != two.proposal:  # of a search: then they are other trials, of which nothing compares
        return [(f"trial {one.index} proposal", one.proposal, two.proposal)]
    pairs = zip(mine, theirs, strict=True)
    for a, b in pairs:
        where = f"trial {one.index} {a.address}"
        first, second = _flat(a.measures), _flat(b.measures)
        for name in sorted(first.keys() | second.keys()):
            out.append((f"{where} {name}", first.get(name), second.get(name)))
        objects = stores[0].get(a.key), stores[1].get(b.key)
        hashes = [_hashes(stored) for stored in objects]
        for name in sorted(hashes[0].keys() | hashes[1].keys()):
            out.append((f"{where} {name}", hashes[0].get(name), hashes[1].get(name)))
    return out


def _equal(a: Any, b: Any) -> bool:
    """Equal to the last bit; NaN is the same as NaN."""
    return bool(a == b) or (a != a and b != b)


def _hashes(stored: StoredObject | None) -> dict[str, str]:
    """The SHA-256 of each file of an object as it is on the disk now; of a missing one, that it is missing."""
    if stored is None:
        return {}
    paths = {name: stored.folder / name for name in stored.files}
    return {name: file_hash(path) if path.is_file() else "missing" for name, path in paths.items()}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every single value by its dotted name; rows of a table by their number."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, list) and any(isinstance(row, dict) for row in value):
            value = {str(number): row for number, row in enumerate(value)}
        if isinstance(value, dict):
            out |= _flat(value, f"{prefix}{name}.")
        else:
            out[prefix + name] = value
    return out


def _difference(where: str, a: Any, b: Any) -> dict[str, Any]:
    numbers = isinstance(a, int | float) and isinstance(b, int | float)
    return {"where": where, "original": a, "replay": b, "by": b - a if numbers else None}


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[dict[str, Any]]:
    """What of the environment differs and could explain other bits."""
    first, second = _flat(before), _flat(now)
    return [
        {"what": name, "original": first.get(name), "replay": second.get(name)}
        for name in sorted(first.keys() | second.keys())
        if name not in NOT_NUMERIC and first.get(name) != second.get(name)
    ]
